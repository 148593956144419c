// One query of local attention, forward and backward, for the SIMD target that includes this.
#if defined(ATTEND_KERNELS_LOCAL_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_LOCAL_ROWS_INL_H_
#undef ATTEND_KERNELS_LOCAL_ROWS_INL_H_
#else
#define ATTEND_KERNELS_LOCAL_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "attend/kernels/local.h"
#include "kernels/local/window.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// Σ_a v_a tanh(q_a + k_a)
template <class T>
T additive_score(const T* HWY_RESTRICT q, const T* HWY_RESTRICT k, const T* HWY_RESTRICT v,
                 std::int64_t width) {
  const hn::ScalableTag<T> d;
  auto sum = hn::Zero(d);
  over_vectors<T>(width, [&](std::int64_t a, std::size_t n) HWY_ATTR {
    sum = hn::MulAdd(load_n(d, v + a, n),
                     tanh(d, hn::Add(load_n(d, q + a, n), load_n(d, k + a, n))), sum);
  });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// out += ds v (1 − t²) and, where asked for, sum_v += ds t, with t = tanh(q + k).
template <class T>
void add_additive_slope(const T* HWY_RESTRICT q, const T* HWY_RESTRICT k, const T* HWY_RESTRICT v,
                        T ds, std::int64_t width, T* HWY_RESTRICT out, T* HWY_RESTRICT sum_v) {
  const hn::ScalableTag<T> d;
  const auto slope = hn::Set(d, ds);
  over_vectors<T>(width, [&](std::int64_t a, std::size_t n) HWY_ATTR {
    const auto t = tanh(d, hn::Add(load_n(d, q + a, n), load_n(d, k + a, n)));
    const auto through = hn::Mul(load_n(d, v + a, n), hn::NegMulAdd(t, t, hn::Set(d, 1)));
    store_n(hn::MulAdd(slope, through, load_n(d, out + a, n)), d, out + a, n);
    if (sum_v) store_n(hn::MulAdd(slope, t, load_n(d, sum_v + a, n)), d, sum_v + a, n);
  });
}

template <class T>
void local_products(const LocalForward<T>& p, std::int64_t b, std::int64_t i, KeySpan w, T* s) {
  const T* q = p.query + b * p.query_batch + i * p.query_row;
  const T* k = p.key + b * p.key_batch + w.begin * p.key_row;
  if (p.score_weight) {
    for (std::int64_t t = 0; t < w.count; ++t)
      s[t] = additive_score(q, k + t * p.key_row, p.score_weight, p.width);
  } else {
    all_dots<false, T>(k, p.key_row, q, nullptr, p.width, w.count, s, nullptr);
  }
}

/// The centre; a query whose keys are given has none.
template <class T>
T centre_of(const LocalForward<T>& p, std::int64_t row) {
  return p.spans ? T(0) : p.centre[row];
}

/// s ← softmax(scale · s) over [0, n). Only s − max is scaled, which is small where it matters: scaling every score first
/// would round it, and with large scores that decides between near ties.
template <class T>
void local_softmax(T* s, std::int64_t length, T scale) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V lowest = hn::Set(d, -std::numeric_limits<T>::infinity()),
          factor = hn::Set(d, std::abs(scale));
  const V sign = hn::Set(d, scale < 0 ? T(-1) : T(1));
  V top = lowest, sums = hn::Zero(d);
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    const V x = hn::Mul(load_n(d, s + t, n), sign);
    store_n(x, d, s + t, n);
    top = hn::Max(top, hn::IfThenElse(hn::FirstN(d, n), x, lowest));
  });
  // A hook may hide every key by −∞: then all weights are 0.
  V largest = hn::MaxOfLanes(d, top);
  largest = hn::IfThenElse(hn::Eq(largest, lowest), hn::Zero(d), largest);
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    const V e = hn::IfThenElseZero(hn::FirstN(d, n),
                                   exp(d, hn::Mul(factor, hn::Sub(load_n(d, s + t, n), largest))));
    store_n(e, d, s + t, n);
    sums = hn::Add(sums, e);
  });
  V total = hn::SumOfLanes(d, sums);
  total = hn::IfThenElse(hn::Eq(total, hn::Zero(d)), hn::Set(d, 1), total);
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    store_n(hn::Div(load_n(d, s + t, n), total), d, s + t, n);
  });
}

