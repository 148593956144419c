// Transposing small matrices, square by square. Included once per Highway target, hence the guard that toggles.
#if defined(ATTEND_KERNELS_SIMD_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_SIMD_TRANSPOSE_INL_H_
#undef ATTEND_KERNELS_SIMD_TRANSPOSE_INL_H_
#else
#define ATTEND_KERNELS_SIMD_TRANSPOSE_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR  // it has no vectors of more than one lane
template <class T>
inline constexpr int kSquare = 1;
template <class T>
HWY_INLINE void transpose_square(const T* from, std::int64_t, T* to, std::int64_t) {
  *to = *from;
}
#else
/// Side of what transpose moves at once: 16 bytes.
template <class T>
inline constexpr int kSquare = 16 / sizeof(T);

/// to[c][r] = from[r][c] for one square.
template <class T>
HWY_INLINE void transpose_square(const T* from, std::int64_t from_stride, T* to,
                                 std::int64_t to_stride) {
  const hn::FixedTag<T, kSquare<T>> d;
  const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + from_stride);
  if constexpr (kSquare<T> == 2) {
    hn::StoreU(hn::InterleaveLower(d, r0, r1), d, to);
    hn::StoreU(hn::InterleaveUpper(d, r0, r1), d, to + to_stride);
  } else {
    const auto r2 = hn::LoadU(d, from + 2 * from_stride), r3 = hn::LoadU(d, from + 3 * from_stride);
    const auto low02 = hn::InterleaveLower(d, r0, r2), high02 = hn::InterleaveUpper(d, r0, r2);
    const auto low13 = hn::InterleaveLower(d, r1, r3), high13 = hn::InterleaveUpper(d, r1, r3);
    hn::StoreU(hn::InterleaveLower(d, low02, low13), d, to);
    hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, to + to_stride);
    hn::StoreU(hn::InterleaveLower(d, high02, high13), d, to + 2 * to_stride);
    hn::StoreU(hn::InterleaveUpper(d, high02, high13), d, to + 3 * to_stride);
  }
}
#endif

/// to[c][r] = from[r][c]
template <class T>
void transpose(const T* from, std::int64_t from_stride, std::int64_t rows, std::int64_t columns,
               T* to, std::int64_t to_stride) {
  constexpr std::int64_t kSide = kSquare<T>;
  const std::int64_t whole_rows = rows - rows % kSide, whole_columns = columns - columns % kSide;
  for (std::int64_t c = 0; c < whole_columns; c += kSide)
    for (std::int64_t r = 0; r < whole_rows; r += kSide)
      transpose_square(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
      to[c * to_stride + r] = from[r * from_stride + c];
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
