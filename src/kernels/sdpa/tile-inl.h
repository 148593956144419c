// The tiles of scaled dot-product attention, once per Highway target. Scores are kept transposed, S[key][query]: lanes are
// queries, so the softmax's maximum and sum are vertical, K and V are read row-major by broadcast and never packed, and only
// Q (and the output) are transposed, once per block of queries.
#if defined(ATTEND_KERNELS_SDPA_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_SDPA_TILE_INL_H_
#undef ATTEND_KERNELS_SDPA_TILE_INL_H_
#else
#define ATTEND_KERNELS_SDPA_TILE_INL_H_
#endif

#include <cstring>
#include <type_traits>

#include "kernels/attention/ahead.h"
#include "kernels/simd/math-inl.h"

#define ATTEND_UNROLL _Pragma("GCC unroll 32")

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

// Register tile: kTile keys (or value columns) × QV vectors of queries. AVX-512 has 32 registers, the others 16.
constexpr int kRegisters = HWY_TARGET <= HWY_AVX3 ? 32 : 16;
template <int QV>
constexpr int kTile = kRegisters == 32 ? 16 / QV : 8 / QV;

template <class T>
using Tag = hn::ScalableTag<T>;
template <class T>
constexpr std::int64_t kLanes = hn::MaxLanes(Tag<T>());

#if HWY_TARGET != HWY_SCALAR
/// A vector whose 128-bit blocks come from p, p + stride, p + 2 stride …
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_blocks(D d, const T* p, std::int64_t stride) {
  if constexpr (hn::MaxLanes(D()) * sizeof(T) <= 16) {
    return hn::LoadU(d, p);
  } else {
    const hn::Half<D> half;
    const std::int64_t blocks = hn::MaxLanes(half) * sizeof(T) / 16;
    return hn::Combine(d, load_blocks(half, p + blocks * stride, stride),
                       load_blocks(half, p, stride));
  }
}

template <class D, class T = hn::TFromD<D>>
HWY_INLINE void store_blocks(hn::Vec<D> v, D d, T* p, std::int64_t stride) {
  if constexpr (hn::MaxLanes(D()) * sizeof(T) <= 16) {
    hn::StoreU(v, d, p);
  } else {
    const hn::Half<D> half;
    const std::int64_t blocks = hn::MaxLanes(half) * sizeof(T) / 16;
    store_blocks(hn::LowerHalf(half, v), half, p, stride);
    store_blocks(hn::UpperHalf(half, v), half, p + blocks * stride, stride);
  }
}

/// Transposes inside each 128-bit block: 4 × 4 floats or 2 × 2 doubles.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void transpose_blocks(D d, V (&v)[16 / sizeof(hn::TFromD<D>)]) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    const V low = hn::InterleaveLower(d, v[0], v[1]), high = hn::InterleaveUpper(d, v[0], v[1]);
    v[0] = low, v[1] = high;
  } else {
    const hn::Repartition<double, D> pairs;
    const auto pair = [&](V x) HWY_ATTR { return hn::BitCast(pairs, x); };
    const auto a = pair(hn::InterleaveLower(d, v[0], v[1])),
               b = pair(hn::InterleaveLower(d, v[2], v[3]));
    const auto c = pair(hn::InterleaveUpper(d, v[0], v[1])),
               e = pair(hn::InterleaveUpper(d, v[2], v[3]));
    v[0] = hn::BitCast(d, hn::InterleaveLower(pairs, a, b));
    v[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, a, b));
    v[2] = hn::BitCast(d, hn::InterleaveLower(pairs, c, e));
    v[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, c, e));
  }
}

#endif  // HWY_SCALAR, which has no 128-bit blocks: the loops over single elements below serve it

