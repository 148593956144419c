#include "ops/compose/masked_softmax.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/any.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/ge.h>
#include <ATen/ops/le.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/lt.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>

#include <limits>

namespace attend::compose {
namespace {

at::Tensor both(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined()) return b;
  return b.defined() ? a.logical_and(b) : a;
}

at::Tensor lengths_or(const at::Tensor& lengths, std::int64_t all, const at::Device& device) {
  const auto type = at::TensorOptions().dtype(at::kLong).device(device);
  return lengths.defined() ? lengths.to(device).view({-1, 1, 1, 1})
                           : at::scalar_tensor(all, type).view({1, 1, 1, 1});
}

at::Tensor zero_like_scalar(const at::Tensor& t) { return at::scalar_tensor(0, t.options()); }

}  // namespace

at::Tensor visibility(const AttentionOptions& o, std::int64_t query_count, std::int64_t key_count,
                      const at::Device& device) {
  const auto type = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor i = at::arange(query_count, type).view({1, 1, -1, 1});       // [1,1,Lq,1]
  const at::Tensor j = at::arange(key_count, type).view({1, 1, 1, -1});         // [1,1,1,Lk]
  const at::Tensor queries = lengths_or(o.query_lengths, query_count, device);  // [B,1,1,1]
  const at::Tensor keys = lengths_or(o.key_lengths, key_count, device);
  at::Tensor visible = o.mask.defined() ? o.mask.to(device) : at::Tensor();
  if (o.query_lengths.defined()) visible = both(visible, i.lt(queries));
  if (o.key_lengths.defined()) visible = both(visible, j.lt(keys));
  const at::Tensor place =
      o.alignment == Alignment::kLast ? i + (keys - queries) : i;  // of the query among the keys
  if (o.causal) visible = both(visible, j.le(place));
  if (o.window_left >= 0) visible = both(visible, j.ge(place - o.window_left));
  if (o.window_right >= 0) visible = both(visible, j.le(place + o.window_right));
  return visible;
}

at::Tensor hide_unseen(const at::Tensor& rows, const at::Tensor& seen) {
  return seen.defined() ? at::where(seen, rows, zero_like_scalar(rows)) : rows;
}

at::Tensor masked_softmax(const at::Tensor& scores, const at::Tensor& visible) {
  if (scores.size(-1) == 0) return scores;
  const double lowest = -std::numeric_limits<double>::infinity();
  const at::Tensor s = visible.defined()
                           ? at::where(visible, scores, at::scalar_tensor(lowest, scores.options()))
                           : scores;
  // The largest score only keeps exp in range: no gradient runs through it. A row without keys has −inf; 0 stands in.
  at::Tensor largest = s.detach().amax({-1}, /*keepdim=*/true);
  largest = at::where(largest.eq(lowest), zero_like_scalar(largest), largest);
  const at::Tensor e = (s - largest).exp();
  const at::Tensor total = e.sum({-1}, /*keepdim=*/true);
  return e / at::where(total.eq(0), at::scalar_tensor(1, total.options()), total);
}

AttentionResult attend_over(const at::Tensor& scores, const at::Tensor& value,
                            const at::Tensor& visible, const AttentionOptions& o) {
  const at::Tensor biased = o.bias.defined() ? scores + o.bias : scores;
  const at::Tensor weights = masked_softmax(biased, visible);  // [B,H,Lq,Lk]
  const at::Tensor used = o.dropout > 0 ? weights * dropout_factors(o, weights) : weights;
  // What arrives for a row or a weight that sees nothing stays there: 0 · NaN is NaN.
  const at::Tensor sees = visible.defined() ? visible.any(-1, /*keepdim=*/true) : visible;
  return {hide_unseen(at::matmul(used, value), sees),
          o.need_weights ? hide_unseen(weights, visible) : at::Tensor()};
}

AttentionResult without_heads(const AttentionResult& result) {
  const auto& [output, weights] = result;
  return {output.squeeze(1), weights.defined() ? weights.squeeze(1) : weights};
}

AttentionOptions with_head_axis(AttentionOptions o) {
  if (o.mask.defined() && o.mask.dim() > 2) o.mask = o.mask.unsqueeze(1);
  if (o.bias.defined() && o.bias.dim() > 2) o.bias = o.bias.unsqueeze(1);
  return o;
}

}  // namespace attend::compose
