#include <ATen/TensorOperators.h>
#include <ATen/ops/any.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "attend/ops/attention.h"
#include "ops/compose/masked_softmax.h"
#include "ops/sdpa.h"

namespace attend::compose {
namespace {

/// Every query head with keys and values of its own, and what nobody sees zeroed.
struct SdpaInputs {
  at::Tensor visible;  // broadcastable to [B,H,Lq,Lk], or undefined
  at::Tensor query;    // [B,H,Lq,D]
  at::Tensor key;      // [B,H,Lk,D]
  at::Tensor value;    // [B,H,Lk,Dv]
  at::Tensor sees;     // [B,H,Lq,1]: whether a query sees anything; or undefined
  double scale;

  SdpaInputs(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
             const AttentionOptions& o)
      : visible(visibility(o, q.size(2), k.size(2), q.device())),
        scale(o.scale.value_or(
            1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(1, q.size(3)))))) {
    const std::int64_t group = k.size(1) == 0 ? 1 : q.size(1) / k.size(1);
    at::Tensor key_seen;  // [B,H,Lk,1]
    if (visible.defined()) {
      sees = visible.any(-1, /*keepdim=*/true);
      key_seen = visible.any(-2, /*keepdim=*/true).transpose(-1, -2);
    }
    query = hide_unseen(q, sees);
    key = hide_unseen(at::repeat_interleave(k, group, 1), key_seen);
    value = hide_unseen(at::repeat_interleave(v, group, 1), key_seen);
  }
  at::Tensor scores() const { return at::matmul(query, key.transpose(-1, -2)) * scale; }
};

/// [B,H,L,D] to [B,Hkv,L,D]: query heads that share a key head add up.
at::Tensor sum_of_groups(const at::Tensor& t, std::int64_t key_heads) {
  return t
      .view(
          {t.size(0), key_heads, key_heads == 0 ? 1 : t.size(1) / key_heads, t.size(2), t.size(3)})
      .sum(2);
}

}  // namespace

AttentionResult sdpa(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const AttentionOptions& o) {
  const SdpaInputs in(query, key, value, o);
  return attend_over(in.scores(), in.value, in.visible, o);
}

SdpaGradients sdpa_backward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const AttentionOptions& o, const at::Tensor& grad_output,
                            const at::Tensor& grad_weights) {
  const SdpaInputs in(query, key, value, o);
  const at::Tensor scores = in.scores();
  const at::Tensor weights =
      masked_softmax(o.bias.defined() ? scores + o.bias : scores, in.visible);  // [B,H,Lq,Lk]
  at::Tensor slope, grad_value = at::zeros_like(value, at::MemoryFormat::Contiguous);
  if (grad_output.defined()) {
    const at::Tensor grad = hide_unseen(grad_output, in.sees);
    slope = at::matmul(grad, in.value.transpose(-1, -2));
    at::Tensor used = weights;
    if (o.dropout > 0) {
      const at::Tensor kept = dropout_factors(o, weights);
      slope = slope * kept, used = weights * kept;
    }
    grad_value = sum_of_groups(at::matmul(used.transpose(-1, -2), grad), key.size(1));
  }
  if (grad_weights.defined()) {
    const at::Tensor grad = hide_unseen(grad_weights, in.visible);
    slope = slope.defined() ? slope + grad : grad;
  }
  if (!slope.defined()) slope = at::zeros_like(weights);
  const at::Tensor centred =
      weights * (slope - (weights * slope).sum({-1}, /*keepdim=*/true));  // dS
  return {at::matmul(centred, in.key) * in.scale,
          sum_of_groups(at::matmul(centred.transpose(-1, -2), in.query) * in.scale, key.size(1)),
          grad_value, o.bias.defined() ? centred.sum_to_size(o.bias.sizes()) : at::Tensor()};
}

}  // namespace attend::compose