/// out[c][r] = factor · in[r][c] for a group of kLanes rows, of which `rows` exist (the others become 0). out's rows are
/// `pitch` apart.
template <class T>
HWY_INLINE void transpose_in(const T* HWY_RESTRICT in, std::int64_t stride, std::int64_t rows,
                             std::int64_t columns, T factor, T* HWY_RESTRICT out,
                             std::int64_t pitch) {
  [[maybe_unused]] const Tag<T> d;
  std::int64_t c = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr int kBlock = 16 / sizeof(T);
  if (rows == kLanes<T>) {
    const auto f = hn::Set(d, factor);
    for (; c + kBlock <= columns; c += kBlock) {
      hn::Vec<Tag<T>> v[kBlock];
      ATTEND_UNROLL for (int i = 0; i < kBlock; ++i) v[i] =
          load_blocks(d, in + i * stride + c, kBlock * stride);
      transpose_blocks(d, v);
      ATTEND_UNROLL for (int i = 0; i < kBlock; ++i)
          hn::StoreU(hn::Mul(v[i], f), d, out + (c + i) * pitch);
    }
  }
#endif
  for (; c < columns; ++c)
    for (std::int64_t r = 0; r < kLanes<T>; ++r)
      out[c * pitch + r] = r < rows ? in[r * stride + c] * factor : T{0};
}

/// out[r][c] = in[c][r] · factor[r] for the first `rows` rows of a group of kLanes.
template <class T>
HWY_INLINE void transpose_out(const T* HWY_RESTRICT in, std::int64_t pitch, std::int64_t rows,
                              std::int64_t columns, hn::Vec<Tag<T>> factor, T* HWY_RESTRICT out,
                              std::int64_t stride) {
  const Tag<T> d;
  std::int64_t c = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr int kBlock = 16 / sizeof(T);
  if (rows == kLanes<T>) {
    for (; c + kBlock <= columns; c += kBlock) {
      hn::Vec<Tag<T>> v[kBlock];
      ATTEND_UNROLL for (int i = 0; i < kBlock; ++i) v[i] =
          hn::Mul(hn::LoadU(d, in + (c + i) * pitch), factor);
      transpose_blocks(d, v);
      ATTEND_UNROLL for (int i = 0; i < kBlock; ++i)
          store_blocks(v[i], d, out + i * stride + c, kBlock * stride);
    }
  }
#endif
  if (c == columns) return;
  HWY_ALIGN T f[kLanes<T>];
  hn::Store(factor, d, f);
  for (; c < columns; ++c)
    for (std::int64_t r = 0; r < rows; ++r) out[r * stride + c] = in[c * pitch + r] * f[r];
}

/// f(n), with n a compile-time constant if it is one of the usual ones: loops over it then need no remainder.
template <class F>
HWY_INLINE void with_constant(std::int64_t n, F f) {
  switch (n) {
    case 16:
      return f(std::integral_constant<std::int64_t, 16>());
    case 32:
      return f(std::integral_constant<std::int64_t, 32>());
    case 64:
      return f(std::integral_constant<std::int64_t, 64>());
    case 128:
      return f(std::integral_constant<std::int64_t, 128>());
    default:
      return f(n);
  }
}

/// sum[k][g] = <key_k, Qt[·]> for K keys from `key`, taken by done(sum).
template <int K, int QV, class T, class F>
HWY_INLINE void score_tile(const T* HWY_RESTRICT key, std::int64_t stride, const T* HWY_RESTRICT qt,
                           std::int64_t width, F done) {
  const Tag<T> d;
  using V = hn::Vec<Tag<T>>;
  constexpr std::int64_t kPitch = QV * kLanes<T>;
  V sum[K][QV];
  ATTEND_UNROLL for (int k = 0; k < K; ++k) ATTEND_UNROLL for (int g = 0; g < QV; ++g) sum[k][g] =
      hn::Zero(d);
  _Pragma("GCC unroll 4") for (std::int64_t c = 0; c < width; ++c) {
    V q[QV];
    ATTEND_UNROLL for (int g = 0; g < QV; ++g) q[g] = hn::Load(d, qt + c * kPitch + g * kLanes<T>);
    ATTEND_UNROLL for (int k = 0; k < K; ++k) {
      const V x = hn::Set(d, key[k * stride + c]);
      ATTEND_UNROLL for (int g = 0; g < QV; ++g) sum[k][g] = hn::MulAdd(x, q[g], sum[k][g]);
    }
  }
  done(sum);
}

