// Register tiles of the vocabulary loss, once per Highway target.
#if defined(ATTEND_KERNELS_VOCABULARY_LOSS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_VOCABULARY_LOSS_TILE_INL_H_
#undef ATTEND_KERNELS_VOCABULARY_LOSS_TILE_INL_H_
#else
#define ATTEND_KERNELS_VOCABULARY_LOSS_TILE_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/simd/math-inl.h"

#ifndef ATTEND_UNROLL
#define ATTEND_UNROLL _Pragma("GCC unroll 32")
#endif

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

constexpr bool kWide = HWY_TARGET <= HWY_AVX3;  // 32 registers, else 16
constexpr int kRowVectors = 3;                  // scores: vectors of rows
constexpr int kWordTile = kWide ? 8 : 4;        //         × words
constexpr int kProductTile = 6;                 // products: rows or words
constexpr int kPanelVectors = kWide ? 4 : 2;    //           × vectors of columns
constexpr std::int64_t kDepth = 96;  // rows of a weight gradient's tile: 96 × 64 floats stay in L1

template <class T>
using Tag = hn::ScalableTag<T>;
template <class T>
using Vector = hn::Vec<Tag<T>>;
template <class T>
constexpr std::int64_t kLanes = hn::MaxLanes(Tag<T>());
template <class T>
constexpr std::int64_t kRows = kRowVectors* kLanes<T>;
template <class T>
constexpr std::int64_t kPanel = kPanelVectors* kLanes<T>;

/// Columns are cut into panels of kPanel, the last one narrower: [panel][row][width].
template <class T>
std::int64_t panel_width(std::int64_t column, std::int64_t padded) {
  return std::min(kPanel<T>, padded - column);
}

/// Words of the weight, either packed in panels or as they are (then one panel holds every column).
template <class T>
struct WordsView {
  const T* base;
  bool packed;
  std::int64_t words, panel, padded, stride;  // stride: between words that are not packed

  const T* word(std::int64_t column, std::int64_t j) const {
    return base + (packed ? column * words : 0) + j * step(column);
  }
  std::int64_t step(std::int64_t column) const {
    return packed ? std::min(panel, padded - column) : stride;
  }
};

/// out[j][·] = b_j + <w_j, x[·]> for W words and kRows rows; the largest of each row goes on in `largest`.
template <int W, class T>
HWY_INLINE void score_tile(const WordsView<T>& w, std::int64_t j, const T* bias,
                           const T* HWY_RESTRICT x, std::int64_t channels, T* HWY_RESTRICT out,
                           std::int64_t pitch, Vector<T> (&largest)[kRowVectors]) {
  const Tag<T> d;
  Vector<T> sum[W][kRowVectors];
  ATTEND_UNROLL for (int i = 0; i < W; ++i) {
    const auto start = bias ? hn::Set(d, bias[j + i]) : hn::Zero(d);
    ATTEND_UNROLL for (int g = 0; g < kRowVectors; ++g) sum[i][g] = start;
  }
  for (std::int64_t column = 0; column < channels; column += w.panel) {
    const T* HWY_RESTRICT word = w.word(column, j);
    const std::int64_t step = w.step(column), end = std::min(w.panel, channels - column);
    const T* HWY_RESTRICT from = x + column * kRows<T>;
    _Pragma("GCC unroll 2") for (std::int64_t c = 0; c < end; ++c) {
      Vector<T> row[kRowVectors];
      ATTEND_UNROLL for (int g = 0; g < kRowVectors; ++g) row[g] =
          hn::LoadU(d, from + c * kRows<T> + g * kLanes<T>);
      ATTEND_UNROLL for (int i = 0; i < W; ++i) {
        const auto factor = hn::Set(d, word[i * step + c]);
        ATTEND_UNROLL for (int g = 0; g < kRowVectors; ++g) sum[i][g] =
            hn::MulAdd(factor, row[g], sum[i][g]);
      }
    }
  }
  ATTEND_UNROLL for (int i = 0; i < W; ++i) ATTEND_UNROLL for (int g = 0; g < kRowVectors; ++g) {
    largest[g] = hn::Max(largest[g], sum[i][g]);
    hn::StoreU(sum[i][g], d, out + i * pitch + g * kLanes<T>);
  }
}

/// score_tile over all words of the view.
template <class T>
void scores(const WordsView<T>& w, const T* bias, const T* x, std::int64_t channels, T* out,
            std::int64_t pitch, Vector<T> (&largest)[kRowVectors]) {
  std::int64_t j = 0;
  const auto tile = [&](auto width) HWY_ATTR {
    score_tile<decltype(width)::value>(w, j, bias, x, channels, out + j * pitch, pitch, largest);
    j += width;
  };
  using Full = std::integral_constant<int, kWordTile>;
  using Half = std::integral_constant<int, kWordTile / 2>;
  while (j + kWordTile <= w.words) tile(Full());
  if (j + kWordTile / 2 <= w.words) tile(Half());
  while (j < w.words) tile(std::integral_constant<int, 1>());
}

enum class Walk { kAlongRows, kAcrossRows };  // a product's left factor: a[i][k], or a[k][i]
enum class Start { kZero, kAdd };

