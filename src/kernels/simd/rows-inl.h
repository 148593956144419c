// Rows of a matrix and one vector, for the SIMD target that includes this: products of every row with a vector, and sums of rows
// with weights. What attention over few keys a query is made of.
#if defined(ATTEND_KERNELS_SIMD_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_SIMD_ROWS_INL_H_
#undef ATTEND_KERNELS_SIMD_ROWS_INL_H_
#else
#define ATTEND_KERNELS_SIMD_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/simd/math-inl.h"
#include "kernels/simd/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kSteps = 4;                        // time steps per pass over w
constexpr int kColumns = HWY_TARGET <= HWY_AVX3 ? 8 : 4;  // vectors of channels held in registers

/// out_w[r] = <x + r·stride, w> for r < R, and, with G, out_g[r] = <x + r·stride, g>.
template <int R, bool G, class T>
HWY_INLINE void dots(const T* x, std::int64_t stride, const T* HWY_RESTRICT w,
                     const T* HWY_RESTRICT g, std::int64_t channels, T* HWY_RESTRICT out_w,
                     T* HWY_RESTRICT out_g) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V sum_w[R], sum_g[R];
  for (int r = 0; r < R; ++r) sum_w[r] = sum_g[r] = hn::Zero(d);
  const auto step = [&](auto load, std::int64_t c) HWY_ATTR {
    const V vw = load(w + c);
    V vg = hn::Zero(d);
    if constexpr (G) vg = load(g + c);
    for (int r = 0; r < R; ++r) {
      const V vx = load(x + r * stride + c);
      sum_w[r] = hn::MulAdd(vx, vw, sum_w[r]);
      if constexpr (G) sum_g[r] = hn::MulAdd(vx, vg, sum_g[r]);
    }
  };
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes)
    step([&](const T* p) HWY_ATTR { return hn::LoadU(d, p); }, c);
  if (c < channels)
    step([&](const T* p) HWY_ATTR { return load_n(d, p, static_cast<std::size_t>(channels - c)); },
         c);
  if constexpr (R == kSteps) {
    store_four_sums(d, sum_w, out_w);
    if constexpr (G) store_four_sums(d, sum_g, out_g);
  } else {
    for (int r = 0; r < R; ++r) {
      out_w[r] = hn::GetLane(hn::SumOfLanes(d, sum_w[r]));
      if constexpr (G) out_g[r] = hn::GetLane(hn::SumOfLanes(d, sum_g[r]));
    }
  }
}

template <bool G, class T>
void all_dots(const T* x, std::int64_t stride, const T* w, const T* g, std::int64_t channels,
              std::int64_t length, T* out_w, T* out_g) {
  std::int64_t t = 0;
  for (; t + kSteps <= length; t += kSteps)
    dots<kSteps, G>(x + t * stride, stride, w, g, channels, out_w + t, G ? out_g + t : nullptr);
  for (; t < length; ++t)
    dots<1, G>(x + t * stride, stride, w, g, channels, out_w + t, G ? out_g + t : nullptr);
}

/// f(i, n) for every vector of [0, length): n = lanes elements at i, or fewer at the end.
template <class T, class F>
HWY_INLINE void over_vectors(std::int64_t length, F f) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  for (std::int64_t t = 0; t < length; t += lanes)
    f(t, static_cast<std::size_t>(length - t < lanes ? length - t : lanes));
}

/// to += factor · from
template <class T>
HWY_INLINE void add_scaled(T factor, const T* HWY_RESTRICT from, std::int64_t length,
                           T* HWY_RESTRICT to) {
  const hn::ScalableTag<T> d;
  const auto f = hn::Set(d, factor);
  over_vectors<T>(length, [&](std::int64_t i, std::size_t n) HWY_ATTR {
    store_n(hn::MulAdd(f, load_n(d, from + i, n), load_n(d, to + i, n)), d, to + i, n);
  });
}

/// N vectors of channels; with Tail the last one has n lanes only.
template <int N, bool Tail, class T>
struct Columns {
  hn::ScalableTag<T> d;
  std::size_t n;
  using V = hn::Vec<hn::ScalableTag<T>>;

  HWY_INLINE V load(const T* p, int j) const {
    const T* from = p + j * static_cast<std::int64_t>(hn::Lanes(d));
    return Tail && j == N - 1 ? load_n(d, from, n) : hn::LoadU(d, from);
  }
  HWY_INLINE void store(V v, T* p, int j) const {
    T* to = p + j * static_cast<std::int64_t>(hn::Lanes(d));
    if (Tail && j == N - 1)
      store_n(v, d, to, n);
    else
      hn::StoreU(v, d, to);
  }
};

/// Walks over channels in blocks of kColumns vectors, then one block of as many as are left, so
/// that N sums run side by side: a single chain of additions would wait 4 cycles for each.
/// f(columns, c).
template <class T, class F, int N = kColumns>
HWY_INLINE void last_channels(std::int64_t left, std::int64_t c, F f) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  if (left > (N - 1) * lanes) {
    f(Columns<N, true, T>{{}, static_cast<std::size_t>(left - (N - 1) * lanes)}, c);
  } else if constexpr (N > 1) {
    last_channels<T, F, N - 1>(left, c, f);
  }
}
template <class T, class F>
HWY_INLINE void over_channels(std::int64_t channels, F f) {
  const std::int64_t block = kColumns * static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  std::int64_t c = 0;
  for (; c + block <= channels; c += block) f(Columns<kColumns, false, T>{{}, 0}, c);
  if (c < channels) last_channels<T, F>(channels - c, c, f);
}

/// out = Σ_t weights[t] x[t] over N vectors of channels.
template <int N, bool Tail, class T>
HWY_INLINE void weighted_sum(const Columns<N, Tail, T>& columns, const T* x, std::int64_t stride,
                             const T* HWY_RESTRICT weights, std::int64_t length,
                             T* HWY_RESTRICT out) {
  typename Columns<N, Tail, T>::V sum[N];
  for (int j = 0; j < N; ++j) sum[j] = hn::Zero(columns.d);
  for (std::int64_t t = 0; t < length; ++t, x += stride) {
    const auto weight = hn::Set(columns.d, weights[t]);
    for (int j = 0; j < N; ++j) sum[j] = hn::MulAdd(weight, columns.load(x, j), sum[j]);
  }
  for (int j = 0; j < N; ++j) columns.store(sum[j], out, j);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
