#include "attend/ops/attention.h"
#include "ops/attention_check.h"
#include "ops/dispatch.h"

namespace attend {

AttentionResult additive(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& score_weight, const AttentionOptions& o) {
  constexpr const char* kOp = "attend::additive";
  ShapeCheck n(kOp);
  n("query", query, {"B", "Lq", "A"})("key", key, {"B", "Lk", "A"})("value", value, {"B", "Lk", "Dv"});
  n("score_weight", score_weight, {"A"});
  check_attention_options(n, kOp, o, {n.size("B"), n.size("Lq"), n.size("Lk")});
  note_composed(kOp, "no fused kernel yet");
  return compose::additive(query, key, value, score_weight, o);
}

}  // namespace attend
