#pragma once
#include <array>
#include <cstdint>

namespace attend::bench {

// The shapes that are measured; tests of the same op include this file, so that what is timed is
// also checked.

struct LstmCase {
  std::int64_t batch, time, input, hidden;
};
/// The first two are the project's stated goals: the guide's layer, and a square one that fills the
/// caches. The rest are the guide's evaluation batch, one sentence, and odd sizes whose tails every
/// vector width must handle.
inline constexpr std::array kLstmCases = {
    LstmCase{100, 32, 32, 100}, LstmCase{64, 32, 256, 256}, LstmCase{400, 32, 32, 100},
    LstmCase{1, 32, 32, 100},   LstmCase{37, 19, 31, 77},
};

struct PoolCase {
  std::int64_t batch, time, channels;
};
inline constexpr std::array kPoolCases = {
    PoolCase{100, 32, 100},
    PoolCase{1, 32, 100},
    PoolCase{64, 128, 512},
    PoolCase{37, 19, 77},
};

}  // namespace attend::bench