/// The softmax over the window of query i; and the slopes of the hook, unless null.
template <class T>
void local_softmax_of(const LocalForward<T>& p, std::int64_t b, std::int64_t i, KeySpan w, T* s,
                      T* slopes) {
  local_products(p, b, i, w, s);
  if (!p.hook.apply) return local_softmax(s, w.count, p.scale);
  for (std::int64_t t = 0; t < w.count; ++t) s[t] *= p.scale;
  p.hook.apply(p.hook.context, b, i, w.begin, w.count, s, slopes);
  local_softmax(s, w.count, T(1));
}

/// j − centre for the keys of a vector that starts at key j.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> distances(D d, std::int64_t j, T centre) {
  return hn::Sub(hn::Iota(d, static_cast<T>(j)), hn::Set(d, centre));
}

/// g = exp(−(j − centre)² sharpness) over the window; 1 without a Gaussian.
template <class T>
void local_gaussian(const LocalForward<T>& p, T centre, KeySpan w, T* HWY_RESTRICT g) {
  const hn::ScalableTag<T> d;
  const auto factor = hn::Set(d, -p.sharpness);
  over_vectors<T>(w.count, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    const auto apart = distances(d, w.begin + t, centre);
    store_n(exp(d, hn::Mul(hn::Mul(apart, apart), factor)), d, g + t, n);
  });
}

template <class T>
void multiply_into(T* HWY_RESTRICT to, const T* HWY_RESTRICT by, std::int64_t length) {
  const hn::ScalableTag<T> d;
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    store_n(hn::Mul(load_n(d, to + t, n), load_n(d, by + t, n)), d, to + t, n);
  });
}

/// Query i of row b, its window's weights in `s`.
template <class T>
void local_forward_query(const LocalForward<T>& p, std::int64_t b, std::int64_t i, T* s) {
  const std::int64_t row = b * p.queries + i;
  const T centre = centre_of(p, row);
  T* output = p.output + row * p.value_width;
  const KeySpan w = local_window(p, b, i);
  const T nothing = centre == centre ? T(0) : centre;  // NaN stays NaN
  if (p.weights) std::fill_n(p.weights + row * p.keys, p.keys, nothing);
  if (w.count == 0) {
    std::fill_n(output, p.value_width, nothing);
    return;
  }
  local_softmax_of<T>(p, b, i, w, s, nullptr);
  if (p.sharpness > 0) {
    const hn::ScalableTag<T> d;
    const auto factor = hn::Set(d, -p.sharpness);
    over_vectors<T>(w.count, [&](std::int64_t t, std::size_t n) HWY_ATTR {
      const auto apart = distances(d, w.begin + t, centre);
      store_n(hn::Mul(load_n(d, s + t, n), exp(d, hn::Mul(hn::Mul(apart, apart), factor))), d,
              s + t, n);
    });
  }
  const T* value = p.value + b * p.value_batch + w.begin * p.value_row;
  over_channels<T>(p.value_width, [&](const auto& columns, std::int64_t c) HWY_ATTR {
    weighted_sum(columns, value + c, p.value_row, s, w.count, output + c);
  });
  if (p.weights) std::copy_n(s, w.count, p.weights + row * p.keys + w.begin);
}

