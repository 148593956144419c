#include "attend/ops/multiplicative.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/any.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>

#include <cmath>

#include "attend/base/error.h"
#include "ops/attention_check.h"
#include "ops/compose/masked_softmax.h"

namespace attend {
namespace {

constexpr const char* kMultiplicative = "attend::multiplicative";

/// Rows scaled to length 1; a zero row stays zero and has gradient zero.
at::Tensor unit_rows(const at::Tensor& rows) {
  const at::Tensor squared = (rows * rows).sum({-1}, /*keepdim=*/true);
  const at::Tensor zero = squared.eq(0);
  const at::Tensor one = at::scalar_tensor(1, rows.options());
  return rows / at::where(zero, one, squared).sqrt();
}

}  // namespace

AttentionResult multiplicative(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               MultiplicativeScore score, const at::Tensor& weight, const AttentionOptions& options) {
  const bool general = score == MultiplicativeScore::kGeneral;
  ShapeCheck n(kMultiplicative);
  n("query", query, {"B", "Lq", "D"})("key", key, {"B", "Lk", general ? "Dk" : "D"})("value", value, {"B", "Lk", "Dv"});
  if (general) n("weight", weight, {"D", "Dk"});
  if (!general && weight.defined())
    fail_usage(std::string(kMultiplicative) + ": weight is for the general score; leave it undefined for the others");
  check_attention_options(n, kMultiplicative, options, {n.size("B"), n.size("Lq"), n.size("Lk")});

  AttentionOptions o = compose::with_head_axis(options);
  double scale = options.scale.value_or(1.0);
  if (score == MultiplicativeScore::kScaledDot) scale /= std::sqrt(static_cast<double>(query.size(2)));
  o.scale = scale;
  at::Tensor q = query, k = key;
  if (general) q = at::matmul(query, weight);   // [B,Lq,D] [D,Dk] -> [B,Lq,Dk]
  if (score == MultiplicativeScore::kCosine) q = unit_rows(query), k = unit_rows(key);
  return compose::without_heads(sdpa(q.unsqueeze(1), k.unsqueeze(1), value.unsqueeze(1), o));
}

AttentionResult location(const at::Tensor& query, const at::Tensor& value, const at::Tensor& weight,
                         const AttentionOptions& options) {
  constexpr const char* kOp = "attend::location";
  ShapeCheck n(kOp);
  n("query", query, {"B", "Lq", "D"})("value", value, {"B", "Lk", "Dv"})("weight", weight, {"P", "D"});
  if (n.size("P") < n.size("Lk"))
    fail_usage(std::string(kOp) + ": weight has P=" + std::to_string(n.size("P")) + " places but value has Lk=" +
               std::to_string(n.size("Lk")) + " keys; give a weight with at least as many rows");
  const at::Tensor used = weight.narrow(0, 0, value.size(1));   // [Lk,D]
  return attend_scores(at::matmul(query, used.transpose(0, 1)), value, options);
}

AttentionResult attend_scores(const at::Tensor& scores, const at::Tensor& value, const AttentionOptions& options) {
  constexpr const char* kOp = "attend::attend_scores";
  ShapeCheck n(kOp);
  n("scores", scores, {"B", "Lq", "Lk"})("value", value, {"B", "Lk", "Dv"});
  check_attention_options(n, kOp, options, scores.sizes());
  const AttentionOptions o = compose::with_head_axis(options);
  const at::Tensor visible = compose::visibility(o, scores.size(1), scores.size(2), scores.device());
  at::Tensor v = value.unsqueeze(1);   // [B,1,Lk,Dv]
  if (visible.defined()) v = compose::hide_unseen(v, visible.any(-2, /*keepdim=*/true).transpose(-1, -2));
  return compose::without_heads(compose::attend_over(scores.unsqueeze(1) * o.scale.value_or(1.0), v, visible, o));
}

}  // namespace attend
