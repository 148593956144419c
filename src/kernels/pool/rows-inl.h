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

#include "attend/kernels/pool.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// a ← s = tanh(a + bias) and weights ← softmax(s), both over [0, length). a and weights may be one
/// array.
template <class T>
void scores_to_weights(T* a, const T* HWY_RESTRICT bias, std::int64_t length, T* weights) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  V sums = hn::Zero(d);
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    V s = load_n(d, a + t, n);
    if (bias) s = hn::Add(s, load_n(d, bias + t, n));
    s = tanh(d, s);
    store_n(s, d, a + t, n);
    const V e = hn::IfThenElseZero(hn::FirstN(d, n), exp(d, s));
    store_n(e, d, weights + t, n);
    sums = hn::Add(sums, e);
  });
  const V total = hn::SumOfLanes(d, sums);
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    store_n(hn::Div(load_n(d, weights + t, n), total), d, weights + t, n);
  });
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
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    V v = load_n(d, p + t, n);
    if (grad_weights) {
      v = hn::Add(v, load_n(d, grad_weights + t, n));
      store_n(v, d, p + t, n);
    }
    sums = hn::MulAdd(load_n(d, alpha + t, n), v, sums);
  });
  const V mean = hn::SumOfLanes(d, sums);
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
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
