// One query of sparsemax attention, forward and backward, for the SIMD target that includes this.
#if defined(ATTEND_KERNELS_SPARSEMAX_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_SPARSEMAX_ROWS_INL_H_
#undef ATTEND_KERNELS_SPARSEMAX_ROWS_INL_H_
#else
#define ATTEND_KERNELS_SPARSEMAX_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "attend/kernels/sparsemax.h"
#include "kernels/attention/visible.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// A query and the keys that it may see: [begin, begin + count), less those that the mask hides.
template <class T>
struct SparsemaxRow {
  SparsemaxRow(const SparsemaxForward<T>& p, std::int64_t b, std::int64_t h, std::int64_t i)
      : index((b * p.heads + h) * p.queries + i) {
    const std::int64_t kv = h / (p.heads / p.key_heads);
    const auto row = [](const T* from, const RowStrides& s, std::int64_t batch, std::int64_t head,
                        std::int64_t at) {
      return from + batch * s.batch + head * s.head + at * s.row;
    };
    const KeyRange range = visible_keys(p.visible, b, i, p.queries, p.keys);
    begin = range.begin, count = range.end - range.begin;
    query = row(p.query, p.query_strides, b, h, i);
    key = row(p.key, p.key_strides, b, kv, begin),
    value = row(p.value, p.value_strides, b, kv, begin);
    if (!p.visible.mask) return;
    const ScoreStrides& m = p.visible.mask_strides;
    mask_step = m.column;
    mask = p.visible.mask + b * m.batch + h * m.head + i * m.row + begin * m.column;
  }
  bool sees(std::int64_t t) const { return !mask || mask[t * mask_step]; }

  std::int64_t index, begin = 0, count = 0, mask_step = 0;
  const T *query, *key, *value;
  const bool* mask = nullptr;
};

/// Sum and number of what lies above `least` in s[0, n).
template <class T>
struct SparsemaxAbove {
  T sum, number;
};
template <class T>
SparsemaxAbove<T> sparsemax_above(const T* HWY_RESTRICT s, std::int64_t n, T least) {
  const hn::ScalableTag<T> d;
  auto sum = hn::Zero(d), number = hn::Zero(d);
  const auto limit = hn::Set(d, least), one = hn::Set(d, T(1));
  over_vectors<T>(n, [&](std::int64_t t, std::size_t lanes) HWY_ATTR {
    const auto x = load_n(d, s + t, lanes);
    const auto above = hn::And(hn::Gt(x, limit), hn::FirstN(d, lanes));
    sum = hn::Add(sum, hn::IfThenElseZero(above, x));
    number = hn::Add(number, hn::IfThenElseZero(above, one));
  });
  return {hn::GetLane(hn::SumOfLanes(d, sum)), hn::GetLane(hn::SumOfLanes(d, number))};
}

/// s ← s − max s; returns the maximum: NaN if one of them is.
template <class T>
T sparsemax_from_largest(T* HWY_RESTRICT s, std::int64_t n) {
  const hn::ScalableTag<T> d;
  const auto lowest = hn::Set(d, -std::numeric_limits<T>::infinity());
  auto top = lowest, nan = hn::Zero(d);
  over_vectors<T>(n, [&](std::int64_t t, std::size_t lanes) HWY_ATTR {
    const auto x = load_n(d, s + t, lanes);
    nan = hn::Add(nan, hn::IfThenElseZero(hn::IsNaN(x), x));
    top = hn::Max(top, hn::IfThenElse(hn::FirstN(d, lanes), x, lowest));
  });
  const T poison = hn::GetLane(hn::SumOfLanes(d, nan));
  if (poison != poison) return poison;
  const auto largest = hn::MaxOfLanes(d, top);
  over_vectors<T>(n, [&](std::int64_t t, std::size_t lanes) HWY_ATTR {
    store_n(hn::Sub(load_n(d, s + t, lanes), largest), d, s + t, lanes);
  });
  return hn::GetLane(largest);
}