/// f(offset in an [n][queries] array, g, vector) for each vector of a tile that starts at key k.
template <class T, int K, int QV, class V, class F>
HWY_INLINE void each_of(const V (&sum)[K][QV], std::int64_t k, F f) {
  ATTEND_UNROLL for (int i = 0; i < K; ++i) ATTEND_UNROLL for (int g = 0; g < QV; ++g)
      f(((k + i) * QV + g) * kLanes<T>, g, sum[i][g]);
}

/// score_tile over any number of keys: done(k, sum) takes those from key k on. ahead.step() once a tile.
template <int QV, class T, class F>
HWY_INLINE void scores(Rows<T> key, const T* qt, std::int64_t width, std::int64_t keys,
                       Ahead& ahead, F done) {
  constexpr int kK = kTile<QV>;
  const auto from = [&](std::int64_t k)
                        HWY_ATTR { return [&, k](const auto& sum) HWY_ATTR { done(k, sum); }; };
  std::int64_t k = 0;
  with_constant(key.stride == width ? width : 0, [&](auto constant) HWY_ATTR {
    const std::int64_t columns = constant > 0 ? static_cast<std::int64_t>(constant) : width,
                       stride = constant > 0 ? columns : key.stride;
    for (; k + kK <= keys; k += kK) {
      ahead.step();
      score_tile<kK, QV>(key.data + k * stride, stride, qt, columns, from(k));
    }
  });
  for (; k + 2 <= keys; k += 2) score_tile<2, QV>(key.row(k), key.stride, qt, width, from(k));
  for (; k < keys; ++k) score_tile<1, QV>(key.row(k), key.stride, qt, width, from(k));
}

/// out[c][·] = fade[·] · out[c][·] + Σ_k p[k][·] value[k][c] for C columns; `first`: out is not read.
template <int C, int QV, class T>
HWY_INLINE void value_tile(const T* HWY_RESTRICT value, std::int64_t stride,
                           const T* HWY_RESTRICT p, std::int64_t keys,
                           const hn::Vec<Tag<T>> (&fade)[QV], bool first, T* HWY_RESTRICT out) {
  const Tag<T> d;
  using V = hn::Vec<Tag<T>>;
  constexpr std::int64_t kPitch = QV * kLanes<T>;
  V sum[C][QV];
  ATTEND_UNROLL for (int c = 0; c < C; ++c) ATTEND_UNROLL for (int g = 0; g < QV; ++g) sum[c][g] =
      first ? hn::Zero(d) : hn::Mul(fade[g], hn::Load(d, out + c * kPitch + g * kLanes<T>));
  _Pragma("GCC unroll 2") for (std::int64_t k = 0; k < keys; ++k) {
    V w[QV];
    ATTEND_UNROLL for (int g = 0; g < QV; ++g) w[g] = hn::Load(d, p + k * kPitch + g * kLanes<T>);
    ATTEND_UNROLL for (int c = 0; c < C; ++c) {
      const V x = hn::Set(d, value[k * stride + c]);
      ATTEND_UNROLL for (int g = 0; g < QV; ++g) sum[c][g] = hn::MulAdd(x, w[g], sum[c][g]);
    }
  }
  ATTEND_UNROLL for (int c = 0; c < C; ++c) ATTEND_UNROLL for (int g = 0; g < QV; ++g)
      hn::Store(sum[c][g], d, out + c * kPitch + g * kLanes<T>);
}

/// value_tile over any number of columns.
template <int QV, class T>
HWY_INLINE void add_values(Rows<T> value, std::int64_t columns, const T* p, std::int64_t keys,
                           const hn::Vec<Tag<T>> (&fade)[QV], bool first, T* out, Ahead& ahead) {
  constexpr std::int64_t kPitch = QV * kLanes<T>;
  constexpr int kC = kTile<QV>;
  const auto [v, stride] = value;
  std::int64_t c = 0;
  with_constant(keys, [&, v = v, stride = stride](auto count) HWY_ATTR {
    for (; c + kC <= columns; c += kC) {
      ahead.step();
      value_tile<kC, QV>(v + c, stride, p, count, fade, first, out + c * kPitch);
    }
  });
  for (; c + 2 <= columns; c += 2)
    value_tile<2, QV>(v + c, stride, p, keys, fade, first, out + c * kPitch);
  for (; c < columns; ++c) value_tile<1, QV>(v + c, stride, p, keys, fade, first, out + c * kPitch);
}

