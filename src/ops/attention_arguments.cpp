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

// One entry: each costs a search by name when it is written and again when it is read, and a decoder takes a step in some µs.
void save_options(torch::autograd::AutogradContext* ctx, const AttentionOptions& o) {
  ctx->saved_data["options"] =
      c10::ivalue::Tuple::create({o.causal, o.alignment == Alignment::kLast, o.window_left,
                                  o.window_right, o.scale ? c10::IValue(*o.scale) : c10::IValue(),
                                  o.dropout, static_cast<std::int64_t>(o.seed), o.need_weights});
}

void save_with_options(torch::autograd::AutogradContext* ctx,
                       torch::autograd::variable_list tensors, const AttentionOptions& o) {
  tensors.insert(tensors.end(), {o.mask, o.bias, o.query_lengths, o.key_lengths});
  ctx->save_for_backward(std::move(tensors));
  save_options(ctx, o);
}

AttentionOptions load_options(torch::autograd::AutogradContext* ctx,
                              const torch::autograd::variable_list& saved, std::size_t first) {
  const auto d = ctx->saved_data["options"].toTupleRef().elements().asArrayRef();
  AttentionOptions o;
  o.mask = saved[first], o.bias = saved[first + 1], o.query_lengths = saved[first + 2],
  o.key_lengths = saved[first + 3];
  o.causal = d[0].toBool(), o.alignment = d[1].toBool() ? Alignment::kLast : Alignment::kFirst;
  o.window_left = d[2].toInt(), o.window_right = d[3].toInt();
  o.scale = d[4].toOptional<double>(), o.dropout = d[5].toDouble();
  o.seed = static_cast<std::uint64_t>(d[6].toInt()), o.need_weights = d[7].toBool();
  return o;
}

}  // namespace attend
