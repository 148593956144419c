#include "ops/attention_arguments.h"

#include <ATen/ops/empty.h>

#include <string>

#include "attend/base/error.h"

namespace attend {

std::string_view alignment_name(Alignment alignment) {
  return alignment == Alignment::kLast ? "last" : "first";
}

AttentionOptions attention_options(ATTEND_ATTENTION_PARAMETERS) {
  if (alignment != "last" && alignment != "first")
    fail_usage("attend: alignment is '" + std::string(alignment) +
               "' but must be 'last' or 'first'");
  AttentionOptions o;
  o.mask = or_undefined(mask), o.bias = or_undefined(bias);
  o.query_lengths = or_undefined(query_lengths), o.key_lengths = or_undefined(key_lengths);
  o.causal = causal, o.alignment = alignment == "last" ? Alignment::kLast : Alignment::kFirst;
  o.window_left = window_left, o.window_right = window_right;
  o.scale = scale, o.dropout = dropout, o.seed = static_cast<std::uint64_t>(seed),
  o.need_weights = need_weights;
  return o;
}

AttentionResult attention_result(AttentionResult result, const AttentionOptions& o) {
  if (!o.need_weights) std::get<1>(result) = at::Tensor();
  return result;
}

AttentionResult registered_result(AttentionResult result) {
  auto& [output, weights] = result;
  if (!weights.defined()) weights = at::empty({0}, output.options());
  return result;
}

void save_options(torch::autograd::AutogradContext* ctx, const AttentionOptions& o) {
  auto& d = ctx->saved_data;
  d["causal"] = o.causal, d["align_last"] = o.alignment == Alignment::kLast;
  d["window_left"] = o.window_left, d["window_right"] = o.window_right;
  d["scale"] = o.scale ? c10::IValue(*o.scale) : c10::IValue();
  d["dropout"] = o.dropout, d["seed"] = static_cast<std::int64_t>(o.seed),
  d["need_weights"] = o.need_weights;
}

void save_with_options(torch::autograd::AutogradContext* ctx,
                       torch::autograd::variable_list tensors, const AttentionOptions& o) {
  tensors.insert(tensors.end(), {o.mask, o.bias, o.query_lengths, o.key_lengths});
  ctx->save_for_backward(std::move(tensors));
  save_options(ctx, o);
}

AttentionOptions load_options(torch::autograd::AutogradContext* ctx,
                              const torch::autograd::variable_list& saved, std::size_t first) {
  auto& d = ctx->saved_data;
  AttentionOptions o;
  o.mask = saved[first], o.bias = saved[first + 1], o.query_lengths = saved[first + 2],
  o.key_lengths = saved[first + 3];
  o.causal = d["causal"].toBool(),
  o.alignment = d["align_last"].toBool() ? Alignment::kLast : Alignment::kFirst;
  o.window_left = d["window_left"].toInt(), o.window_right = d["window_right"].toInt();
  o.scale = d["scale"].toOptional<double>(), o.dropout = d["dropout"].toDouble();
  o.seed = static_cast<std::uint64_t>(d["seed"].toInt()),
  o.need_weights = d["need_weights"].toBool();
  return o;
}

}  // namespace attend
