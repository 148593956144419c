#include <ATen/TensorOperators.h>
#include <ATen/ops/any.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tanh.h>

#include "attend/ops/attention.h"
#include "ops/compose/masked_softmax.h"

namespace attend::compose {

AttentionResult additive(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& score_weight, const AttentionOptions& options) {
  const AttentionOptions o = with_head_axis(options);
  const at::Tensor visible = visibility(o, query.size(1), key.size(1), query.device());
  at::Tensor query_sees, key_seen;
  if (visible.defined()) {
    query_sees = visible.any(-1, /*keepdim=*/true);
    key_seen = visible.any(-2, /*keepdim=*/true).transpose(-1, -2);
  }
  const at::Tensor q = hide_unseen(query.unsqueeze(1), query_sees);  // [B,1,Lq,A]
  const at::Tensor k = hide_unseen(key.unsqueeze(1), key_seen);      // [B,1,Lk,A]
  const at::Tensor v = hide_unseen(value.unsqueeze(1), key_seen);    // [B,1,Lk,Dv]
  const at::Tensor scores = at::matmul((q.unsqueeze(3) + k.unsqueeze(2)).tanh(),
                                       score_weight);  // [B,1,Lq,Lk,A] -> [B,1,Lq,Lk]
  return without_heads(attend_over(scores * o.scale.value_or(1.0), v, visible, o));
}

}  // namespace attend::compose
