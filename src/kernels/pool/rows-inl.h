// One row of attention pooling, forward and backward, for the SIMD target that includes this.
#if defined(ATTEND_KERNELS_POOL_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_POOL_ROWS_INL_H_
#undef ATTEND_KERNELS_POOL_ROWS_INL_H_
#else
#define ATTEND_KERNELS_POOL_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "attend/kernels/pool.h"
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

/// f(t, n): a vector step at t over n = lanes steps, or fewer at the end.
template <class T, class F>
HWY_INLINE void over_time(std::int64_t length, F f) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  for (std::int64_t t = 0; t < length; t += lanes)
    f(t, static_cast<std::size_t>(length - t < lanes ? length - t : lanes));
}

/// a ← s = tanh(a + bias) and weights ← softmax(s), both over [0, length). a and weights may be one
/// array.
template <class T>
void scores_to_weights(T* a, const T* HWY_RESTRICT bias, std::int64_t length, T* weights) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  V sums = hn::Zero(d);
  over_time<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    V s = load_n(d, a + t, n);
    if (bias) s = hn::Add(s, load_n(d, bias + t, n));
    s = tanh(d, s);
    store_n(s, d, a + t, n);
    const V e = hn::IfThenElseZero(hn::FirstN(d, n), exp(d, s));
    store_n(e, d, weights + t, n);
    sums = hn::Add(sums, e);
  });
  const V total = hn::SumOfLanes(d, sums);
  over_time<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    store_n(hn::Div(load_n(d, weights + t, n), total), d, weights + t, n);
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

template <class T>
std::int64_t length_of(const PoolForward<T>& p, std::int64_t b) {
  return p.lengths ? p.lengths[b] : p.time;
}

/// Row b's products <x_t, w>, into its weights.
template <class T>
void forward_dots(const PoolForward<T>& p, std::int64_t b) {
  all_dots<false, T>(p.value + b * p.value_batch_stride, p.value_time_stride, p.score_weight,
                     nullptr, p.channels, length_of(p, b), p.weights + b * p.time, nullptr);
}

/// Rows [first, last). The products of row b + 1 are computed between the softmax of row b and its
/// use: a softmax over a few dozen steps is one long chain of latencies, which independent
/// multiplications fill.
template <class T>
void forward_rows(const PoolForward<T>& p, std::int64_t first, std::int64_t last) {
  if (first < last) forward_dots(p, first);
  for (std::int64_t b = first; b < last; ++b) {
    const std::int64_t length = length_of(p, b), stride = p.value_time_stride;
    const T* x = p.value + b * p.value_batch_stride;
    T* weights = p.weights + b * p.time;
    T* output = p.output + b * p.channels;
    scores_to_weights(weights, p.bias, length, weights);
    if (b + 1 < last) forward_dots(p, b + 1);
    over_channels<T>(p.channels, [&](const auto& columns, std::int64_t c) HWY_ATTR {
      weighted_sum(columns, x + c, stride, weights, length, output + c);
    });
    for (std::int64_t t = length; t < p.time; ++t) weights[t] = 0;
  }
}

/// p ← da = α (p − Σ α p)(1 − s²) over [0, length), and sum_bias += da.
template <class T>
void weights_to_score_gradient(const T* HWY_RESTRICT alpha, const T* HWY_RESTRICT s,
                               const T* HWY_RESTRICT grad_weights, std::int64_t length,
                               T* HWY_RESTRICT p, T* HWY_RESTRICT sum_bias) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  V sums = hn::Zero(d);
  over_time<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    V v = load_n(d, p + t, n);
    if (grad_weights) {
      v = hn::Add(v, load_n(d, grad_weights + t, n));
      store_n(v, d, p + t, n);
    }
    sums = hn::MulAdd(load_n(d, alpha + t, n), v, sums);
  });
  const V mean = hn::SumOfLanes(d, sums);
  over_time<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    const V score = load_n(d, s + t, n);
    const V slope = hn::NegMulAdd(score, score, hn::Set(d, 1));
    const V ds = hn::Mul(load_n(d, alpha + t, n), hn::Sub(load_n(d, p + t, n), mean));
    const V da = hn::Mul(ds, slope);
    store_n(da, d, p + t, n);
    store_n(hn::Add(load_n(d, sum_bias + t, n), da), d, sum_bias + t, n);
  });
}

