#include "ops/decoder_step.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>

#include "attend/base/error.h"
#include "ops/additive.h"
#include "ops/attention_check.h"
#include "ops/recompose.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kStepCells[] = {"gru", "gru_reset_before", "lstm"};

const char* step_cell_name(DecoderCell c) { return kStepCells[static_cast<int>(c)]; }

}  // namespace

DecoderCell step_cell(std::string_view name) {
  for (int i = 0; i < 3; ++i)
    if (name == kStepCells[i]) return static_cast<DecoderCell>(i);
  fail_usage(std::string(kStepOp) + ": cell is \"" + std::string(name) +
             "\": it must be gru, gru_reset_before or lstm");
}

void check_step(ATTEND_STEP_TENSORS) {
  const bool lstm = step_cell(cell) == DecoderCell::kLstm;
  const char* const rows = lstm ? "4H" : "3H";
  ShapeCheck n(kStepOp);
  n("state", state, {"B", "H"})("gates", gates, {"B", rows});
  n("key", key, {"B", "Lk", "A"})("value", value, {"B", "Lk", "Dv"});
  n("weight_query", weight_query, {"A", "H"})("score_weight", score_weight, {"A"});
  n("weight_context", weight_context, {rows, "Dv"})("weight_hidden", weight_hidden, {rows, "H"});
  n.optional("bias", or_undefined(bias), {rows});
  n.optional("memory", or_undefined(memory), {"B", "H"});
  n.at_least("H", n.size("H"), 1);
  if (memory.has_value() != lstm)
    fail_usage(std::string(kStepOp) + (lstm ? ": cell lstm needs memory [B, H]"
                                            : ": memory is given, but only cell lstm has one"));
  AttentionOptions o;
  o.key_lengths = or_undefined(key_lengths), o.mask = or_undefined(mask);
  n("query", state.unsqueeze(1), {"B", "Lq", "H"});
  check_attention_options(n, kStepOp, o, {n.size("B"), 1, n.size("Lk")});
}

const char* why_step_composed(ATTEND_STEP_TENSORS) {
  const at::Tensor m = or_undefined(memory), b = or_undefined(bias);
  return why_not_fused({&gates, &state, &m, &key, &value, &weight_query, &score_weight,
                        &weight_context, &weight_hidden, &b});
}

namespace {

StepTrained decoder_step_training_cpu(ATTEND_STEP_TENSORS) {
  check_step(ATTEND_STEP_NAMES);
  if (const char* reason = why_step_composed(ATTEND_STEP_NAMES))
    ShapeCheck(kStepOp).unsupported(reason);
  return decoder_step_fused(ATTEND_STEP_NAMES);
}

DecoderStepOptions step_options(std::string_view cell, const at::Tensor& memory,
                                const at::Tensor& lengths, const at::Tensor& mask,
                                bool need_weights) {
  return {step_cell(cell), memory, lengths, mask, need_weights};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> step_tuple(DecoderStepResult r) {
  const auto filled = [&](const at::Tensor& t) {
    return t.defined() ? t : at::empty({0}, r.state.options());
  };
  return {r.state, filled(r.memory), r.context, filled(r.weights)};
}

using StepResult = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// Saved: the fifteen arguments' tensors in the schema's order (0 … 13), then memory_after, context, weights, query, kept.
struct StepFunction : torch::autograd::Function<StepFunction> {
  static variable_list forward(AutogradContext* ctx, ATTEND_STEP_TENSORS) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    static const auto op =
        dispatched<decltype(decoder_step_training_cpu)>("attend::decoder_step_training");
    const auto [after, memory_after, context, weights, query, kept] = op.call(ATTEND_STEP_NAMES);
    ctx->save_for_backward({gates, state, or_undefined(memory), key, value, weight_query,
                            score_weight, weight_context, weight_hidden, or_undefined(bias),
                            or_undefined(prepared), or_undefined(packed), or_undefined(key_lengths),
                            or_undefined(mask), memory_after, context, weights, query, kept});
    ctx->saved_data["cell"] = std::string(cell);
    return {after, memory_after, context, weights};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    variable_list all(15);
    if (!grads[0].defined() && !grads[1].defined() && !grads[2].defined() && !grads[3].defined())
      return all;
    const auto s = ctx->get_saved_variables();
    const std::string cell = ctx->saved_data["cell"].toStringRef();
    const bool lstm = s[2].defined();
    if (!lstm) grads[1] = at::Tensor();
    const auto opt = [&](int i) { return or_none(s[static_cast<std::size_t>(i)]); };
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      note_composed("attend::decoder_step_backward", "a second derivative was asked for");
      const auto found =
          gradients_by_recomposing({s.begin(), s.begin() + 10}, grads, [&](const TensorList& t) {
            const auto r = compose::decoder_step(t[0], t[1], {t[3], {}}, t[4],
                                                 {t[5], t[6], t[7], t[8], t[9], {}},
                                                 step_options(cell, t[2], s[12], s[13], true));
            return TensorList{r.state, r.memory, r.context, r.weights};
          });
      std::copy(found.begin(), found.end(), all.begin());
      return all;
    }
    const int absent =
        lstm ? 0 : 1;  // torch counts tensors that are there, and memory comes before these
    const bool parameters = ctx->needs_input_grad(5 - absent) ||
                            ctx->needs_input_grad(7 - absent) || ctx->needs_input_grad(8 - absent);
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op =
        dispatched<decltype(decoder_step_backward_cpu)>("attend::decoder_step_backward");
    std::tie(all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7], all[8], all[9]) =
        op.call(or_none(grads[0]), or_none(grads[1]), or_none(grads[2]), or_none(grads[3]), s[0],
                s[1], opt(2), s[3], s[4], s[5], s[6], s[7], s[8], opt(9), opt(10), opt(11), opt(12),
                opt(13), cell, s[14], s[15], s[16], s[17], s[18], parameters);
    if (!lstm) all[2] = at::Tensor();
    if (!s[9].defined()) all[9] = at::Tensor();
    if (!parameters) all[5] = all[7] = all[8] = at::Tensor();
    return all;
  }
};

