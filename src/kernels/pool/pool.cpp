// Attention pooling, forward and backward: include/attend/kernels/pool.h has the equations.
//
// A row [T,C] of the guide's sizes (32 × 100 floats) is 12.5 KB: it is read from L2 or memory once, for the scores, and from
// L1 the second time, for the weighted sum. Scores are horizontal sums over channels, four time steps at a time so that a
// load of w serves four; everything over time (tanh, exp, the softmax sums) runs in vectors over t.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool/pool.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "attend/kernels/pool.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kSteps = 4;                        // time steps per pass over w
constexpr int kColumns = HWY_TARGET <= HWY_AVX3 ? 4 : 2;  // vectors of channels held in registers

/// dots[r] = <x + r·stride, w> for r < R, and, with G, dots_g[r] = <x + r·stride, g>.
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
  for (int r = 0; r < R; ++r) {
    out_w[r] = hn::GetLane(hn::SumOfLanes(d, sum_w[r]));
    if constexpr (G) out_g[r] = hn::GetLane(hn::SumOfLanes(d, sum_g[r]));
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

/// a ← s = tanh(a + bias) and weights ← softmax(s), both over [0, length). a and weights may be the same array.
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

/// out[c … c + N·lanes) = Σ_t weights[t] x[t]; N full vectors, or one partial one of n lanes.
template <int N, bool Tail, class T>
HWY_INLINE void weighted_sum(const T* x, std::int64_t stride, const T* HWY_RESTRICT weights,
                             std::int64_t length, T* HWY_RESTRICT out, std::size_t n) {
  const hn::ScalableTag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  hn::Vec<decltype(d)> sum[N];
  for (int j = 0; j < N; ++j) sum[j] = hn::Zero(d);
  for (std::int64_t t = 0; t < length; ++t, x += stride) {
    const auto weight = hn::Set(d, weights[t]);
    for (int j = 0; j < N; ++j)
      sum[j] = hn::MulAdd(weight, Tail ? load_n(d, x, n) : hn::LoadU(d, x + j * lanes), sum[j]);
  }
  for (int j = 0; j < N; ++j)
    if constexpr (Tail)
      store_n(sum[j], d, out, n);
    else
      hn::StoreU(sum[j], d, out + j * lanes);
}

/// The three ways to walk over channels: blocks of kColumns vectors, single vectors, the rest. f(N, tail, c, n).
template <class T, class F>
HWY_INLINE void over_channels(std::int64_t channels, F f) {
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  using Block = std::integral_constant<int, kColumns>;
  using One = std::integral_constant<int, 1>;
  std::int64_t c = 0;
  for (; c + kColumns * lanes <= channels; c += kColumns * lanes)
    f(Block(), std::false_type(), c, std::size_t{0});
  for (; c + lanes <= channels; c += lanes) f(One(), std::false_type(), c, std::size_t{0});
  if (c < channels) f(One(), std::true_type(), c, static_cast<std::size_t>(channels - c));
}

template <class T>
void forward_row(const PoolForward<T>& p, std::int64_t b) {
  const std::int64_t length = p.lengths ? p.lengths[b] : p.time;
  const T* x = p.value + b * p.value_batch_stride;
  T* weights = p.weights + b * p.time;
  T* output = p.output + b * p.channels;
  all_dots<false, T>(x, p.value_time_stride, p.score_weight, nullptr, p.channels, length, weights,
                     nullptr);
  scores_to_weights(weights, p.bias, length, weights);
  for (std::int64_t t = length; t < p.time; ++t) weights[t] = 0;
  over_channels<T>(
      p.channels, [&](auto vectors, auto tail, std::int64_t c, std::size_t n) HWY_ATTR {
        weighted_sum<vectors(), tail()>(x + c, p.value_time_stride, weights, length, output + c, n);
      });
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

/// One row's share: where it reads, and the scratch arrays over time.
template <class T>
struct Row {
  const T *x, *grad_output, *w, *alpha, *da;
  T *dx, *sum_w;
  std::int64_t stride, channels, length;
};

/// dx_t = α_t dout + da_t w and sum_w += Σ_t da_t x_t for N vectors of channels at c, or for n lanes.
template <int N, bool Tail, class T>
HWY_INLINE void value_gradient(const Row<T>& row, std::int64_t c, std::size_t n) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const std::size_t lanes = hn::Lanes(d);
  const auto load = [&](const T* p, int j)
                        HWY_ATTR { return Tail ? load_n(d, p, n) : hn::LoadU(d, p + j * lanes); };
  const auto store = [&](V v, T* p, int j) HWY_ATTR {
    if constexpr (Tail)
      store_n(v, d, p, n);
    else
      hn::StoreU(v, d, p + j * lanes);
  };
  V w[N], g[N], sum[N];
  for (int j = 0; j < N; ++j) {
    w[j] = load(row.w + c, j);
    g[j] = row.grad_output ? load(row.grad_output + c, j) : hn::Zero(d);
    sum[j] = load(row.sum_w + c, j);
  }
  for (std::int64_t t = 0; t < row.length; ++t) {
    const V alpha = hn::Set(d, row.alpha[t]), da = hn::Set(d, row.da[t]);
    for (int j = 0; j < N; ++j) {
      sum[j] = hn::MulAdd(da, load(row.x + t * row.stride + c, j), sum[j]);
      store(hn::MulAdd(alpha, g[j], hn::Mul(da, w[j])), row.dx + t * row.channels + c, j);
    }
  }
  for (int j = 0; j < N; ++j) store(sum[j], row.sum_w + c, j);
}

/// scratch: [sum_w C | sum_bias T | alpha T | s T | p T]
template <class T>
void backward_row(const PoolBackward<T>& p, std::int64_t b, T* scratch) {
  const PoolForward<T>& f = p.forward;
  const std::int64_t length = f.lengths ? f.lengths[b] : f.time;
  T *sum_w = scratch, *sum_bias = sum_w + f.channels, *alpha = sum_bias + f.time,
    *s = alpha + f.time, *da = s + f.time;
  const T* x = f.value + b * f.value_batch_stride;
  const T* g = p.grad_output ? p.grad_output + b * f.channels : nullptr;
  T* dx = p.grad_value + b * f.time * f.channels;
  if (g) {
    all_dots<true, T>(x, f.value_time_stride, f.score_weight, g, f.channels, length, s, da);
  } else {
    all_dots<false, T>(x, f.value_time_stride, f.score_weight, nullptr, f.channels, length, s,
                       nullptr);
    for (std::int64_t t = 0; t < length; ++t) da[t] = 0;
  }
  scores_to_weights(s, f.bias, length, alpha);
  weights_to_score_gradient(alpha, s, p.grad_weights ? p.grad_weights + b * f.time : nullptr,
                            length, da, sum_bias);
  const Row<T> row{x,  g,     f.score_weight,      alpha,      da,
                   dx, sum_w, f.value_time_stride, f.channels, length};
  over_channels<T>(f.channels, [&](auto vectors, auto tail, std::int64_t c, std::size_t n)
                                   HWY_ATTR { value_gradient<vectors(), tail()>(row, c, n); });
  for (std::int64_t i = length * f.channels; i < f.time * f.channels; ++i) dx[i] = 0;
}

template <class T>
void forward_rows(const PoolForward<T>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  for (std::int64_t b = first; b < last; ++b) forward_row(p, b);
}

template <class T>
void backward_rows(const PoolBackward<T>& p, std::int64_t first, std::int64_t last, T* scratch) {
  note_simd_target(HWY_TARGET);
  for (std::int64_t i = 0; i < p.forward.channels + p.forward.time; ++i)
    scratch[i] = 0;  // the two sums
  for (std::int64_t b = first; b < last; ++b) backward_row(p, b, scratch);
}

}  // namespace