/// ds ← scale a (g p − Σ a g p) over [0, n), where ds holds p; returns Σ_j a g p (j − centre).
template <class T>
T local_score_gradient(const T* HWY_RESTRICT a, const T* HWY_RESTRICT g, std::int64_t length,
                       std::int64_t begin, T centre, T scale, T* HWY_RESTRICT ds) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  V sum = hn::Zero(d), moment = hn::Zero(d);
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    V through = load_n(d, ds + t, n);
    if (g) through = hn::Mul(through, load_n(d, g + t, n));
    store_n(through, d, ds + t, n);
    const V share = hn::Mul(load_n(d, a + t, n), through);  // 0 beyond n
    sum = hn::Add(sum, share);
    moment = hn::MulAdd(share, distances(d, begin + t, centre), moment);
  });
  const V mean = hn::SumOfLanes(d, sum), factor = hn::Set(d, scale);
  over_vectors<T>(length, [&](std::int64_t t, std::size_t n) HWY_ATTR {
    const V slope = hn::Mul(load_n(d, a + t, n), hn::Sub(load_n(d, ds + t, n), mean));
    store_n(hn::Mul(slope, factor), d, ds + t, n);
  });
  return hn::GetLane(hn::SumOfLanes(d, moment));
}

/// First pass: dq and dc of query i; its ds and w are left for the keys. scratch: [a | g | slopes: span each | sum_v D].
template <class T>
void local_backward_query(const LocalBackward<T>& q, std::int64_t b, std::int64_t i, T* scratch,
                          T* ds, T* weights) {
  const LocalForward<T>& p = q.forward;
  const std::int64_t row = b * p.queries + i, span = local_span(p);
  const T centre = centre_of(p, row);
  const KeySpan w = local_window(p, b, i);
  T* grad_query = q.grad_query + row * p.width;
  const T nothing = centre == centre ? T(0) : centre;
  std::fill_n(grad_query, p.width, nothing);
  if (!p.spans) q.grad_centre[row] = nothing;
  if (w.count == 0) return;
  T *a = scratch, *g = p.sharpness > 0 ? scratch + span : nullptr,
    *slopes = p.hook.apply ? scratch + 2 * span : nullptr;
  local_softmax_of(p, b, i, w, a, slopes);
  std::copy_n(a, w.count, weights);
  if (g) {
    local_gaussian(p, centre, w, g);
    multiply_into(weights, g, w.count);
  }
  if (q.grad_output)
    all_dots<false, T>(p.value + b * p.value_batch + w.begin * p.value_row, p.value_row,
                       q.grad_output + row * p.value_width, nullptr, p.value_width, w.count, ds,
                       nullptr);
  else
    std::fill_n(ds, w.count, T(0));
  if (q.grad_weights) {
    const T* direct = q.grad_weights + row * p.keys + w.begin;
    for (std::int64_t t = 0; t < w.count; ++t) ds[t] += direct[t];
  }
  const T moment = local_score_gradient(a, g, w.count, w.begin, centre, p.scale, ds);
  if (g) q.grad_centre[row] = 2 * p.sharpness * moment;
  if (slopes) multiply_into(ds, slopes, w.count);
  const T* key = p.key + b * p.key_batch + w.begin * p.key_row;
  if (p.score_weight) {
    const T* query = p.query + b * p.query_batch + i * p.query_row;
    for (std::int64_t t = 0; t < w.count; ++t)
      add_additive_slope(query, key + t * p.key_row, p.score_weight, ds[t], p.width, grad_query,
                         scratch + 3 * span);
  } else {
    over_channels<T>(p.width, [&](const auto& columns, std::int64_t c) HWY_ATTR {
      weighted_sum(columns, key + c, p.key_row, ds, w.count, grad_query + c);
    });
  }
}

constexpr int kLocalTogether =
    4;  // queries whose windows are walked side by side: a key's gradient is loaded once for them

/// to += Σ_r weights[r] rows[r]
template <int R, class T>
HWY_INLINE void add_rows(const T* const (&rows)[kLocalTogether], const T (&weights)[kLocalTogether],
                         std::int64_t width, T* HWY_RESTRICT to) {
  const hn::ScalableTag<T> d;
  over_vectors<T>(width, [&](std::int64_t c, std::size_t n) HWY_ATTR {
    auto sum = load_n(d, to + c, n);
    for (int r = 0; r < R; ++r)
      sum = hn::MulAdd(hn::Set(d, weights[r]), load_n(d, rows[r] + c, n), sum);
    store_n(sum, d, to + c, n);
  });
}

