#include "attend/ops/local.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/any.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/le.h>
#include <ATen/ops/logical_and.h>
#include <ATen/ops/lt.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/where.h>

#include "ops/compose/masked_softmax.h"

namespace attend::compose {
namespace {

at::Tensor scores_of(const at::Tensor& q, const at::Tensor& k, const LocalOptions& o) {
  const at::Tensor scores =
      o.score_weight.defined()
          ? at::matmul((q.unsqueeze(3) + k.unsqueeze(2)).tanh(), o.score_weight)
          : at::matmul(q, k.transpose(-1, -2));
  return scores * o.scale.value_or(1.0);
}

}  // namespace

AttentionResult local(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                      const at::Tensor& centre, const LocalOptions& o) {
  const at::Tensor j =
      at::arange(key.size(1), centre.options().requires_grad(false)).view({1, 1, 1, key.size(1)});
  const at::Tensor distance = j - centre.unsqueeze(1).unsqueeze(3);  // [B,1,Lq,Lk]
  at::Tensor visible = distance.detach().abs().le(static_cast<double>(o.window));
  if (o.key_lengths.defined())
    visible = visible.logical_and(j.lt(o.key_lengths.view({-1, 1, 1, 1})));
  const at::Tensor key_seen = visible.any(-2, /*keepdim=*/true).transpose(-1, -2);
  const at::Tensor q = hide_unseen(query.unsqueeze(1), visible.any(-1, /*keepdim=*/true));
  const at::Tensor k = hide_unseen(key.unsqueeze(1), key_seen);
  const at::Tensor v = hide_unseen(value.unsqueeze(1), key_seen);
  at::Tensor weights = masked_softmax(scores_of(q, k, o), visible);
  if (o.gaussian) {
    const double sigma = static_cast<double>(o.window) / 2;
    weights = weights * (distance * distance * (-0.5 / (sigma * sigma))).exp();
  }
  const at::Tensor place = centre.unsqueeze(1).unsqueeze(3);
  weights =
      at::where(place.isnan(), place, weights);  // no window is right then, and 0 would hide it
  return without_heads({at::matmul(weights, v), o.need_weights ? weights : at::Tensor()});
}

}  // namespace attend::compose
