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

struct SdpaCase {
  std::int64_t batch, heads, length, width;
  bool causal = false;
};
/// From short and many to long and few: a classifier's batch, a translator's, and language models'.
inline constexpr std::array kSdpaCases = {
    SdpaCase{8, 8, 32, 16},         SdpaCase{32, 8, 64, 64},  SdpaCase{8, 8, 128, 64},
    SdpaCase{4, 8, 512, 16},        SdpaCase{4, 8, 512, 32},  SdpaCase{4, 8, 512, 64},
    SdpaCase{4, 8, 512, 128},       SdpaCase{4, 8, 500, 40},  SdpaCase{4, 8, 512, 64, true},
    SdpaCase{1, 8, 2048, 64},       SdpaCase{1, 8, 2048, 64, true},
    SdpaCase{1, 8, 4096, 64, true},
};

struct VocabularyCase {
  std::int64_t rows, channels, words;
};
/// A batch of target words of a small and of a large Transformer; a small vocabulary; odd sizes.
inline constexpr std::array kVocabularyCases = {
    VocabularyCase{3840, 128, 10000},
    VocabularyCase{3840, 512, 10000},
    VocabularyCase{640, 256, 1000},
    VocabularyCase{777, 100, 3001},
};

struct FilterbankCase {
  std::int64_t batch, channels, height, width, filters;
};
/// DRAW on MNIST (Gregor et al. 2015, table 3) with the paper's windows, and a colour image.
inline constexpr std::array kFilterbankCases = {
    FilterbankCase{128, 1, 28, 28, 2},
    FilterbankCase{128, 1, 28, 28, 5},
    FilterbankCase{128, 1, 28, 28, 12},
    FilterbankCase{64, 3, 32, 32, 5},
};

}  // namespace attend::bench