/// Second pass: dk and dv of keys [first, last) of row b, from ds and w of every query whose window meets them.
template <class T>
class LocalKeyGradients {
 public:
  LocalKeyGradients(const LocalBackward<T>& q, const T* ds, const T* weights, std::int64_t b,
                    std::int64_t first, std::int64_t last)
      : q_(q),
        p_(q.forward),
        span_(local_span(q.forward)),
        ds_(ds),
        weights_(weights),
        b_(b),
        first_(first),
        last_(last) {}

  void run() {
    std::fill_n(q_.grad_key + (b_ * p_.keys + first_) * p_.width, (last_ - first_) * p_.width,
                T(0));
    std::fill_n(q_.grad_value + (b_ * p_.keys + first_) * p_.value_width,
                (last_ - first_) * p_.value_width, T(0));
    std::int64_t found = 0, queries[kLocalTogether];
    KeySpan windows[kLocalTogether];
    const LocalOrder<T> order(q_, b_);
    const std::int64_t farthest = std::max<std::int64_t>(
        0, first_ - span_ + 1);  // where a window that reaches first_ may begin
    for (std::int64_t at = order.first[farthest / kLocalKeys];
         at < order.first[first_ / kLocalKeys + 1]; ++at) {
      const std::int64_t i = order.query[at];
      const KeySpan w = local_window(p_, b_, i);
      if (w.end() <= first_) continue;
      queries[found] = i, windows[found++] = w;
      if (found == kLocalTogether) add(queries, windows, found), found = 0;
    }
    add(queries, windows, found);
  }

 private:
  /// The keys that all of `n` windows hold go together; the rest of each by itself.
  void add(const std::int64_t (&queries)[kLocalTogether], const KeySpan (&windows)[kLocalTogether],
           std::int64_t n) {
    std::int64_t begin = first_, end = last_;
    for (int r = 0; r < n; ++r)
      begin = std::max(begin, windows[r].begin), end = std::min(end, windows[r].end());
    if (n < kLocalTogether || begin > end) end = begin = last_;
    for (int r = 0; r < n; ++r) {
      const std::int64_t from = std::max(first_, windows[r].begin),
                         to = std::min(last_, windows[r].end());
      for (std::int64_t j = from; j < std::min(to, begin); ++j)
        add_key<1>(j, queries + r, windows + r);
      for (std::int64_t j = std::max(from, end); j < to; ++j)
        add_key<1>(j, queries + r, windows + r);
    }
    for (std::int64_t j = begin; j < end; ++j) add_key<kLocalTogether>(j, queries, windows);
  }

  template <int R>
  HWY_INLINE void add_key(std::int64_t j, const std::int64_t* queries, const KeySpan* windows) {
    T ds[kLocalTogether], weights[kLocalTogether];
    const T *query[kLocalTogether], *grad[kLocalTogether];
    for (int r = 0; r < R; ++r) {
      const std::int64_t row = b_ * p_.queries + queries[r],
                         place = row * span_ + j - windows[r].begin;
      ds[r] = ds_[place], weights[r] = weights_[place];
      query[r] = p_.query + b_ * p_.query_batch + queries[r] * p_.query_row;
      grad[r] = q_.grad_output ? q_.grad_output + row * p_.value_width : nullptr;
    }
    T* grad_key = q_.grad_key + (b_ * p_.keys + j) * p_.width;
    if (p_.score_weight) {
      const T* key = p_.key + b_ * p_.key_batch + j * p_.key_row;
      for (int r = 0; r < R; ++r)
        add_additive_slope<T>(query[r], key, p_.score_weight, ds[r], p_.width, grad_key, nullptr);
    } else {
      add_rows<R>(query, ds, p_.width, grad_key);
    }
    if (q_.grad_output)
      add_rows<R>(grad, weights, p_.value_width,
                  q_.grad_value + (b_ * p_.keys + j) * p_.value_width);
  }

  const LocalBackward<T>& q_;
  const LocalForward<T>& p_;
  std::int64_t span_;
  const T *ds_, *weights_;  // [B,Lq,span]
  std::int64_t b_, first_, last_;
};

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