/// Of checked arguments.
StepResult step_by_definition(ATTEND_STEP_TENSORS, bool need_weights) {
  const char* reason = why_step_composed(ATTEND_STEP_NAMES);
  const auto out = compose::decoder_step(
      gates, state, {key, {}}, value,
      {weight_query, score_weight, weight_context, weight_hidden, or_undefined(bias), {}},
      step_options(cell, or_undefined(memory), or_undefined(key_lengths), or_undefined(mask),
                   need_weights));
  note_composed(kStepOp, reason ? reason : "asked for");
  return step_tuple(out);
}

StepResult decoder_step_composed(ATTEND_STEP_TENSORS, bool need_weights) {
  check_step(ATTEND_STEP_NAMES);
  return step_by_definition(ATTEND_STEP_NAMES, need_weights);
}

StepResult decoder_step_cpu(ATTEND_STEP_TENSORS, bool need_weights) {
  check_step(ATTEND_STEP_NAMES);
  if (why_step_composed(ATTEND_STEP_NAMES))
    return step_by_definition(ATTEND_STEP_NAMES, need_weights);
  const auto r = decoder_step_fused(ATTEND_STEP_NAMES);
  return {std::get<0>(r), std::get<1>(r), std::get<2>(r),
          need_weights ? std::get<3>(r) : at::empty({0}, state.options())};
}

StepTrained decoder_step_training_meta(ATTEND_STEP_TENSORS) {
  TORCH_CHECK(state.dim() == 2 && key.dim() == 3 && value.dim() == 3,
              "attend::decoder_step: state must be [B, H], key and value [B, Lk, ·]");
  const auto batch = state.sym_size(0), h = state.sym_size(1);
  const auto rows = [&](const c10::SymInt& n) {
    return at::empty_symint({batch, n}, state.options());
  };
  return {rows(h),
          memory ? rows(h) : at::empty({0}, state.options()),
          rows(value.sym_size(2)),
          rows(key.sym_size(1)),
          rows(key.sym_size(2)),
          rows(h * 4)};
}

StepResult decoder_step_meta(ATTEND_STEP_TENSORS, bool need_weights) {
  const auto r = decoder_step_training_meta(ATTEND_STEP_NAMES);
  return {std::get<0>(r), std::get<1>(r), std::get<2>(r),
          need_weights ? std::get<3>(r) : at::empty({0}, state.options())};
}

StepGradients decoder_step_backward_meta(const OptionalTensor&, const OptionalTensor&,
                                         const OptionalTensor&, const OptionalTensor&,
                                         ATTEND_STEP_TENSORS, const at::Tensor&, const at::Tensor&,
                                         const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                         bool grad_parameters) {
  const auto like = [](const at::Tensor& t, bool want = true) {
    return want ? at::empty_symint(t.sym_sizes(), t.options()) : at::empty({0}, t.options());
  };
  const auto maybe = [&](const OptionalTensor& t) {
    return t ? like(*t) : at::empty({0}, state.options());
  };
  return {like(gates),
          like(state),
          maybe(memory),
          like(key),
          like(value),
          like(weight_query, grad_parameters),
          like(score_weight),
          like(weight_context, grad_parameters),
          like(weight_hidden, grad_parameters),
          maybe(bias)};
}

