// Products of a few rows of weights with the values, once per Highway target. `rows(j)` is the value of key j.
#if defined(ATTEND_KERNELS_ADDITIVE_VALUES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_ADDITIVE_VALUES_INL_H_
#undef ATTEND_KERNELS_ADDITIVE_VALUES_INL_H_
#else
#define ATTEND_KERNELS_ADDITIVE_VALUES_INL_H_
#endif

#include "kernels/additive/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// f(c, n, vectors): columns [c, c + n) held in a std::integral_constant of vectors; n is a whole number of them but at
/// the end.
template <int C, class T, class F>
HWY_INLINE void over_value_columns(std::int64_t width, F f) {
  constexpr std::int64_t kLanes = kAdditiveLanes<T>;
  std::int64_t c = 0;
  for (; c + C * kLanes <= width; c += C * kLanes) f(c, kLanes, std::integral_constant<int, C>());
  for (; c < width; c += kLanes)
    f(c, std::min(kLanes, width - c), std::integral_constant<int, 1>());
}
template <class T>
HWY_INLINE AdditiveVec<T> load_columns(const T* p, std::int64_t n) {
  const AdditiveTag<T> d;
  return n == kAdditiveLanes<T> ? hn::LoadU(d, p) : load_n(d, p, static_cast<std::size_t>(n));
}
template <class T>
HWY_INLINE void store_columns(AdditiveVec<T> v, T* p, std::int64_t n) {
  const AdditiveTag<T> d;
  n == kAdditiveLanes<T> ? hn::StoreU(v, d, p) : store_n(v, d, p, static_cast<std::size_t>(n));
}

/// A few rows of weights: weight(r, j) = at[r · pitch + j] for keys [begin, end).
template <class T>
struct WeightRows {
  const T* at;
  std::int64_t pitch, begin, end;
};

/// out[r][:] = Σ_j weight(r, j) rows(j)
template <int R, class T, class Rows>
void sum_values(const WeightRows<T>& w, const Rows& rows, std::int64_t width, T* out) {
  constexpr int kColumns = R == 1 ? 8 : 4;
  over_value_columns<kColumns, T>(width, [&](std::int64_t at, std::int64_t n,
                                             auto vectors) HWY_ATTR {
    constexpr int C = decltype(vectors)::value;
    const AdditiveTag<T> d;
    AdditiveVec<T> sum[R][C];
    ATTEND_UNROLL for (int r = 0; r < R; ++r) ATTEND_UNROLL for (int c = 0; c < C; ++c) sum[r][c] =
        hn::Zero(d);
    for (std::int64_t j = w.begin; j < w.end; ++j) {
      const T* row = rows(j) + at;
      AdditiveVec<T> weight[R];
      ATTEND_UNROLL for (int r = 0; r < R; ++r) weight[r] = hn::Set(d, w.at[r * w.pitch + j]);
      ATTEND_UNROLL for (int c = 0; c < C; ++c) {
        const auto v = load_columns(row + c * kAdditiveLanes<T>, n);
        ATTEND_UNROLL for (int r = 0; r < R; ++r) sum[r][c] = hn::MulAdd(weight[r], v, sum[r][c]);
      }
    }
    ATTEND_UNROLL for (int r = 0; r < R; ++r) ATTEND_UNROLL for (int c = 0; c < C; ++c)
        store_columns(sum[r][c], out + r * width + at + c * kAdditiveLanes<T>, n);
  });
}

/// out[r · pitch + j] = <grad[r], rows(j)> for j in [begin, end)
template <int R, class T, class Rows>
void dot_values(const T* const (&grad)[R], const Rows& rows, std::int64_t width, std::int64_t begin,
                std::int64_t end, T* out, std::int64_t pitch) {
  const AdditiveTag<T> d;
  constexpr std::int64_t kLanes = kAdditiveLanes<T>;
  const auto tile = [&](std::int64_t j, auto keys) HWY_ATTR {
    constexpr int K = decltype(keys)::value;
    const T* value[K];
    for (int c = 0; c < K; ++c) value[c] = rows(j + c);
    AdditiveVec<T> sum[R][K];
    ATTEND_UNROLL for (int r = 0; r < R; ++r) ATTEND_UNROLL for (int c = 0; c < K; ++c) sum[r][c] =
        hn::Zero(d);
    for (std::int64_t a = 0; a < width; a += kLanes) {
      const std::int64_t n = std::min(kLanes, width - a);
      AdditiveVec<T> g[R];
      ATTEND_UNROLL for (int r = 0; r < R; ++r) g[r] = load_columns(grad[r] + a, n);
      ATTEND_UNROLL for (int c = 0; c < K; ++c) {
        const auto v = load_columns(value[c] + a, n);
        ATTEND_UNROLL for (int r = 0; r < R; ++r) sum[r][c] = hn::MulAdd(g[r], v, sum[r][c]);
      }
    }
    ATTEND_UNROLL for (int r = 0; r < R; ++r) {
      if constexpr (K == 4) {
        store_four_sums(d, sum[r], out + r * pitch + j);
      } else {
        out[r * pitch + j] = hn::GetLane(hn::SumOfLanes(d, sum[r][0]));
      }
    }
  };
  std::int64_t j = begin;
  for (; j + 4 <= end; j += 4) tile(j, std::integral_constant<int, 4>());
  for (; j < end; ++j) tile(j, std::integral_constant<int, 1>());
}

/// out[j][:] += Σ_r weight(r, j) grad[r] for j in [begin, end); with Fresh the sum is set instead.
template <int R, bool Fresh, class T>
void spread_to_values(const WeightRows<T>& w, const T* const (&grad)[R], std::int64_t width,
                      T* out) {
  over_value_columns<4, T>(width, [&](std::int64_t at, std::int64_t n, auto vectors) HWY_ATTR {
    constexpr int C = decltype(vectors)::value;
    const AdditiveTag<T> d;
    AdditiveVec<T> g[R][C];
    ATTEND_UNROLL for (int r = 0; r < R; ++r) ATTEND_UNROLL for (int c = 0; c < C; ++c) g[r][c] =
        load_columns(grad[r] + at + c * kAdditiveLanes<T>, n);
    for (std::int64_t j = w.begin; j < w.end; ++j) {
      T* row = out + j * width + at;
      ATTEND_UNROLL for (int c = 0; c < C; ++c) {
        T* place = row + c * kAdditiveLanes<T>;
        auto sum = Fresh ? hn::Zero(d) : load_columns<T>(place, n);
        ATTEND_UNROLL for (int r = 0; r < R; ++r) sum =
            hn::MulAdd(hn::Set(d, w.at[r * w.pitch + j]), g[r][c], sum);
        store_columns(sum, place, n);
      }
    }
  });
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
