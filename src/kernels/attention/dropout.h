#pragma once
#include <cmath>
#include <cstdint>

#include "attend/base/random.h"

namespace attend::kernels {

/// Which attention weights dropout keeps: a pure function of (seed, batch × head, query, key), so that backward and every
/// path through the code regenerate the same choice. One Philox block gives 16 bits to each of 8 neighbouring keys; the
/// probability is so rounded to a multiple of 2⁻¹⁶.
class AttentionDropout {
 public:
  AttentionDropout(std::uint64_t seed, double probability)
      : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
        threshold_(static_cast<std::uint32_t>(std::lround(probability * 65536.0))),
        factor_(1.0 / (1.0 - threshold_ / 65536.0)) {}

  bool keeps(std::uint32_t batch_head, std::uint32_t query, std::uint32_t key) const {
    const std::uint32_t pair = block(batch_head, query, key / 8)[key % 8 / 2];
    return (key % 2 ? pair >> 16 : pair & 0xffff) >= threshold_;
  }
  double factor() const { return factor_; }  ///< of what is kept

  // The parts of keeps(), for code that decides about many weights at once (dropout-inl.h): a weight is kept if its 16 bits,
  // the low half of a word for even keys and the high half for odd ones, are at least threshold().
  static constexpr std::uint32_t kDomain =
      0x61747464;  // keeps these counters apart from every Purpose of Random
  std::array<std::uint32_t, 4> block(std::uint32_t batch_head, std::uint32_t query,
                                     std::uint32_t group_of_8_keys) const {
    return philox({group_of_8_keys, query, batch_head, kDomain}, key_);
  }
  std::array<std::uint32_t, 2> key() const { return key_; }
  std::uint32_t threshold() const { return threshold_; }

  /// out[batch_head][query][key] = factor() where kept, else 0.
  template <class T>
  void fill(T* out, std::int64_t batch_heads, std::int64_t queries, std::int64_t keys) const {
    for (std::int64_t bh = 0; bh < batch_heads; ++bh)
      for (std::int64_t i = 0; i < queries; ++i)
        for (std::int64_t j = 0; j < keys; ++j)
          *out++ = keeps(static_cast<std::uint32_t>(bh), static_cast<std::uint32_t>(i),
                         static_cast<std::uint32_t>(j))
                       ? static_cast<T>(factor_)
                       : T{0};
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint32_t threshold_;
  double factor_;
};

}  // namespace attend::kernels
