#include "attend/ops/multiplicative.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/any.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/narrow.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include <array>
#include <cmath>

#include "attend/base/error.h"
#include "ops/attention_arguments.h"
#include "ops/attention_check.h"
#include "ops/compose/masked_softmax.h"
#include "ops/dispatch.h"

// All of it becomes one call of sdpa with one head, so each op is registered as its decomposition: autograd, shapes and tracing
// are those of the parts.
namespace attend {
namespace {

using MultiplicativePair = std::tuple<at::Tensor, at::Tensor>;

constexpr const char* kMultiplicative = "attend::multiplicative";
constexpr std::array kScoreNames = {"dot", "general", "scaled_dot",
                                    "cosine"};  // in the order of MultiplicativeScore

MultiplicativeScore score_of(std::string_view name) {
  for (std::size_t i = 0; i < kScoreNames.size(); ++i)
    if (name == kScoreNames[i]) return static_cast<MultiplicativeScore>(i);
  fail_usage(std::string(kMultiplicative) + ": score is '" + std::string(name) +
             "' but must be 'dot', 'general', 'scaled_dot' or 'cosine'");
}

/// Queries and keys [B,L,D] with those rows zeroed that sdpa will not touch: what is done to a row before sdpa must not touch
/// it either.
void hide_rows(at::Tensor& query, at::Tensor* key, std::int64_t keys, const AttentionOptions& o) {
  const at::Tensor visible =
      compose::visibility(o, query.sym_size(1).guard_int(__FILE__, __LINE__), keys, query.device());
  if (!visible.defined()) return;
  query = compose::hide_unseen(query.unsqueeze(1), visible.any(-1, /*keepdim=*/true)).squeeze(1);
  if (key)
    *key =
        compose::hide_unseen(key->unsqueeze(1), visible.any(-2, /*keepdim=*/true).transpose(-1, -2))
            .squeeze(1);
}

std::int64_t keys_of(const at::Tensor& value) {
  return value.sym_size(1).guard_int(__FILE__, __LINE__);
}

/// sdpa with a head axis put in and taken out; `o` has its head axis already.
MultiplicativePair sdpa_without_heads(const at::Tensor& query, const at::Tensor& key,
                                      const at::Tensor& value, const AttentionOptions& o) {
  const auto [output, weights] = sdpa(query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1), o);
  return registered_result({output.squeeze(1), weights.defined() ? weights.squeeze(1) : weights});
}

void check_multiplicative(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          MultiplicativeScore score, const at::Tensor& weight,
                          const AttentionOptions& o) {
  if (has_symbolic_sizes({&query, &key, &value, &weight})) return;
  const bool general = score == MultiplicativeScore::kGeneral;
  ShapeCheck n(kMultiplicative);
  n("query", query, {"B", "Lq", "D"})("key", key, {"B", "Lk", general ? "Dk" : "D"})(
      "value", value, {"B", "Lk", "Dv"});
  if (general) n("weight", weight, {"D", "Dk"});
  if (!general && weight.defined())
    fail_usage(std::string(kMultiplicative) +
               ": weight is for the general score; leave it undefined for the others");
  check_attention_options(n, kMultiplicative, o, {n.size("B"), n.size("Lq"), n.size("Lk")});
}

MultiplicativePair multiplicative_composed(const at::Tensor& query, const at::Tensor& key,
                                           const at::Tensor& value, std::string_view score_name,
                                           const OptionalTensor& weight,
                                           ATTEND_ATTENTION_PARAMETERS) {
  const MultiplicativeScore score = score_of(score_name);
  const AttentionOptions given = attention_options(ATTEND_ATTENTION_NAMES);
  check_multiplicative(query, key, value, score, or_undefined(weight), given);
  AttentionOptions o = compose::with_head_axis(given);
  at::Tensor q = query, k = key;
  if (score == MultiplicativeScore::kScaledDot) {
    const auto width = static_cast<double>(query.sym_size(2).guard_int(__FILE__, __LINE__));
    o.scale = given.scale.value_or(1.0) / std::sqrt(std::max(1.0, width));
  } else {
    o.scale = given.scale.value_or(1.0);
  }
  if (score == MultiplicativeScore::kGeneral) {
    hide_rows(q, nullptr, keys_of(value), o);
    q = at::matmul(q, *weight);  // [B,Lq,D] [D,Dk] -> [B,Lq,Dk]
  } else if (score == MultiplicativeScore::kCosine) {
    hide_rows(q, &k, keys_of(value), o);
    q = unit_rows(q), k = unit_rows(k);
  }
  return sdpa_without_heads(q, k, value, o);
}

MultiplicativePair attend_scores_composed(const at::Tensor& scores, const at::Tensor& value,
                                          ATTEND_ATTENTION_PARAMETERS) {
  constexpr const char* kOp = "attend::attend_scores";
  const AttentionOptions given = attention_options(ATTEND_ATTENTION_NAMES);
  if (!has_symbolic_sizes({&scores, &value})) {
    ShapeCheck n(kOp);
    n("scores", scores, {"B", "Lq", "Lk"})("value", value, {"B", "Lk", "Dv"});
    check_attention_options(n, kOp, given, scores.sizes());
  }
  AttentionOptions o = compose::with_head_axis(given);
  // Queries and keys of width 0 score 0 everywhere; what the caller made comes in as their bias.
  const at::Tensor scaled = given.scale ? scores * *given.scale : scores;
  o.bias = (given.bias.defined() ? scaled + given.bias : scaled).unsqueeze(1);  // [B,1,Lq,Lk]
  o.scale = 1.0;
  const auto nothing = [&](std::int64_t axis) {
    return at::empty_symint({scores.sym_size(0), scores.sym_size(axis), 0}, value.options());
  };
  return sdpa_without_heads(nothing(1), nothing(2), value, o);
}

MultiplicativePair location_composed(const at::Tensor& query, const at::Tensor& value,
                                     const at::Tensor& weight, ATTEND_ATTENTION_PARAMETERS) {
  constexpr const char* kOp = "attend::location";
  const AttentionOptions given = attention_options(ATTEND_ATTENTION_NAMES);
  if (!has_symbolic_sizes({&query, &value, &weight})) {
    ShapeCheck n(kOp);
    n("query", query, {"B", "Lq", "D"})("value", value, {"B", "Lk", "Dv"})("weight", weight,
                                                                           {"P", "D"});
    if (n.size("P") < n.size("Lk"))
      fail_usage(std::string(kOp) + ": weight has P=" + std::to_string(n.size("P")) +
                 " places but value has Lk=" + std::to_string(n.size("Lk")) +
                 " keys; give a weight with at least as many rows");
    check_attention_options(n, kOp, given, {n.size("B"), n.size("Lq"), n.size("Lk")});
  }
  at::Tensor q = query;
  hide_rows(q, nullptr, keys_of(value), compose::with_head_axis(given));
  const at::Tensor used = at::narrow_symint(weight, 0, 0, value.sym_size(1));  // [Lk,D]
  return attend_scores_composed(at::matmul(q, used.transpose(0, 1)), value, ATTEND_ATTENTION_NAMES);
}

}  // namespace

