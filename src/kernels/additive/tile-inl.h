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
#include <type_traits>

#include "attend/kernels/additive.h"
#include "kernels/attention/ahead.h"
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

/// f(i, count) for tiles that together are [begin, end): std::integral_constants Most, then 2, then 1.
template <int Most, class F>
HWY_INLINE void over_tiles(std::int64_t begin, std::int64_t end, F&& f) {
  std::int64_t i = begin;
  for (; i + Most <= end; i += Most) f(i, std::integral_constant<int, Most>());
  if constexpr (Most > 2)
    if (i + 2 <= end) f(i, std::integral_constant<int, 2>()), i += 2;
  if constexpr (Most > 1)
    if (i < end) f(i, std::integral_constant<int, 1>());
}

/// Denominators stop here, so that the product of two is finite; tanh has rounded to 1 long before.
template <class T>
constexpr T kLargestDenominator = sizeof(T) == 4 ? T(1e18) : T(1e150);

/// e^{2x} for |x| ≤ additive_range; elsewhere anything. In float two steps of exp() less: n comes from an addition that rounds,
/// and ln 2 needs no second part, whose share n · 2e-9 stays within 2 eps.
template <class T>
HWY_INLINE AdditiveVec<T> exponential_of_twice(AdditiveVec<T> x) {
  using V = AdditiveVec<T>;
  const AdditiveTag<T> d;
  const V twice = hn::Add(x, x);
  V n, r;
  if constexpr (sizeof(T) == 4) {
    const V magic = hn::Set(d, 12582912.0F);  // 1.5 · 2^23
    n = hn::Sub(hn::MulAdd(twice, hn::Set(d, MathConstants<T>::kLog2e), magic), magic);
    r = hn::NegMulAdd(n, hn::Set(d, 0.693147182F), twice);
  } else {
    reduce_exp(d, twice, n, r);
  }
  return scale_by_power(d, hn::Add(expm1_reduced(d, r), hn::Set(d, 1)), n);
}

/// row = e^{2x} padded with 0; −1 at its head when some |x| is beyond additive_range or NaN.
template <class T>
void exponentials(const T* HWY_RESTRICT x, std::int64_t width, T* HWY_RESTRICT row) {
  using V = AdditiveVec<T>;
  const AdditiveTag<T> d;
  const hn::RebindToSigned<AdditiveTag<T>> di;
  const std::int64_t lanes = kAdditiveLanes<T>, padded = additive_padded<T>(width);
  // Compared as integers, NaN is the largest of all. Beyond the range the row is not read, so its e^{2x} may be anything.
  auto largest = hn::Zero(di);
  const auto exponential = [&](V v) HWY_ATTR {
    largest = hn::Max(largest, hn::BitCast(di, hn::Abs(v)));
    return exponential_of_twice<T>(v);
  };
  std::int64_t a = 0;
  for (; a + lanes <= width; a += lanes) hn::StoreU(exponential(hn::LoadU(d, x + a)), d, row + a);
  if (a < width) {
    const auto n = static_cast<std::size_t>(width - a);
    const V e = exponential(load_n(d, x + a, n));
    hn::StoreU(hn::IfThenElseZero(hn::FirstN(d, n), e), d, row + a);
    a += lanes;
  }
  for (; a < padded; a += lanes) hn::StoreU(hn::Zero(d), d, row + a);
  const auto range = hn::BitCast(di, hn::Set(d, additive_range<T>));
  if (!hn::AllFalse(di, hn::Gt(largest, range))) row[0] = T{-1};
}
template <class T>
bool is_far(const T* row) {
  return row[0] < 0;
}

/// 1 + e^{2q} e^{2k}
template <class T>
HWY_INLINE AdditiveVec<T> additive_denominator(AdditiveVec<T> query, AdditiveVec<T> key) {
  const AdditiveTag<T> d;
  return hn::Min(hn::Set(d, kLargestDenominator<T>), hn::MulAdd(query, key, hn::Set(d, 1)));
}

/// 1 + e^{2(q + k)} from prepared rows; none of them far.
template <int R, int K, class T>
struct FromExponentials {
  const T* query[R];
  const T* key[K];

