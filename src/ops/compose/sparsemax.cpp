#include "attend/ops/sparsemax.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/any.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <limits>

#include "ops/compose/masked_softmax.h"

namespace attend::compose {
namespace {

/// sparsemax over the last axis among visible keys (algorithm 1 of the paper); rows that see none are 0.
at::Tensor masked_sparsemax(const at::Tensor& scores, const at::Tensor& visible) {
  if (scores.size(-1) == 0) return scores;
  const double lowest = -std::numeric_limits<double>::infinity();
  const at::Tensor low = at::scalar_tensor(lowest, scores.options());
  const at::Tensor zero = at::scalar_tensor(0, scores.options());
  const at::Tensor s = visible.defined() ? at::where(visible, scores, low) : scores;
  at::Tensor sorted = std::get<0>(s.sort(-1, /*descending=*/true));
  const at::Tensor real = sorted.ne(lowest);
  // From the largest, which changes no weight; hidden keys come last and take no part.
  at::Tensor largest = sorted.narrow(-1, 0, 1);
  largest = at::where(largest.eq(lowest), zero, largest);
  sorted = at::where(real, sorted - largest, zero);
  const at::Tensor sums = sorted.cumsum(-1) - 1;
  const at::Tensor place = at::arange(1, scores.size(-1) + 1, scores.options());
  const at::Tensor inside = (sorted * place).gt(sums).logical_and(real);
  const at::Tensor support = inside.sum({-1}, /*keepdim=*/true).clamp_min(1);
  const at::Tensor threshold = sums.gather(-1, support - 1) / support;
  const at::Tensor weights = (s - largest - threshold).clamp_min(0);
  return visible.defined() ? at::where(visible, weights, zero) : weights;
}

}  // namespace

AttentionResult sparsemax(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const AttentionOptions& o) {
  const at::Tensor visible = visibility(o, query.size(2), key.size(2), query.device());
  const std::int64_t group = key.size(1) == 0 ? 1 : query.size(1) / key.size(1);
  at::Tensor query_sees, key_seen;  // [B,H,Lq,1], [B,H,Lk,1]
  if (visible.defined()) {
    query_sees = visible.any(-1, /*keepdim=*/true);
    key_seen = visible.any(-2, /*keepdim=*/true).transpose(-1, -2);
  }
  const at::Tensor q = hide_unseen(query, query_sees);
  const at::Tensor k = hide_unseen(at::repeat_interleave(key, group, 1), key_seen);
  const at::Tensor v = hide_unseen(at::repeat_interleave(value, group, 1), key_seen);
  const double width = static_cast<double>(std::max<std::int64_t>(1, query.size(3)));
  at::Tensor scores = at::matmul(q, k.transpose(-1, -2)) * o.scale.value_or(1 / std::sqrt(width));
  if (o.bias.defined()) scores = scores + o.bias;
  const at::Tensor weights = masked_sparsemax(scores, visible);  // [B,H,Lq,Lk]
  const at::Tensor used = o.dropout > 0 ? weights * dropout_factors(o, weights) : weights;
  return {at::matmul(used, v), o.need_weights ? weights : at::Tensor()};
}

}  // namespace attend::compose
