// Horizontal sums, four vectors at a time. Included once per Highway target.
#if defined(ATTEND_KERNELS_SIMD_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_SIMD_SUMS_INL_H_
#undef ATTEND_KERNELS_SIMD_SUMS_INL_H_
#else
#define ATTEND_KERNELS_SIMD_SUMS_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR
/// Adds the 128-bit blocks of v and stores the block that remains.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void store_sum_of_blocks(D d, hn::Vec<D> v, T* out) {
  if constexpr (hn::MaxLanes(D()) * sizeof(T) > 16) {
    const hn::Half<D> half;
    store_sum_of_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)), out);
  } else {
    hn::StoreU(v, d, out);
  }
}

/// Lanes of each 128-bit block: the two block sums of a and b, interleaved.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V add_interleaved(D d, V a, V b) {
  return hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
}
#endif

/// out[r] = the sum of v[r]'s lanes, r < 4: one tree for the four, half the shuffles of four sums.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void store_four_sums(D d, const hn::Vec<D> (&v)[4], T* out) {
#if HWY_TARGET == HWY_SCALAR
  for (int r = 0; r < 4; ++r) out[r] = hn::GetLane(hn::SumOfLanes(d, v[r]));
#else
  const auto ab = add_interleaved(d, v[0], v[1]), cd = add_interleaved(d, v[2], v[3]);
  if constexpr (sizeof(T) == 4) {  // ab: a₀₂ b₀₂ a₁₃ b₁₃
    const hn::Repartition<double, D> pairs;
    const auto x = hn::BitCast(pairs, ab), y = hn::BitCast(pairs, cd);
    const auto lower = hn::BitCast(d, hn::InterleaveLower(pairs, x, y));
    const auto upper = hn::BitCast(d, hn::InterleaveUpper(pairs, x, y));
    store_sum_of_blocks(d, hn::Add(lower, upper), out);
  } else {
    store_sum_of_blocks(d, ab, out);
    store_sum_of_blocks(d, cd, out + 2);
  }
#endif
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