  HWY_INLINE AdditiveVec<T> operator()(int r, int c, std::int64_t a) const {
    const AdditiveTag<T> d;
    return additive_denominator<T>(hn::LoadU(d, query[r] + a), hn::LoadU(d, key[c] + a));
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
                           std::int64_t pitch, Ahead& ahead) {
  using V = AdditiveVec<T>;
  const AdditiveTag<T> d;
  constexpr std::int64_t kLanes = kAdditiveLanes<T>;
  V sum[R][K];
  ATTEND_UNROLL for (int r = 0; r < R; ++r) ATTEND_UNROLL for (int c = 0; c < K; ++c) sum[r][c] =
      hn::LoadU(d, start);
  for (std::int64_t a = 0; a < padded; a += 2 * kLanes, ahead.step()) {
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

/// r of one query and K keys: 1, 2 or 4.
template <int K, class T>
HWY_INLINE void reciprocals(AdditiveVec<T> query, const AdditiveVec<T> (&key)[K],
                            AdditiveVec<T> (&r)[K]) {
  using V = AdditiveVec<T>;
  const AdditiveTag<T> d;
  const V one = hn::Set(d, 1);
  if constexpr (K == 1) {
    r[0] = hn::Div(one, additive_denominator<T>(query, key[0]));
  } else {
    ATTEND_UNROLL for (int c = 0; c < K; c += 2) {
      const V u1 = additive_denominator<T>(query, key[c + 1]);
#if HWY_TARGET <= HWY_AVX3
      // The divider and the multipliers work side by side: one division and one approximation refined by Newton's step take a
      // twentieth less time than two reciprocals from one division. The denominator of a division may overflow.
      if constexpr (sizeof(T) == 4) {
        r[c] = hn::Div(one, hn::MulAdd(query, key[c], one));
        const V near = hn::ApproximateReciprocal(u1);
        r[c + 1] = hn::Mul(near, hn::NegMulAdd(u1, near, hn::Set(d, 2)));
        continue;
      }
#endif
      const V u0 = additive_denominator<T>(query, key[c]);
      const V both = hn::Div(one, hn::Mul(u0, u1));
      r[c] = hn::Mul(u1, both);
      r[c + 1] = hn::Mul(u0, both);
    }
  }
}

template <int K, class V>
HWY_INLINE V sum_of(const V (&v)[K]) {
  if constexpr (K == 1)
    return v[0];
  else if constexpr (K == 2)
    return hn::Add(v[0], v[1]);
  else
    return hn::Add(hn::Add(v[0], v[1]), hn::Add(v[2], v[3]));
}

/// A group of queries as the gradients take them: for each vector of the width all its queries in a row, so that the sums of
/// a few keys stay in registers while the queries pass.
template <class T>
struct GradientQueries {
  std::int64_t queries, width;
  const T* exponentials;  // [padded / lanes][queries][lanes]
  T* sums;                // the same: Σ_j ds (r − r²)
  T* weight_sums;         // [padded]: Σ_ij ds r
  const T*
      score_weight;  // [padded], with the scale: 4 times it is what the gradients have in common

  std::int64_t place(std::int64_t query, std::int64_t a) const {
    return a * queries + query * kAdditiveLanes<T>;
  }
  /// 4 w sums into row[a…], or added to it.
  HWY_INLINE void finish(AdditiveVec<T> sum, std::int64_t a, bool fresh, T* row) const {
    const AdditiveTag<T> d;
    const auto factor = hn::Mul(hn::Set(d, 4), hn::LoadU(d, score_weight + a));
    const auto n = static_cast<std::size_t>(std::min(kAdditiveLanes<T>, width - a));
    if (n == static_cast<std::size_t>(kAdditiveLanes<T>)) {
      sum = fresh ? hn::Mul(factor, sum) : hn::MulAdd(factor, sum, hn::LoadU(d, row + a));
      return hn::StoreU(sum, d, row + a);
    }
    sum = fresh ? hn::Mul(factor, sum) : hn::MulAdd(factor, sum, load_n(d, row + a, n));
    store_n(sum, d, row + a, n);
  }
};

/// The part that K keys have in the gradients. `ds` is that of the first query and key, `pitch` the way to the next query;
/// out[c] is the key's gradient, set or (not fresh) added to.
template <int K, class T>
void gradient_tile(const GradientQueries<T>& q, const T* const (&key)[K], const T* HWY_RESTRICT ds,
                   std::int64_t pitch, bool fresh, T* const (&out)[K], Ahead& ahead) {
  using V = AdditiveVec<T>;
  const AdditiveTag<T> d;
  for (std::int64_t a = 0; a < q.width; a += kAdditiveLanes<T>) {
    V k[K], of_key[K], of_weight = hn::Zero(d);
    ATTEND_UNROLL for (int c = 0; c < K; ++c) k[c] = hn::LoadU(d, key[c] + a);
    ATTEND_UNROLL for (int c = 0; c < K; ++c) of_key[c] = hn::Zero(d);
    const T* HWY_RESTRICT exponential = q.exponentials + q.place(0, a);
    T* HWY_RESTRICT sum = q.sums + q.place(0, a);
    const T* HWY_RESTRICT slope = ds;
    for (std::int64_t i = 0; i < q.queries; ++i) {
      V t[K], g[K];
      reciprocals<K, T>(hn::LoadU(d, exponential), k, t);
      ATTEND_UNROLL for (int c = 0; c < K; ++c) {
        const V r = t[c];
        t[c] = hn::Mul(hn::Set(d, slope[c]), r);
        g[c] = hn::NegMulAdd(t[c], r, t[c]);
        of_key[c] = hn::Add(of_key[c], g[c]);
      }
      // Few terms first and the long sums last, which keeps bits and shortens the chains.
      of_weight = hn::Add(of_weight, sum_of<K>(t));
      hn::StoreU(hn::Add(hn::LoadU(d, sum), sum_of<K>(g)), d, sum);
      exponential += kAdditiveLanes<T>, sum += kAdditiveLanes<T>, slope += pitch;
    }
    ahead.step();
    hn::StoreU(hn::Add(hn::LoadU(d, q.weight_sums + a), of_weight), d, q.weight_sums + a);
    ATTEND_UNROLL for (int c = 0; c < K; ++c) q.finish(of_key[c], a, fresh, out[c]);
  }
}

/// The same of one pair of rows whose exponentials are out of range.
template <class T>
void gradient_of_pair(const GradientQueries<T>& q, std::int64_t query, const FromSums<T>& pair,
                      T ds, T* out) {
  const AdditiveTag<T> d;
  for (std::int64_t a = 0; a < q.width; a += kAdditiveLanes<T>) {
    const auto reciprocal = hn::Div(hn::Set(d, 1), pair(0, 0, a));
    const auto t = hn::Mul(hn::Set(d, ds), reciprocal);
    const auto g = hn::NegMulAdd(t, reciprocal, t);
    hn::StoreU(hn::Add(hn::LoadU(d, q.weight_sums + a), t), d, q.weight_sums + a);
    T* sum = q.sums + q.place(query, a);
    hn::StoreU(hn::Add(hn::LoadU(d, sum), g), d, sum);
    q.finish(g, a, false, out);
  }
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
