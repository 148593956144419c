// The tiles of additive attention, once per Highway target. Lanes run along the width A, which is long and a multiple of
// the vector for most models, so queries and keys stay row-major as they come and any number of keys fills the vectors;
// a score is one horizontal sum, an eighth of its work at A = 256 and nothing in backward.
#if defined(ATTEND_KERNELS_ADDITIVE_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_ADDITIVE_TILE_INL_H_
#undef ATTEND_KERNELS_ADDITIVE_TILE_INL_H_
#else
#define ATTEND_KERNELS_ADDITIVE_TILE_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <limits>

#include "attend/kernels/additive.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/sums-inl.h"

#define ATTEND_UNROLL _Pragma("GCC unroll 32")

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// Queries of a tile: four where there are 32 registers.
constexpr int kAdditiveRows = HWY_TARGET <= HWY_AVX3 ? 4 : 2;
constexpr int kAdditiveKeys = 4;

template <class T>
using AdditiveTag = hn::ScalableTag<T>;
template <class T>
using AdditiveVec = hn::Vec<AdditiveTag<T>>;
template <class T>
constexpr std::int64_t kAdditiveLanes = hn::MaxLanes(AdditiveTag<T>());

/// Denominators stop here, so that the product of two is finite; tanh has rounded to 1 long before.
template <class T>
constexpr T kLargestDenominator = sizeof(T) == 4 ? T(1e18) : T(1e150);

/// row = e^{2x} padded with 0; −1 at its head when some |x| is beyond additive_range or NaN.
template <class T>
void exponentials(const T* HWY_RESTRICT x, std::int64_t width, T* HWY_RESTRICT row) {
  const AdditiveTag<T> d;
  const std::int64_t lanes = kAdditiveLanes<T>, padded = additive_padded<T>(width);
  auto inside = hn::Eq(hn::Zero(d), hn::Zero(d));
  const auto range = hn::Set(d, additive_range<T>);
  std::int64_t a = 0;
  for (; a < width; a += lanes) {
    const auto n = static_cast<std::size_t>(std::min(lanes, width - a));
    const auto v = n == static_cast<std::size_t>(lanes) ? hn::LoadU(d, x + a) : load_n(d, x + a, n);
    inside = hn::And(inside, hn::Le(hn::Abs(v), range));
    const auto e = exp(d, hn::Add(v, v));
    hn::StoreU(n == static_cast<std::size_t>(lanes) ? e : hn::IfThenElseZero(hn::FirstN(d, n), e),
               d, row + a);
  }
  for (; a < padded; a += lanes) hn::StoreU(hn::Zero(d), d, row + a);
  if (!hn::AllTrue(d, inside)) row[0] = T{-1};
}
template <class T>
bool is_far(const T* row) {
  return row[0] < 0;
}

/// 1 + e^{2(q + k)} from prepared rows; none of them far.
template <int R, int K, class T>
struct FromExponentials {
  const T* query[R];
  const T* key[K];

  HWY_INLINE AdditiveVec<T> operator()(int r, int c, std::int64_t a) const {
    const AdditiveTag<T> d;
    const auto u = hn::MulAdd(hn::LoadU(d, query[r] + a), hn::LoadU(d, key[c] + a), hn::Set(d, 1));
    return hn::Min(hn::Set(d, kLargestDenominator<T>), u);
  }
};

/// The same from the rows themselves, whatever is in them.
template <class T>
struct FromSums {
  const T* query[1];
  const T* key[1];
  std::int64_t width;

  HWY_INLINE AdditiveVec<T> operator()(int, int, std::int64_t a) const {
    const AdditiveTag<T> d;
    const auto n =
        static_cast<std::size_t>(std::clamp<std::int64_t>(width - a, 0, kAdditiveLanes<T>));
    const auto x =
        n == 0 ? hn::Zero(d) : hn::Add(load_n(d, query[0] + a, n), load_n(d, key[0] + a, n));
    const auto u = hn::Add(exp(d, hn::Add(x, x)), hn::Set(d, 1));
    const auto limit = hn::Set(d, kLargestDenominator<T>);
    return hn::IfThenElse(hn::Gt(u, limit), limit, u);  // not Min: NaN stays NaN
  }
};