// Highway 1.0.3 exports plain functions only, hence one per dtype.
void pool_forward_float(const PoolForward<float>& p, std::int64_t first, std::int64_t last) {
  forward_rows(p, first, last);
}
void pool_forward_double(const PoolForward<double>& p, std::int64_t first, std::int64_t last) {
  forward_rows(p, first, last);
}
void pool_backward_float(const PoolBackward<float>& p, std::int64_t first, std::int64_t last,
                         float* scratch) {
  backward_rows(p, first, last, scratch);
}
void pool_backward_double(const PoolBackward<double>& p, std::int64_t first, std::int64_t last,
                          double* scratch) {
  backward_rows(p, first, last, scratch);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <type_traits>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

HWY_EXPORT(pool_forward_float);
HWY_EXPORT(pool_forward_double);
HWY_EXPORT(pool_backward_float);
HWY_EXPORT(pool_backward_double);

// Rows are dealt out in this many parts whatever the number of threads, so that sums over the batch have the same bits.
constexpr std::int64_t kParts = 16;

// Below this many elements of value a parallel region costs more than it saves (measured: 1 µs against 0.05 ns an element).
constexpr std::int64_t kParallelElements = 16384;

std::int64_t parts(std::int64_t batch) { return std::clamp<std::int64_t>(batch, 1, kParts); }

std::int64_t scratch_size(std::int64_t time, std::int64_t channels) { return channels + 4 * time; }

/// task(part, first row, last row + 1) for every part.
template <class T, class F>
void for_each_part(const PoolForward<T>& p, F task) {
  const std::int64_t n = parts(p.batch);
  const auto run = [&](std::int64_t i) { task(i, i * p.batch / n, (i + 1) * p.batch / n); };
  if (p.batch * p.time * p.channels < kParallelElements) {
    for (std::int64_t i = 0; i < n; ++i) run(i);
  } else {
    parallel_run(static_cast<int>(n), [&](int i) { run(i); });
  }
}

}  // namespace

std::int64_t pool_backward_workspace(std::int64_t batch, std::int64_t time, std::int64_t channels) {
  return parts(batch) * scratch_size(time, channels);
}

template <class T>
void pool_forward(const PoolForward<T>& p) {
  for_each_part(p, [&](std::int64_t, std::int64_t first, std::int64_t last) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(pool_forward_float)(p, first, last);
    else
      HWY_DYNAMIC_DISPATCH(pool_forward_double)(p, first, last);
  });
}

template <class T>
void pool_backward(const PoolBackward<T>& p) {
  const std::int64_t time = p.forward.time, channels = p.forward.channels,
                     size = scratch_size(time, channels);
  for_each_part(p.forward, [&](std::int64_t part, std::int64_t first, std::int64_t last) {
    T* scratch = p.workspace + part * size;
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(pool_backward_float)(p, first, last, scratch);
    else
      HWY_DYNAMIC_DISPATCH(pool_backward_double)(p, first, last, scratch);
  });
  std::fill_n(p.grad_score_weight, channels, T(0));
  std::fill_n(p.grad_bias, time, T(0));
  for (std::int64_t part = 0; part < parts(p.forward.batch); ++part) {
    const T* sums = p.workspace + part * size;
    for (std::int64_t c = 0; c < channels; ++c) p.grad_score_weight[c] += sums[c];
    for (std::int64_t t = 0; t < time; ++t) p.grad_bias[t] += sums[channels + t];
  }
}

template void pool_forward(const PoolForward<float>&);
template void pool_forward(const PoolForward<double>&);
template void pool_backward(const PoolBackward<float>&);
template void pool_backward(const PoolBackward<double>&);

}  // namespace attend::kernels
#endif  // HWY_ONCE