/// dx_t = α_t dout + da_t w and sum_w += Σ_t da_t x_t for row b, over N vectors of channels at c.
template <int N, bool Tail, class T>
HWY_INLINE void value_gradient(const Columns<N, Tail, T>& columns, const PoolBackward<T>& p,
                               std::int64_t b, const T* HWY_RESTRICT alpha,
                               const T* HWY_RESTRICT da, std::int64_t c, T* HWY_RESTRICT sum_w) {
  using V = typename Columns<N, Tail, T>::V;
  const PoolForward<T>& f = p.forward;
  const auto d = columns.d;
  const T* x = f.value + b * f.value_batch_stride + c;
  T* dx = p.grad_value + b * f.time * f.channels + c;
  V w[N], g[N], sum[N];
  for (int j = 0; j < N; ++j) {
    w[j] = columns.load(f.score_weight + c, j);
    g[j] = p.grad_output ? columns.load(p.grad_output + b * f.channels + c, j) : hn::Zero(d);
    sum[j] = columns.load(sum_w + c, j);
  }
  const std::int64_t length = length_of(f, b);
  for (std::int64_t t = 0; t < length; ++t, x += f.value_time_stride, dx += f.channels) {
    const V alpha_t = hn::Set(d, alpha[t]), da_t = hn::Set(d, da[t]);
    for (int j = 0; j < N; ++j) {
      sum[j] = hn::MulAdd(da_t, columns.load(x, j), sum[j]);
      columns.store(hn::MulAdd(alpha_t, g[j], hn::Mul(da_t, w[j])), dx, j);
    }
  }
  for (int j = 0; j < N; ++j) columns.store(sum[j], sum_w + c, j);
}

/// Row b's products <x_t, w> into s and <x_t, dout> into p.
template <class T>
void backward_dots(const PoolBackward<T>& q, std::int64_t b, T* s, T* p) {
  const PoolForward<T>& f = q.forward;
  const T* x = f.value + b * f.value_batch_stride;
  const std::int64_t length = length_of(f, b);
  if (q.grad_output) {
    all_dots<true, T>(x, f.value_time_stride, f.score_weight, q.grad_output + b * f.channels,
                      f.channels, length, s, p);
  } else {
    all_dots<false, T>(x, f.value_time_stride, f.score_weight, nullptr, f.channels, length, s,
                       nullptr);
    for (std::int64_t t = 0; t < length; ++t) p[t] = 0;
  }
}

/// Rows [first, last), in the order of forward_rows. scratch: [sum_w C | sum_bias T | alpha T | s,
/// p T each, for two rows].
template <class T>
void backward_rows(const PoolBackward<T>& q, std::int64_t first, std::int64_t last, T* scratch) {
  const PoolForward<T>& f = q.forward;
  T *sum_w = scratch, *sum_bias = sum_w + f.channels, *alpha = sum_bias + f.time;
  T* s[2] = {alpha + f.time, alpha + 2 * f.time};
  T* p[2] = {alpha + 3 * f.time, alpha + 4 * f.time};
  for (std::int64_t i = 0; i < f.channels + f.time; ++i) scratch[i] = 0;  // the two sums
  if (first < last) backward_dots(q, first, s[0], p[0]);
  for (std::int64_t b = first; b < last; ++b) {
    const std::int64_t length = length_of(f, b), now = (b - first) % 2;
    scores_to_weights(s[now], f.bias, length, alpha);
    weights_to_score_gradient(alpha, s[now], q.grad_weights ? q.grad_weights + b * f.time : nullptr,
                              length, p[now], sum_bias);
    if (b + 1 < last) backward_dots(q, b + 1, s[1 - now], p[1 - now]);
    over_channels<T>(f.channels, [&](const auto& columns, std::int64_t c) HWY_ATTR {
      value_gradient(columns, q, b, alpha, p[now], c, sum_w);
    });
    T* dx = q.grad_value + b * f.time * f.channels;
    for (std::int64_t i = length * f.channels; i < f.time * f.channels; ++i) dx[i] = 0;
  }
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