/// out[k][c … c + C·lanes) += Σ_i p[k][i] rows[i][c …] for K keys, or, with Tail, n lanes of one vector.
template <int K, int C, bool Tail, class T>
HWY_INLINE void outer_tile(const T* HWY_RESTRICT p, std::int64_t pitch, const T* HWY_RESTRICT rows,
                           std::int64_t stride, std::int64_t queries, std::size_t n,
                           T* HWY_RESTRICT out, std::int64_t out_stride) {
  const Tag<T> d;
  using V = hn::Vec<Tag<T>>;
  V sum[K][C];
  ATTEND_UNROLL for (int k = 0; k < K; ++k) ATTEND_UNROLL for (int c = 0; c < C; ++c) {
    const T* place = out + k * out_stride + c * kLanes<T>;
    sum[k][c] = Tail ? load_n(d, place, n) : hn::LoadU(d, place);
  }
  _Pragma("GCC unroll 4") for (std::int64_t i = 0; i < queries; ++i) {
    V x[C];
    ATTEND_UNROLL for (int c = 0; c < C; ++c) {
      const T* place = rows + i * stride + c * kLanes<T>;
      x[c] = Tail ? load_n(d, place, n) : hn::LoadU(d, place);
    }
    ATTEND_UNROLL for (int k = 0; k < K; ++k) {
      const V w = hn::Set(d, p[k * pitch + i]);
      ATTEND_UNROLL for (int c = 0; c < C; ++c) sum[k][c] = hn::MulAdd(w, x[c], sum[k][c]);
    }
  }
  ATTEND_UNROLL for (int k = 0; k < K; ++k) ATTEND_UNROLL for (int c = 0; c < C; ++c) {
    T* place = out + k * out_stride + c * kLanes<T>;
    if constexpr (Tail)
      store_n(sum[k][c], d, place, n);
    else
      hn::StoreU(sum[k][c], d, place);
  }
}

/// One strip of C vectors of columns over any number of keys.
template <int C, bool Tail, class T>
HWY_INLINE void outer_strip(const T* p, std::int64_t pitch, std::int64_t keys, const T* rows,
                            std::int64_t stride, std::int64_t queries, std::size_t n, T* out,
                            std::int64_t out_stride) {
  constexpr int kK = kRegisters / 2 / C;
  std::int64_t k = 0;
  for (; k + kK <= keys; k += kK)
    outer_tile<kK, C, Tail>(p + k * pitch, pitch, rows, stride, queries, n, out + k * out_stride,
                            out_stride);
  for (; k < keys; ++k)
    outer_tile<1, C, Tail>(p + k * pitch, pitch, rows, stride, queries, n, out + k * out_stride,
                           out_stride);
}

/// out[k][·] += Σ_i p[k][i] rows[i][·]: the gradients of keys and values.
template <class T>
HWY_INLINE void add_outer(const T* p, std::int64_t pitch, std::int64_t keys, const T* rows,
                          std::int64_t stride, std::int64_t queries, std::int64_t columns, T* out,
                          std::int64_t out_stride) {
  constexpr int kC = kRegisters == 32 ? 4 : 2;
  std::int64_t c = 0;
  for (; c + kC * kLanes<T> <= columns; c += kC * kLanes<T>)
    outer_strip<kC, false>(p, pitch, keys, rows + c, stride, queries, 0, out + c, out_stride);
  for (; kC > 2 && c + 2 * kLanes<T> <= columns; c += 2 * kLanes<T>)
    outer_strip<2, false>(p, pitch, keys, rows + c, stride, queries, 0, out + c, out_stride);
  for (; c + kLanes<T> <= columns; c += kLanes<T>)
    outer_strip<1, false>(p, pitch, keys, rows + c, stride, queries, 0, out + c, out_stride);
  if (c < columns)
    outer_strip<1, true>(p, pitch, keys, rows + c, stride, queries,
                         static_cast<std::size_t>(columns - c), out + c, out_stride);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
