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

/// out[i][c] = factor · Σ_k a[i · a_row + k · a_depth] b[k · b_row + c] for i < rows, c < columns. Rows of scratch are padded
/// and may be read and written to whole vectors; rows of an image or a patch may not.
template <class T>
struct SmallProduct {
  const T* a;
  std::int64_t a_row, a_depth;
  const T* b;
  std::int64_t b_row, depth;
  T* out;
  std::int64_t out_row, rows, columns;
  T factor = 1;
  bool add = false;  // out += …
};
enum class Memory { kScratch, kExact };

template <int I, int N, Memory kFrom, Memory kTo, class D, class T>
HWY_INLINE void small_tile(D d, const SmallProduct<T>& p, std::int64_t i, std::int64_t c) {
  constexpr std::int64_t kWide = hn::MaxLanes(D());
  const auto last = static_cast<std::size_t>(std::min(kWide, p.columns - c - (N - 1) * kWide));
  const T* HWY_RESTRICT a = p.a + i * p.a_row;
  const T* HWY_RESTRICT b = p.b + c;
  T* HWY_RESTRICT out = p.out + i * p.out_row + c;
  hn::Vec<D> sum[I][N];
  ATTEND_UNROLL for (int r = 0; r < I; ++r) ATTEND_UNROLL for (int x = 0; x < N; ++x) sum[r][x] =
      hn::Zero(d);
  for (std::int64_t k = 0; k < p.depth; ++k) {
    hn::Vec<D> row[N];
    ATTEND_UNROLL for (int x = 0; x < N; ++x) {
      const T* from = b + k * p.b_row + x * kWide;
      row[x] = kFrom == Memory::kExact && x == N - 1 ? load_n(d, from, last) : hn::LoadU(d, from);
    }
    ATTEND_UNROLL for (int r = 0; r < I; ++r) {
      const auto factor = hn::Set(d, a[r * p.a_row + k * p.a_depth]);
      ATTEND_UNROLL for (int x = 0; x < N; ++x) sum[r][x] = hn::MulAdd(factor, row[x], sum[r][x]);
    }
  }
  const auto factor = hn::Set(d, p.factor);
  if (kTo == Memory::kScratch && p.add) {
    ATTEND_UNROLL for (int r = 0; r < I; ++r) ATTEND_UNROLL for (int x = 0; x < N; ++x) sum[r][x] =
        hn::MulAdd(factor, sum[r][x], hn::LoadU(d, out + r * p.out_row + x * kWide));
  } else if (p.factor != T(1)) {
    ATTEND_UNROLL for (int r = 0; r < I; ++r) ATTEND_UNROLL for (int x = 0; x < N; ++x) sum[r][x] =
        hn::Mul(factor, sum[r][x]);
  }
  ATTEND_UNROLL for (int r = 0; r < I; ++r) ATTEND_UNROLL for (int x = 0; x < N; ++x) {
    T* to = out + r * p.out_row + x * kWide;
    if (kTo == Memory::kExact && x == N - 1)
      store_n(sum[r][x], d, to, last);
    else
      hn::StoreU(sum[r][x], d, to);
  }
}

template <int I, int N, Memory kFrom, Memory kTo, class D, class T>
HWY_INLINE void small_tiles(D d, const SmallProduct<T>& p, std::int64_t& i, std::int64_t c) {
  for (; i + I <= p.rows; i += I) small_tile<I, N, kFrom, kTo>(d, p, i, c);
}

/// Tiles as tall as the registers allow; those of DRAW's usual 2, 5 and 12 filters and 28 pixels fit without a rest.
template <int N, Memory kFrom, Memory kTo, class D, class T>
void small_strip(D d, const SmallProduct<T>& p, std::int64_t c) {
  constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3;
  std::int64_t i = 0;
  if constexpr (kManyRegisters) small_tiles<14, N, kFrom, kTo>(d, p, i, c);
  if constexpr (kManyRegisters) small_tiles<12, N, kFrom, kTo>(d, p, i, c);
  if constexpr (kManyRegisters || N == 1) small_tiles<8, N, kFrom, kTo>(d, p, i, c);
  small_tiles<5, N, kFrom, kTo>(d, p, i, c);
  small_tiles<4, N, kFrom, kTo>(d, p, i, c);
  small_tiles<2, N, kFrom, kTo>(d, p, i, c);
  small_tiles<1, N, kFrom, kTo>(d, p, i, c);
}

template <Memory kFrom, Memory kTo, class D, class T>
HWY_INLINE void multiply_small(D d, const SmallProduct<T>& p) {
  constexpr std::int64_t kWide = hn::MaxLanes(D());
  std::int64_t c = 0;
  for (; c + kWide < p.columns; c += 2 * kWide) small_strip<2, kFrom, kTo>(d, p, c);
  if (c < p.columns) small_strip<1, kFrom, kTo>(d, p, c);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
