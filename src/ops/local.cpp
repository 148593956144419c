#include "attend/ops/local.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>

#include "ops/attention_check.h"
#include "ops/dispatch.h"

namespace attend {

AttentionResult local(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& centre,
                      const LocalOptions& o) {
  constexpr const char* kOp = "attend::local";
  ShapeCheck n(kOp);
  n("query", query, {"B", "Lq", "D"})("key", key, {"B", "Lk", "D"})("value", value, {"B", "Lk", "Dv"});
  n("centre", centre, {"B", "Lq"}).optional("score_weight", o.score_weight, {"D"});
  n.lengths("key_lengths", o.key_lengths, "Lk").at_least("window", o.window, 1);
  if (o.scale) n.finite("scale", *o.scale);
  note_composed(kOp, "no fused kernel yet");
  return compose::local(query, key, value, centre, o);
}

at::Tensor predicted_centre(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& score_weight,
                            std::int64_t key_count, const at::Tensor& key_lengths) {
  ShapeCheck n("attend::predicted_centre");
  n("hidden", hidden, {"B", "Lq", "D"})("weight", weight, {"A", "D"})("score_weight", score_weight, {"A"});
  n.at_least("key_count", key_count, 0).index("key_lengths", key_lengths, {"B"});
  const at::Tensor share = at::matmul(at::matmul(hidden, weight.transpose(0, 1)).tanh(), score_weight).sigmoid();   // [B,Lq]
  return key_lengths.defined() ? share * key_lengths.to(hidden.scalar_type()).unsqueeze(1)
                               : share * static_cast<double>(key_count);
}

}  // namespace attend
