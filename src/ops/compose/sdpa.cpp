#include <ATen/TensorOperators.h>
#include <ATen/ops/any.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/repeat_interleave.h>

#include <cmath>

#include "attend/ops/attention.h"
#include "ops/compose/masked_softmax.h"

namespace attend::compose {

AttentionResult sdpa(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const AttentionOptions& o) {
  const std::int64_t group = key.size(1) == 0 ? 1 : query.size(1) / key.size(1);
  const at::Tensor visible = visibility(o, query.size(2), key.size(2), query.device());
  // Unseen rows are found for each query head; [B,H,Lq,1] and [B,H,Lk,1].
  at::Tensor query_sees, key_seen;
  if (visible.defined()) {
    query_sees = visible.any(-1, /*keepdim=*/true);
    key_seen = visible.any(-2, /*keepdim=*/true).transpose(-1, -2);
  }
  const at::Tensor q = hide_unseen(query, query_sees);                                     // [B,H,Lq,D]
  const at::Tensor k = hide_unseen(at::repeat_interleave(key, group, 1), key_seen);        // [B,H,Lk,D]
  const at::Tensor v = hide_unseen(at::repeat_interleave(value, group, 1), key_seen);      // [B,H,Lk,Dv]
  const double scale = o.scale.value_or(1.0 / std::sqrt(static_cast<double>(query.size(3))));
  return attend_over(at::matmul(q, k.transpose(-1, -2)) * scale, v, visible, o);
}

}  // namespace attend::compose