/// out[r][c] = Σ_a w_a (r − ½), which is −½ of the score. `start` holds −½ Σ w for each lane: sums that run around 0 keep
/// more bits than sums around ½ Σ w.
template <int R, int K, class T, class Denominator>
HWY_INLINE void score_tile(Denominator denominator, const T* HWY_RESTRICT w,
                           const T* HWY_RESTRICT start, std::int64_t padded, T* HWY_RESTRICT out,
                           std::int64_t pitch) {
  using V = AdditiveVec<T>;
  const AdditiveTag<T> d;
  constexpr std::int64_t kLanes = kAdditiveLanes<T>;
  V sum[R][K];
  ATTEND_UNROLL for (int r = 0; r < R; ++r) ATTEND_UNROLL for (int c = 0; c < K; ++c) sum[r][c] =
      hn::LoadU(d, start);
  for (std::int64_t a = 0; a < padded; a += 2 * kLanes) {
    const V w0 = hn::LoadU(d, w + a), w1 = hn::LoadU(d, w + a + kLanes);
    ATTEND_UNROLL for (int r = 0; r < R; ++r) {
      ATTEND_UNROLL for (int c = 0; c < K; ++c) {
        const V u0 = denominator(r, c, a), u1 = denominator(r, c, a + kLanes);
        const V top = hn::MulAdd(w0, u1, hn::Mul(w1, u0));
        sum[r][c] = hn::Add(sum[r][c], hn::Div(top, hn::Mul(u0, u1)));  // w0 / u0 + w1 / u1
      }
    }
  }
  ATTEND_UNROLL for (int r = 0; r < R; ++r) {
    if constexpr (K == 4) {
      store_four_sums(d, sum[r], out + r * pitch);
    } else {
      for (int c = 0; c < K; ++c) out[r * pitch + c] = hn::GetLane(hn::SumOfLanes(d, sum[r][c]));
    }
  }
}

/// Where the sums of a gradient tile go: Σ ds (r − r²) for each query and key, Σ ds r for the weight.
template <int K, class T>
struct GradientRows {
  T* query;   // [R][padded]
  T* key[K];  // [padded] each
  T* weight;  // [padded]
};

/// Adds the tile's terms to the sums; with Fresh the keys' are set instead.
template <int R, int K, bool Fresh, class T, class Denominator>
HWY_INLINE void gradient_tile(Denominator denominator, const T* HWY_RESTRICT ds, std::int64_t pitch,
                              std::int64_t padded, const GradientRows<K, T> to) {
  using V = AdditiveVec<T>;
  const AdditiveTag<T> d;
  for (std::int64_t a = 0; a < padded; a += kAdditiveLanes<T>) {
    V of_key[K], of_weight = hn::LoadU(d, to.weight + a);
    ATTEND_UNROLL for (int c = 0; c < K; ++c) of_key[c] =
        Fresh ? hn::Zero(d) : hn::LoadU(d, to.key[c] + a);
    ATTEND_UNROLL for (int r = 0; r < R; ++r) {
      V of_query = hn::LoadU(d, to.query + r * padded + a);
      const auto add = [&](int c, V reciprocal) HWY_ATTR {
        const V t = hn::Mul(hn::Set(d, ds[r * pitch + c]), reciprocal);
        const V g = hn::NegMulAdd(t, reciprocal, t);
        of_weight = hn::Add(of_weight, t);
        of_query = hn::Add(of_query, g);
        of_key[c] = hn::Add(of_key[c], g);
      };
      if constexpr (K % 2 == 0) {
        ATTEND_UNROLL for (int c = 0; c < K; c += 2) {  // two reciprocals for one division
          const V u0 = denominator(r, c, a), u1 = denominator(r, c + 1, a);
          const V both = hn::Div(hn::Set(d, 1), hn::Mul(u0, u1));
          add(c, hn::Mul(u1, both));
          add(c + 1, hn::Mul(u0, both));
        }
      } else {
        ATTEND_UNROLL for (int c = 0; c < K; ++c)
            add(c, hn::Div(hn::Set(d, 1), denominator(r, c, a)));
      }
      hn::StoreU(of_query, d, to.query + r * padded + a);
    }
    hn::StoreU(of_weight, d, to.weight + a);
    ATTEND_UNROLL for (int c = 0; c < K; ++c) hn::StoreU(of_key[c], d, to.key[c] + a);
  }
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
