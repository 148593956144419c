#pragma once
#include <array>
#include <cstdint>

namespace attend {

/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): 128 random bits that depend only
/// on counter and key. A mask or a shuffle can so be regenerated anywhere, and a resumed run needs no stored state.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key);

/// What a random number is for; each purpose has streams of its own, so that adding one never shifts another.
enum class Purpose : std::uint32_t {
  kInit = 1,
  kShuffle = 2,
  kDropout = 3,
  kSplit = 4,
  kGenerate = 5,
  kSearch = 6,
  kExplain = 7
};

/// A sequential view of one stream: same (seed, purpose, index) gives the same numbers on every machine.
class Random {
 public:
  Random(std::uint64_t seed, Purpose purpose, std::uint64_t index = 0);
  std::uint32_t bits();                  ///< 32 uniform bits
  double uniform();                      ///< [0, 1), 53 bits
  double normal();                       ///< mean 0, variance 1 (Box–Muller)
  std::uint64_t below(std::uint64_t n);  ///< uniform in [0, n), without modulo bias; n > 0

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  int left_ = 0;
};

}  // namespace attend