at::Tensor unit_rows(const at::Tensor& rows) {
  const at::Tensor squared = (rows * rows).sum({-1}, /*keepdim=*/true);
  const at::Tensor zero = squared.eq(0);
  const at::Tensor one = at::scalar_tensor(1, rows.options());
  return rows / at::where(zero, one, squared).sqrt();
}

AttentionResult multiplicative(const at::Tensor& query, const at::Tensor& key,
                               const at::Tensor& value, MultiplicativeScore score,
                               const at::Tensor& weight, const AttentionOptions& o) {
  check_multiplicative(query, key, value, score, weight, o);
  static const auto op = dispatched<decltype(multiplicative_composed)>(kMultiplicative);
  return attention_result(op.call(query, key, value, kScoreNames[static_cast<std::size_t>(score)],
                                  or_none(weight), ATTEND_ATTENTION_FROM(o)),
                          o);
}

AttentionResult location(const at::Tensor& query, const at::Tensor& value, const at::Tensor& weight,
                         const AttentionOptions& o) {
  if (!query.defined() || !value.defined() || !weight.defined())
    ShapeCheck("attend::location")("query", query, {"B", "Lq", "D"})(
        "value", value, {"B", "Lk", "Dv"})("weight", weight, {"P", "D"});
  static const auto op = dispatched<decltype(location_composed)>("attend::location");
  return attention_result(op.call(query, value, weight, ATTEND_ATTENTION_FROM(o)), o);
}

AttentionResult attend_scores(const at::Tensor& scores, const at::Tensor& value,
                              const AttentionOptions& o) {
  if (!scores.defined() || !value.defined())
    ShapeCheck("attend::attend_scores")("scores", scores, {"B", "Lq", "Lk"})("value", value,
                                                                             {"B", "Lk", "Dv"});
  static const auto op = dispatched<decltype(attend_scores_composed)>("attend::attend_scores");
  return attention_result(op.call(scores, value, ATTEND_ATTENTION_FROM(o)), o);
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def(
      "multiplicative(Tensor query, Tensor key, Tensor value, str score='dot', Tensor? "
      "weight=None, " ATTEND_ATTENTION_SCHEMA ") -> (Tensor output, Tensor weights)");
  m.def("location(Tensor query, Tensor value, Tensor weight, " ATTEND_ATTENTION_SCHEMA
        ") -> (Tensor output, Tensor weights)");
  m.def("attend_scores(Tensor scores, Tensor value, " ATTEND_ATTENTION_SCHEMA
        ") -> (Tensor output, Tensor weights)");
}

TORCH_LIBRARY_IMPL(attend, CompositeImplicitAutograd, m) {
  m.impl("multiplicative", &multiplicative_composed);
  m.impl("location", &location_composed);
  m.impl("attend_scores", &attend_scores_composed);
}

}  // namespace attend
