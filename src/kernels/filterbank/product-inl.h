// Small products of the DRAW window, once per Highway target: all operands lie in the first-level cache.
#if defined(ATTEND_KERNELS_FILTERBANK_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_FILTERBANK_PRODUCT_INL_H_
#undef ATTEND_KERNELS_FILTERBANK_PRODUCT_INL_H_
#else
#define ATTEND_KERNELS_FILTERBANK_PRODUCT_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "kernels/simd/math-inl.h"

#ifndef ATTEND_UNROLL
#define ATTEND_UNROLL _Pragma("GCC unroll 32")
#endif

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

template <class T>
using Tag = hn::ScalableTag<T>;
template <class T>
using Vector = hn::Vec<Tag<T>>;
template <class T>
constexpr std::int64_t kLanes = hn::MaxLanes(Tag<T>());

/// out[i][c] = Σ_k a[i · a_row + k · a_depth] b[k · b_row + c] for i < rows, c < columns. Rows of scratch are padded and may
/// be read and written to whole vectors; rows of an image or a patch may not.
template <class T>
struct SmallProduct {
  const T* a;
  std::int64_t a_row, a_depth;
  const T* b;
  std::int64_t b_row, depth;
  T* out;
  std::int64_t out_row, rows, columns;
};
enum class Memory { kScratch, kExact };

template <int I, int N, Memory kFrom, Memory kTo, class T>
HWY_INLINE void small_tile(const SmallProduct<T>& p, std::int64_t i, std::int64_t c) {
  const Tag<T> d;
  const auto last = static_cast<std::size_t>(std::min(kLanes<T>, p.columns - c - (N - 1) * kLanes<T>));
  const T* HWY_RESTRICT a = p.a + i * p.a_row;
  const T* HWY_RESTRICT b = p.b + c;
  Vector<T> sum[I][N];
  ATTEND_UNROLL for (int r = 0; r < I; ++r) ATTEND_UNROLL for (int x = 0; x < N; ++x) sum[r][x] = hn::Zero(d);
  for (std::int64_t k = 0; k < p.depth; ++k) {
    Vector<T> row[N];
    ATTEND_UNROLL for (int x = 0; x < N; ++x) {
      const T* from = b + k * p.b_row + x * kLanes<T>;
      row[x] = kFrom == Memory::kExact && x == N - 1 ? load_n(d, from, last) : hn::LoadU(d, from);
    }
    ATTEND_UNROLL for (int r = 0; r < I; ++r) {
      const auto factor = hn::Set(d, a[r * p.a_row + k * p.a_depth]);
      ATTEND_UNROLL for (int x = 0; x < N; ++x) sum[r][x] = hn::MulAdd(factor, row[x], sum[r][x]);
    }
  }
  ATTEND_UNROLL for (int r = 0; r < I; ++r) ATTEND_UNROLL for (int x = 0; x < N; ++x) {
    T* to = p.out + (i + r) * p.out_row + c + x * kLanes<T>;
    if (kTo == Memory::kExact && x == N - 1)
      store_n(sum[r][x], d, to, last);
    else
      hn::StoreU(sum[r][x], d, to);
  }
}

template <int N, Memory kFrom, Memory kTo, class T>
HWY_INLINE void small_strip(const SmallProduct<T>& p, std::int64_t c) {
  std::int64_t i = 0;
  for (; i + 8 <= p.rows; i += 8) small_tile<8, N, kFrom, kTo>(p, i, c);
  if (i + 4 <= p.rows) small_tile<4, N, kFrom, kTo>(p, i, c), i += 4;
  if (i + 2 <= p.rows) small_tile<2, N, kFrom, kTo>(p, i, c), i += 2;
  if (i < p.rows) small_tile<1, N, kFrom, kTo>(p, i, c);
}

template <Memory kFrom, Memory kTo, class T>
void multiply_small(const SmallProduct<T>& p) {
  std::int64_t c = 0;
  for (; c + kLanes<T> < p.columns; c += 2 * kLanes<T>) small_strip<2, kFrom, kTo>(p, c);
  if (c < p.columns) small_strip<1, kFrom, kTo>(p, c);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