StepResult decoder_step_autograd(ATTEND_STEP_TENSORS, bool need_weights) {
  if (why_step_composed(ATTEND_STEP_NAMES))  // differentiates itself
    return decoder_step_composed(ATTEND_STEP_NAMES, need_weights);
  if (must_differentiate({gates, state, or_undefined(memory), key, value, weight_query,
                          score_weight, weight_context, weight_hidden, or_undefined(bias)})) {
    static const auto prepare =
        dispatched<decltype(additive_prepare_cpu)>("attend::additive_prepare");
    const OptionalTensor exponentials =
        prepared || key.dim() != 3 ? prepared : OptionalTensor(prepare.call(key.detach()));
    const auto out = StepFunction::apply(gates, state, memory, key, value, weight_query,
                                         score_weight, weight_context, weight_hidden, bias,
                                         exponentials, packed, key_lengths, mask, cell);
    const at::Tensor none = at::empty({0}, state.options());
    return {out[0], memory ? out[1] : none, out[2], need_weights ? out[3] : none};
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  static const auto op = dispatched<decltype(decoder_step_cpu)>(kStepOp);
  return op.call(ATTEND_STEP_NAMES, need_weights);
}

}  // namespace

DecoderStepWeights prepare_decoder_step(const DecoderStepWeights& weights, DecoderCell cell) {
  DecoderStepWeights out = weights;
  if (!why_not_fused({&weights.query, &weights.context, &weights.hidden})) {
    const at::AutoDispatchBelowADInplaceOrView below;
    out.packed = decoder_step_pack_cpu(weights.query.detach(), weights.context.detach(),
                                       weights.hidden.detach(), step_cell_name(cell));
  }
  return out;
}

DecoderStepResult decoder_step(const at::Tensor& gates, const at::Tensor& state,
                               const AdditiveKeys& keys, const at::Tensor& value,
                               const DecoderStepWeights& w, const DecoderStepOptions& o) {
  const OptionalTensor memory = or_none(o.memory), bias = or_none(w.bias),
                       prepared = or_none(keys.prepared), packed = or_none(w.packed),
                       lengths = or_none(o.key_lengths), mask = or_none(o.mask);
  const char* const cell = step_cell_name(o.cell);
  for (const at::Tensor* t :
       {&gates, &state, &keys.key, &value, &w.query, &w.score, &w.context, &w.hidden})
    if (!t->defined())
      check_step(gates, state, memory, keys.key, value, w.query, w.score, w.context, w.hidden, bias,
                 prepared, packed, lengths, mask, cell);
  static const auto op = dispatched<decltype(decoder_step_cpu)>(kStepOp);
  const auto [after, memory_after, context, weights] =
      op.call(gates, state, memory, keys.key, value, w.query, w.score, w.context, w.hidden, bias,
              prepared, packed, lengths, mask, cell, o.need_weights);
  return {after, memory ? memory_after : at::Tensor(), context,
          o.need_weights ? weights : at::Tensor()};
}

#define ATTEND_STEP_SCHEMA                                                                     \
  "Tensor gates, Tensor state, Tensor? memory, Tensor key, Tensor value, Tensor weight_query," \
  " Tensor score_weight, Tensor weight_context, Tensor weight_hidden, Tensor? bias, Tensor? "  \
  "prepared,"                                                                                  \
  " Tensor? packed, Tensor? key_lengths, Tensor? mask, str cell"

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def("decoder_step(" ATTEND_STEP_SCHEMA
        ", bool need_weights=False) -> (Tensor state, Tensor memory, Tensor context, Tensor "
        "weights)");
  m.def("decoder_step_training(" ATTEND_STEP_SCHEMA
        ") -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "decoder_step_backward(Tensor? grad_state, Tensor? grad_memory, Tensor? grad_context, "
      "Tensor? grad_weights, " ATTEND_STEP_SCHEMA
      ", Tensor memory_after, Tensor context, Tensor weights, Tensor query, Tensor kept,"
      " bool grad_parameters) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, "
      "Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("decoder_step", &decoder_step_cpu);
  m.impl("decoder_step_training", &decoder_step_training_cpu);
  m.impl("decoder_step_backward", &decoder_step_backward_cpu);
}
TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) {
  m.impl("decoder_step", &decoder_step_composed);
}
TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("decoder_step", &decoder_step_meta);
  m.impl("decoder_step_training", &decoder_step_training_meta);
  m.impl("decoder_step_backward", &decoder_step_backward_meta);
}
TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("decoder_step", &decoder_step_autograd); }

}  // namespace attend