/// out[i][·] = Σ_k a(i, k) b[k][·], or += it, for I rows and N vectors of columns; with Tail the one vector has n lanes.
template <int I, int N, Walk kWalk, Start kStart, bool Tail, class T>
HWY_INLINE void product_tile(const T* HWY_RESTRICT a, std::int64_t pitch, const T* HWY_RESTRICT b,
                             std::int64_t b_stride, std::int64_t depth, T* HWY_RESTRICT out,
                             std::int64_t stride, std::size_t n) {
  const Tag<T> d;
  Vector<T> sum[I][N];
  ATTEND_UNROLL for (int i = 0; i < I; ++i) ATTEND_UNROLL for (int x = 0; x < N; ++x) {
    const T* place = out + i * stride + x * kLanes<T>;
    if constexpr (kStart == Start::kZero)
      sum[i][x] = hn::Zero(d);
    else if constexpr (Tail)
      sum[i][x] = load_n(d, place, n);
    else
      sum[i][x] = hn::LoadU(d, place);
  }
  _Pragma("GCC unroll 2") for (std::int64_t k = 0; k < depth; ++k) {
    Vector<T> row[N];
    ATTEND_UNROLL for (int x = 0; x < N; ++x) row[x] =
        hn::LoadU(d, b + k * b_stride + x * kLanes<T>);
    ATTEND_UNROLL for (int i = 0; i < I; ++i) {
      const auto factor =
          hn::Set(d, kWalk == Walk::kAlongRows ? a[i * pitch + k] : a[k * pitch + i]);
      ATTEND_UNROLL for (int x = 0; x < N; ++x) sum[i][x] = hn::MulAdd(factor, row[x], sum[i][x]);
    }
  }
  ATTEND_UNROLL for (int i = 0; i < I; ++i) ATTEND_UNROLL for (int x = 0; x < N; ++x) {
    T* place = out + i * stride + x * kLanes<T>;
    if constexpr (Tail)
      store_n(sum[i][x], d, place, n);
    else
      hn::StoreU(sum[i][x], d, place);
  }
}

/// product_tile over `rows` rows.
template <int N, Walk kWalk, Start kStart, bool Tail, class T>
void product_strip(const T* a, std::int64_t pitch, const T* b, std::int64_t b_stride,
                   std::int64_t depth, std::int64_t rows, T* out, std::int64_t stride,
                   std::size_t n) {
  const std::int64_t a_step = kWalk == Walk::kAlongRows ? pitch : 1;
  std::int64_t i = 0;
  for (; i + kProductTile <= rows; i += kProductTile)
    product_tile<kProductTile, N, kWalk, kStart, Tail>(a + i * a_step, pitch, b, b_stride, depth,
                                                       out + i * stride, stride, n);
  for (; i + 2 <= rows; i += 2)
    product_tile<2, N, kWalk, kStart, Tail>(a + i * a_step, pitch, b, b_stride, depth,
                                            out + i * stride, stride, n);
  if (i < rows)
    product_tile<1, N, kWalk, kStart, Tail>(a + i * a_step, pitch, b, b_stride, depth,
                                            out + i * stride, stride, n);
}

/// One panel of b (depth rows of `width` elements, zeros beyond `columns`) into `rows` rows of out, of which `columns`
/// elements are touched.
template <Walk kWalk, Start kStart, class T>
void panel_product(const T* a, std::int64_t pitch, const T* b, std::int64_t width,
                   std::int64_t depth, std::int64_t rows, std::int64_t columns, T* out,
                   std::int64_t stride) {
  std::int64_t c = 0;
  const auto strip = [&](auto vectors, auto tail) HWY_ATTR {
    product_strip<decltype(vectors)::value, kWalk, kStart, decltype(tail)::value>(
        a, pitch, b + c, width, depth, rows, out + c, stride,
        static_cast<std::size_t>(columns - c));
  };
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  for (; c + kPanel<T> <= columns; c += kPanel<T>)
    strip(std::integral_constant<int, kPanelVectors>(), std::false_type());
  if (kPanelVectors > 2 && c + 2 * kLanes<T> <= columns) {
    strip(Two(), std::false_type());
    c += 2 * kLanes<T>;
  }
  for (; c + kLanes<T> <= columns; c += kLanes<T>) strip(One(), std::false_type());
  if (c < columns) strip(One(), std::true_type());
}

/// 2^x for x ≤ 0; NaN stays NaN, −inf gives 0. At most 2 ulp (float): the degree-5 polynomial on [−½, ½] is a minimax fit.
HWY_INLINE Vector<float> exp2_nonpositive(Tag<float> d, Vector<float> x) {
  static constexpr float kC[] = {1.000000072e+00f, 6.931469671e-01f, 2.402211972e-01f,
                                 5.550713290e-02f, 9.675541293e-03f, 1.327646679e-03f};
  x = hn::Max(hn::Set(d, -160.0f),
              x);  // in this order: of a NaN and a number Max returns its second argument
  const auto n = hn::Round(x);
  return scale_by_power(d, polynomial(d, hn::Sub(x, n), kC), n);
}
HWY_INLINE Vector<double> exp2_nonpositive(Tag<double> d, Vector<double> x) { return exp2(d, x); }

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