/// s[0, count) ← the row's weights; false if it sees no key, and then s is not theirs.
template <class T>
bool sparsemax_weights(const SparsemaxForward<T>& p, const SparsemaxRow<T>& r, T* HWY_RESTRICT s) {
  constexpr T kHidden = -std::numeric_limits<T>::infinity();
  const std::int64_t step = p.key_strides.row;
  if (!r.mask) all_dots<false, T>(r.key, step, r.query, nullptr, p.width, r.count, s, nullptr);
  for (std::int64_t t = 0; t < r.count; ++t) {
    if (!r.sees(t)) {
      s[t] = kHidden;
      continue;
    }
    if (r.mask)
      dots<1, false, T>(r.key + t * step, step, r.query, nullptr, p.width, s + t, nullptr);
    s[t] *= p.scale;
  }
  const T largest = sparsemax_from_largest(s, r.count);
  if (largest == kHidden) return false;
  if (largest != largest) {
    for (std::int64_t t = 0; t < r.count; ++t) s[t] = r.sees(t) ? largest : T(0);
    return true;
  }
  // The largest score is 0 now. A threshold is never under −1: one key alone has its score less 1.
  SparsemaxAbove<T> set = sparsemax_above(s, r.count, T(-1));
  T threshold = (set.sum - 1) / set.number;
  for (;;) {
    const SparsemaxAbove<T> rest = sparsemax_above(s, r.count, threshold);
    if (!(rest.number < set.number)) break;
    set = rest, threshold = (set.sum - 1) / set.number;
  }
  const hn::ScalableTag<T> d;
  const auto from = hn::Set(d, threshold);
  over_vectors<T>(r.count, [&](std::int64_t t, std::size_t lanes) HWY_ATTR {
    const auto x = load_n(d, s + t, lanes);
    store_n(hn::IfThenElseZero(hn::Gt(x, from), hn::Sub(x, from)), d, s + t, lanes);
  });
  return true;
}

template <class T>
void sparsemax_forward_row(const SparsemaxForward<T>& p, const SparsemaxRow<T>& r, T* s) {
  T* output = p.output + r.index * p.value_width;
  T* weights = p.weights ? p.weights + r.index * p.keys : nullptr;
  std::fill_n(output, p.value_width, T(0));
  if (weights) std::fill_n(weights, p.keys, T(0));
  if (!sparsemax_weights(p, r, s)) return;
  for (std::int64_t t = 0; t < r.count; ++t)
    if (s[t] != 0) add_scaled(s[t], r.value + t * p.value_strides.row, p.value_width, output);
  if (weights) std::copy_n(s, r.count, weights + r.begin);
}

/// Adds the row's part to grad_key and grad_value, which point at the row's first key, and writes its grad_query.
template <class T>
void sparsemax_backward_row(const SparsemaxBackward<T>& q, const SparsemaxRow<T>& r, T* s, T* ds,
                            T* grad_key, T* grad_value) {
  const SparsemaxForward<T>& p = q.forward;
  T* grad_query = q.grad_query + r.index * p.width;
  std::fill_n(grad_query, p.width, T(0));
  if (!sparsemax_weights(p, r, s)) return;
  const T* grad_output = q.grad_output ? q.grad_output + r.index * p.value_width : nullptr;
  const T* grad_weights = q.grad_weights ? q.grad_weights + r.index * p.keys + r.begin : nullptr;
  T sum = 0, number = 0;
  for (std::int64_t t = 0; t < r.count; ++t) {
    if (s[t] == 0) continue;
    ds[t] = 0;
    if (grad_output)
      dots<1, false, T>(r.value + t * p.value_strides.row, 0, grad_output, nullptr, p.value_width,
                        ds + t, nullptr);
    if (grad_weights) ds[t] += grad_weights[t];
    sum += ds[t], number += 1;
  }
  for (std::int64_t t = 0; t < r.count; ++t) {
    if (s[t] == 0) continue;
    const T slope = p.scale * (ds[t] - sum / number);
    add_scaled(slope, r.key + t * p.key_strides.row, p.width, grad_query);
    add_scaled(slope, r.query, p.width, grad_key + t * p.width);
    if (grad_output) add_scaled(s[t], grad_output, p.value_width, grad_value + t * p.value_width);
  }
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
