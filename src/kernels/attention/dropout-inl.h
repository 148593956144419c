// AttentionDropout (kernels/attention/dropout.h) for a block of queries at once. Once per Highway target.
#if defined(ATTEND_KERNELS_ATTENTION_DROPOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_ATTENTION_DROPOUT_INL_H_
#undef ATTEND_KERNELS_ATTENTION_DROPOUT_INL_H_
#else
#define ATTEND_KERNELS_ATTENTION_DROPOUT_INL_H_
#endif

#include <algorithm>

#include "kernels/attention/dropout.h"
#include "kernels/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
/// Philox4x32-10 in 64-bit lanes, of whose words the low halves count: one multiplication gives both halves of a product.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void philox_lanes(D d, V (&c)[4], std::array<std::uint32_t, 2> key) {
  const hn::Repartition<std::uint32_t, D> words;
  const auto product = [&](V x, std::uint32_t by) HWY_ATTR {
    return hn::MulEven(hn::BitCast(words, x), hn::Set(words, by));
  };
  for (int round = 0; round < 10; ++round) {
    const V a = product(c[0], 0xD2511F53u), b = product(c[2], 0xCD9E8D57u);
    c[0] = hn::Xor(hn::Xor(hn::ShiftRight<32>(b), c[1]), hn::Set(d, key[0]));
    c[2] = hn::Xor(hn::Xor(hn::ShiftRight<32>(a), c[3]), hn::Set(d, key[1]));
    c[1] = b, c[3] = a;
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
}
#endif

/// Queries whose random words are made at once.
constexpr int kRandomStep = 2 * hn::MaxLanes(hn::ScalableTag<std::uint64_t>());

/// words[w][i] = word w of the random block of keys [8 · group, 8 · group + 8) and query first + i, for kCount queries.
template <int kCount>
HWY_INLINE void random_words(const AttentionDropout& dropout, std::uint32_t batch_head,
                             std::uint32_t first, std::uint32_t group,
                             std::uint32_t (*words)[kCount]) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < kCount; ++i) {
    const auto block = dropout.block(batch_head, first + static_cast<std::uint32_t>(i), group);
    for (int w = 0; w < 4; ++w) words[w][i] = block[static_cast<std::size_t>(w)];
  }
#else
  const hn::ScalableTag<std::uint64_t> d;
  const hn::Repartition<std::uint32_t, decltype(d)> narrow;
  for (int i = 0; i < kCount;
       i += kRandomStep) {  // even queries in one set of lanes, odd ones in another
    hn::Vec<decltype(d)> c[2][4];
    for (int odd = 0; odd < 2; ++odd) {
      const auto lane = hn::Iota(d, 0);
      c[odd][0] = hn::Set(d, group);
      c[odd][1] = hn::Add(hn::Add(lane, lane),
                          hn::Set(d, std::uint64_t{first} + static_cast<std::uint64_t>(i + odd)));
      c[odd][2] = hn::Set(d, batch_head);
      c[odd][3] = hn::Set(d, AttentionDropout::kDomain);
      philox_lanes(d, c[odd], dropout.key());
    }
    for (int w = 0; w < 4; ++w)
      hn::Store(hn::OddEven(hn::BitCast(narrow, hn::ShiftLeft<32>(c[1][w])),
                            hn::BitCast(narrow, c[0][w])),
                narrow, words[w] + i);
  }
#endif
}

/// f(offset of a vector in an [n][queries] array, mask of the lanes that are kept) for keys [j, j + n) and QV vectors of
/// queries from `first`.
template <int QV, class T, class F>
HWY_INLINE void each_kept(const AttentionDropout& dropout, std::uint32_t batch_head,
                          std::int64_t first, std::int64_t j, std::int64_t n, F f) {
  const hn::ScalableTag<T> d;
  constexpr int kLanesOf = hn::MaxLanes(d), kCount = QV * kLanesOf;
  const hn::RebindToSigned<decltype(d)> whole;
  const hn::Rebind<std::int32_t, decltype(d)> half;
  const auto load = [&](const std::uint32_t* p) HWY_ATTR {
    const auto bits = hn::LoadU(half, reinterpret_cast<const std::int32_t*>(p));
    if constexpr (sizeof(T) == 8)
      return hn::PromoteTo(whole, bits);
    else
      return bits;
  };
  constexpr int kRow = std::max<int>(kCount, kRandomStep);  // the generator writes whole steps
  HWY_ALIGN std::uint32_t words[4][kRow];
  const auto low = hn::Set(whole, 0xffff),
             last_dropped = hn::Set(whole, static_cast<std::int32_t>(dropout.threshold()) - 1);
  for (std::int64_t k = j; k < j + n; ++k) {
    if (k == j || k % 8 == 0)
      random_words<kRow>(dropout, batch_head, static_cast<std::uint32_t>(first),
                         static_cast<std::uint32_t>(k / 8), words);
    _Pragma("GCC unroll 8") for (int g = 0; g < QV; ++g) {
      auto bits = load(words[k % 8 / 2] + g * kLanesOf);
      if (k % 2) bits = hn::ShiftRight<16>(bits);
      const auto kept = hn::Gt(hn::And(bits, low), last_dropped);
      f((k - j) * kCount + g * kLanesOf, hn::RebindMask(d, kept));
    }
  }
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
