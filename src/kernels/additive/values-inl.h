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

/// f(c, n, vectors): columns [c, c + n) held in a std::integral_constant of vectors, C of them, then four, then one; n is a
/// whole number of them but at the end.
template <int C, class T, class F>
HWY_INLINE void over_value_columns(std::int64_t width, F f, std::int64_t c = 0) {
  constexpr std::int64_t kLanes = kAdditiveLanes<T>;
  for (; c + C * kLanes <= width; c += C * kLanes) f(c, kLanes, std::integral_constant<int, C>());
  if constexpr (C > 4) return over_value_columns<4, T>(width, f, c);
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

/// Weights of R rows: weight(r, j) = at[r · row + j · step] for j in [begin, end).
template <class T>
struct WeightRows {
  const T* at;
  std::int64_t row, step, begin, end;
};

/// out[r][:] = Σ_j weight(r, j) rows(j), or (not fresh) that much more.
template <int R, class T, class Rows>
void sum_values(const WeightRows<T>& w, const Rows& rows, std::int64_t width, bool fresh, T* out) {
  constexpr int kColumns = HWY_TARGET <= HWY_AVX3 && R == 1 ? 16 : R == 1 ? 8 : 4;
  over_value_columns<kColumns, T>(width, [&](std::int64_t at, std::int64_t n,
                                             auto vectors) HWY_ATTR {
    constexpr int C = decltype(vectors)::value;
    const AdditiveTag<T> d;
    AdditiveVec<T> sum[R][C];
    const auto place = [&](int r, int c) { return out + r * width + at + c * kAdditiveLanes<T>; };
    ATTEND_UNROLL for (int r = 0; r < R; ++r) ATTEND_UNROLL for (int c = 0; c < C; ++c) sum[r][c] =
        fresh ? hn::Zero(d) : load_columns<T>(place(r, c), n);
    for (std::int64_t j = w.begin; j < w.end; ++j) {
      const T* row = rows(j) + at;
      AdditiveVec<T> weight[R];
      ATTEND_UNROLL for (int r = 0; r < R; ++r) weight[r] =
          hn::Set(d, w.at[r * w.row + j * w.step]);
      ATTEND_UNROLL for (int c = 0; c < C; ++c) {
        const auto v = load_columns(row + c * kAdditiveLanes<T>, n);
        ATTEND_UNROLL for (int r = 0; r < R; ++r) sum[r][c] = hn::MulAdd(weight[r], v, sum[r][c]);
      }
    }
    ATTEND_UNROLL for (int r = 0; r < R; ++r) ATTEND_UNROLL for (int c = 0; c < C; ++c)
        store_columns(sum[r][c], place(r, c), n);
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
        for (int c = 0; c < K; ++c)
          out[r * pitch + j + c] = hn::GetLane(hn::SumOfLanes(d, sum[r][c]));
      }
    }
  };
  over_tiles<4>(begin, end, tile);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
