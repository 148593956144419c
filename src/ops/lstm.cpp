#include "ops/lstm.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <array>

#include "attend/base/error.h"
#include "attend/base/threads.h"
#include "attend/kernels/lstm.h"
#include "ops/arena.h"
#include "ops/dispatch.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kInput = 1, kWeightIh = 2, kWeightHh = 4;  // bits of `wanted`

LstmOptions options_of(const OptionalTensor& h0, const OptionalTensor& c0,
                       const OptionalTensor& lengths, const OptionalTensor& input_mask,
                       const OptionalTensor& recurrent_mask, bool reverse) {
  return {or_undefined(h0),
          or_undefined(c0),
          or_undefined(lengths),
          or_undefined(input_mask),
          or_undefined(recurrent_mask),
          reverse};
}

void refuse_gradient(const char* name, const at::Tensor& mask) {
  if (mask.defined() && mask.requires_grad())
    fail_usage(std::string("attend::lstm: ") + name +
               " requires grad, but masks are constants here; detach it");
}

template <class T>
const T* pointer(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<T>() : nullptr;
}

template <class T>
kernels::LstmSequence<const T> sequence(const at::Tensor& t) {
  if (!t.defined()) return {};
  return {t.const_data_ptr<T>(), t.stride(0), t.stride(1)};
}

template <class T>
kernels::LstmSequence<T> mutable_sequence(at::Tensor& t) {
  return {t.mutable_data_ptr<T>(), t.stride(0), t.stride(1)};
}

/// Shapes and dense copies of what forward and backward both take.
struct Layer {
  at::Tensor weight_ih, weight_hh, lengths, input_mask, recurrent_mask;
  kernels::LstmPlan plan;

  Layer(const at::Tensor& input, const at::Tensor& w_ih, const at::Tensor& w_hh,
        const LstmOptions& o, std::int64_t workers)
      : weight_ih(w_ih.contiguous()),
        weight_hh(w_hh.contiguous()),
        lengths(contiguous_or_undefined(o.lengths)),
        input_mask(contiguous_or_undefined(o.input_mask)),
        recurrent_mask(contiguous_or_undefined(o.recurrent_mask)),
        plan({input.size(0), input.size(1), input.size(2), w_hh.size(1)},
             pointer<std::int64_t>(lengths), o.reverse, static_cast<int>(workers)) {}

  template <class T>
  kernels::LstmWeights<T> weights() const {
    return {pointer<T>(weight_ih), pointer<T>(weight_hh), pointer<T>(input_mask),
            pointer<T>(recurrent_mask)};
  }
};

/// saved_size of the same layer without lengths: known without reading them, and never less than with them.
std::int64_t saved_size(const at::Tensor& input, const at::Tensor& weight_hh,
                        std::int64_t workers) {
  return kernels::LstmPlan({input.size(0), input.size(1), input.size(2), weight_hh.size(1)},
                           nullptr, false, static_cast<int>(workers))
      .saved_size();
}

LstmResult run_forward(const at::Tensor& input, const at::Tensor& weight_ih,
                       const at::Tensor& weight_hh, const at::Tensor& bias, const LstmOptions& o,
                       std::int64_t workers, const at::Tensor& saved) {
  const std::int64_t batch = input.size(0), hidden = weight_hh.size(1);
  const at::Tensor x = with_unit_last_stride(input), b = bias.contiguous();
  const at::Tensor h0 = contiguous_or_undefined(o.h0), c0 = contiguous_or_undefined(o.c0);
  const Layer layer(x, weight_ih, weight_hh, o, workers);
  at::Tensor output = pooled_empty({batch, input.size(1), hidden}, input.options());  // [B,T,H]
  at::Tensor h_n = at::empty({batch, hidden}, input.options()), c_n = at::empty_like(h_n);
  at::Tensor workspace =
      pooled_empty(layer.plan.forward_workspace_size(saved.defined()), input.options());
  with_scalar_type(input, [&](auto zero) {
    using T = decltype(zero);
    kernels::LstmForward<T> run;
    run.weights = layer.weights<T>();
    run.bias = b.const_data_ptr<T>();
    run.input = sequence<T>(x);
    run.h0 = pointer<T>(h0), run.c0 = pointer<T>(c0);
    run.output = mutable_sequence<T>(output);
    run.h_n = h_n.mutable_data_ptr<T>(), run.c_n = c_n.mutable_data_ptr<T>();
    run.saved = saved.defined() ? saved.mutable_data_ptr<T>() : nullptr;
    run.workspace = workspace.mutable_data_ptr<T>();
    kernels::lstm_forward(layer.plan, run);
  });
  note_fused("attend::lstm");
  return {output, h_n, c_n};
}

/// The gradient as a differentiable expression, through the definition: for second derivatives only.
variable_list differentiable_backward(const variable_list& saved, bool reverse,
                                      const variable_list& grads) {
  const LstmOptions o{saved[4], saved[5], saved[6], saved[7], saved[8], reverse};
  const auto [output, h_n, c_n] = compose::lstm(saved[0], saved[1], saved[2], saved[3], o);
  note_composed("attend::lstm_backward", "a second derivative was asked for");
  const std::array<at::Tensor, 3> made{output, h_n, c_n};
  variable_list outputs, cotangents, inputs, all(11);
  for (std::size_t i = 0; i < made.size(); ++i)
    if (grads[i].defined()) outputs.push_back(made[i]), cotangents.push_back(grads[i]);
  for (std::size_t i = 0; i < 6; ++i)
    if (saved[i].defined() && saved[i].requires_grad()) inputs.push_back(saved[i]);
  const auto found = torch::autograd::grad(outputs, inputs, cotangents, true, true, true);
  for (std::size_t i = 0, k = 0; i < 6; ++i)
    if (saved[i].defined() && saved[i].requires_grad()) all[i] = found[k++];
  return all;
}

struct LstmFunction : torch::autograd::Function<LstmFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& input,
                               const at::Tensor& weight_ih, const at::Tensor& weight_hh,
                               const at::Tensor& bias, const OptionalTensor& h0,
                               const OptionalTensor& c0, const OptionalTensor& lengths,
                               const OptionalTensor& input_mask,
                               const OptionalTensor& recurrent_mask, bool reverse,
                               std::int64_t workers) {
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = dispatched<decltype(lstm_training_cpu)>("attend::lstm_training");
    const auto [output, h_n, c_n, saved] =
        op.call(input, weight_ih, weight_hh, bias, h0, c0, lengths, input_mask, recurrent_mask,
                reverse, workers);
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({input, weight_ih, weight_hh, bias, or_undefined(h0), or_undefined(c0),
                            or_undefined(lengths), or_undefined(input_mask),
                            or_undefined(recurrent_mask), saved});
    ctx->saved_data["reverse"] = reverse;
    ctx->saved_data["workers"] = workers;
    return {output, h_n, c_n};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const bool reverse = ctx->saved_data["reverse"].toBool();
    if (!grads[0].defined() && !grads[1].defined() && !grads[2].defined()) return variable_list(11);
    if (at::GradMode::is_enabled()) return differentiable_backward(saved, reverse, grads);
    const std::int64_t wanted = (ctx->needs_input_grad(0) ? kInput : 0) |
                                (ctx->needs_input_grad(1) ? kWeightIh : 0) |
                                (ctx->needs_input_grad(2) ? kWeightHh : 0);
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = dispatched<decltype(lstm_backward_cpu)>("attend::lstm_backward");
    const auto [input, weight_ih, weight_hh, bias, h0, c0] =
        op.call(or_none(grads[0]), or_none(grads[1]), or_none(grads[2]), saved[9], saved[0],
                saved[1], saved[2], or_none(saved[6]), or_none(saved[7]), or_none(saved[8]),
                reverse, ctx->saved_data["workers"].toInt(), wanted);
    const auto kept = [](const at::Tensor& gradient, bool keep) {
      return keep ? gradient : at::Tensor();
    };
    variable_list all(11);
    all[0] = kept(input, wanted & kInput);
    all[1] = kept(weight_ih, wanted & kWeightIh);
    all[2] = kept(weight_hh, wanted & kWeightHh);
    all[3] = bias;
    all[4] = kept(h0, saved[4].defined());
    all[5] = kept(c0, saved[5].defined());
    return all;
  }
};

}  // namespace

void check_lstm(const at::Tensor& input, const at::Tensor& weight_ih, const at::Tensor& weight_hh,
                const at::Tensor& bias, const LstmOptions& o) {
  ShapeCheck n("attend::lstm");
  n("input", input, {"B", "T", "I"})("weight_hh", weight_hh, {"4H", "H"})("weight_ih", weight_ih,
                                                                          {"4H", "I"});
  n("bias", bias, {"4H"}).optional("h0", o.h0, {"B", "H"}).optional("c0", o.c0, {"B", "H"});
  n.lengths("lengths", o.lengths, "T").optional("input_mask", o.input_mask, {"B", "I"});
  n.optional("recurrent_mask", o.recurrent_mask, {"B", "H"});
  n.at_least("I", n.size("I"), 1).at_least("H", n.size("H"), 1);
  refuse_gradient("input_mask", o.input_mask);
  refuse_gradient("recurrent_mask", o.recurrent_mask);
}

LstmResult lstm_cpu(ATTEND_LSTM_ARGUMENTS) {
  const LstmOptions o = options_of(h0, c0, lengths, input_mask, recurrent_mask, reverse);
  check_lstm(input, weight_ih, weight_hh, bias, o);
  if (why_not_fused({&input}))
    return lstm_composed(input, weight_ih, weight_hh, bias, h0, c0, lengths, input_mask,
                         recurrent_mask, reverse);
  return run_forward(input, weight_ih, weight_hh, bias, o, threads(), at::Tensor());
}

LstmTrained lstm_training_cpu(ATTEND_LSTM_ARGUMENTS, std::int64_t workers) {
  const LstmOptions o = options_of(h0, c0, lengths, input_mask, recurrent_mask, reverse);
  check_lstm(input, weight_ih, weight_hh, bias, o);
  ShapeCheck n("attend::lstm_training");
  n.at_least("workers", workers, 1);
  if (const char* reason = why_not_fused({&input})) n.unsupported(reason);
  at::Tensor saved = pooled_empty(saved_size(input, weight_hh, workers), input.options());
  const auto [output, h_n, c_n] = run_forward(input, weight_ih, weight_hh, bias, o, workers, saved);
  return {output, h_n, c_n, saved};
}

LstmResult lstm_composed(ATTEND_LSTM_ARGUMENTS) {
  const LstmOptions o = options_of(h0, c0, lengths, input_mask, recurrent_mask, reverse);
  check_lstm(input, weight_ih, weight_hh, bias, o);
  const char* reason = why_not_fused({&input});
  auto out = compose::lstm(input, weight_ih, weight_hh, bias, o);
  note_composed("attend::lstm", reason ? reason : "asked for");
  return out;
}

LstmGradients lstm_backward_cpu(ATTEND_LSTM_BACKWARD_ARGUMENTS) {
  const LstmOptions o = options_of({}, {}, lengths, input_mask, recurrent_mask, reverse);
  ShapeCheck n("attend::lstm_backward");
  n("input", input, {"B", "T", "I"})("weight_hh", weight_hh, {"4H", "H"})("weight_ih", weight_ih,
                                                                          {"4H", "I"});
  n.optional("grad_output", or_undefined(grad_output), {"B", "T", "H"});
  n.optional("grad_h_n", or_undefined(grad_h_n), {"B", "H"})
      .optional("grad_c_n", or_undefined(grad_c_n), {"B", "H"});
  n.lengths("lengths", o.lengths, "T").optional("input_mask", o.input_mask, {"B", "I"});
  n.optional("recurrent_mask", o.recurrent_mask, {"B", "H"}).at_least("workers", workers, 1);
  n("saved", saved, {"saved"})
      .at_least("saved size", saved.size(0), saved_size(input, weight_hh, workers));
  if (const char* reason = why_not_fused({&input})) n.unsupported(reason);
  const Layer layer(input, weight_ih, weight_hh, o, workers);
  const auto& options = input.options();
  const auto empty_if = [&](bool want, at::IntArrayRef size) {
    return want ? pooled_empty(size, options) : at::empty({0}, options);
  };
  at::Tensor d_input = empty_if(wanted & kInput, input.sizes());
  at::Tensor d_weight_ih = empty_if(wanted & kWeightIh, weight_ih.sizes());
  at::Tensor d_weight_hh = empty_if(wanted & kWeightHh, weight_hh.sizes());
  at::Tensor d_bias = at::empty({weight_hh.size(0)}, options);
  at::Tensor d_h0 = at::empty({input.size(0), weight_hh.size(1)}, options),
             d_c0 = at::empty_like(d_h0);
  const at::Tensor d_output = grad_output ? with_unit_last_stride(*grad_output) : at::Tensor();
  const at::Tensor d_h_n = contiguous_or_undefined(or_undefined(grad_h_n));
  const at::Tensor d_c_n = contiguous_or_undefined(or_undefined(grad_c_n));
  at::Tensor workspace = pooled_empty(layer.plan.backward_workspace_size(), options);
  with_scalar_type(input, [&](auto zero) {
    using T = decltype(zero);
    kernels::LstmBackward<T> run;
    run.weights = layer.weights<T>();
    run.grad_output = sequence<T>(d_output);
    run.grad_h_n = pointer<T>(d_h_n), run.grad_c_n = pointer<T>(d_c_n);
    run.saved = saved.const_data_ptr<T>();
    if (wanted & kInput) run.grad_input = mutable_sequence<T>(d_input);
    if (wanted & kWeightIh) run.grad_weight_ih = d_weight_ih.mutable_data_ptr<T>();
    if (wanted & kWeightHh) run.grad_weight_hh = d_weight_hh.mutable_data_ptr<T>();
    run.grad_bias = d_bias.mutable_data_ptr<T>();
    run.grad_h0 = d_h0.mutable_data_ptr<T>(), run.grad_c0 = d_c0.mutable_data_ptr<T>();
    run.workspace = workspace.mutable_data_ptr<T>();
    kernels::lstm_backward(layer.plan, run);
  });
  note_fused("attend::lstm_backward");
  return {d_input, d_weight_ih, d_weight_hh, d_bias, d_h0, d_c0};
}

LstmResult lstm_autograd(ATTEND_LSTM_ARGUMENTS) {
  if (why_not_fused({&input}))  // differentiates itself
    return lstm_composed(input, weight_ih, weight_hh, bias, h0, c0, lengths, input_mask,
                         recurrent_mask, reverse);
  refuse_gradient("input_mask", or_undefined(input_mask));
  refuse_gradient("recurrent_mask", or_undefined(recurrent_mask));
  if (must_differentiate({input, weight_ih, weight_hh, bias, or_undefined(h0), or_undefined(c0)})) {
    auto out = LstmFunction::apply(input, weight_ih, weight_hh, bias, h0, c0, lengths, input_mask,
                                   recurrent_mask, reverse, static_cast<std::int64_t>(threads()));
    return {out[0], out[1], out[2]};
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  static const auto op = dispatched<decltype(lstm_cpu)>("attend::lstm");
  return op.call(input, weight_ih, weight_hh, bias, h0, c0, lengths, input_mask, recurrent_mask,
                 reverse);
}

LstmResult lstm_meta(ATTEND_LSTM_ARGUMENTS) {
  TORCH_CHECK(
      input.dim() == 3 && weight_ih.dim() == 2 && weight_hh.dim() == 2 && bias.dim() == 1,
      "attend::lstm: input must be [B, T, I], weight_ih [4H, I], weight_hh [4H, H], bias [4H]");
  const auto size = input.sym_sizes();
  const auto hidden = weight_hh.sym_size(1);
  const auto state = [&] { return at::empty_symint({size[0], hidden}, input.options()); };
  return {at::empty_symint({size[0], size[1], hidden}, input.options()), state(), state()};
}

LstmTrained lstm_training_meta(ATTEND_LSTM_ARGUMENTS, std::int64_t workers) {
  const auto [output, h_n, c_n] = lstm_meta(input, weight_ih, weight_hh, bias, h0, c0, lengths,
                                            input_mask, recurrent_mask, reverse);
  return {output, h_n, c_n, at::empty({saved_size(input, weight_hh, workers)}, input.options())};
}

LstmGradients lstm_backward_meta(ATTEND_LSTM_BACKWARD_ARGUMENTS) {
  const auto empty_if = [&](bool want, const at::Tensor& like) {
    return want ? at::empty_symint(like.sym_sizes(), input.options())
                : at::empty({0}, input.options());
  };
  const auto state = [&] {
    return at::empty_symint({input.sym_size(0), weight_hh.sym_size(1)}, input.options());
  };
  return {empty_if(wanted & kInput, input),
          empty_if(wanted & kWeightIh, weight_ih),
          empty_if(wanted & kWeightHh, weight_hh),
          at::empty_symint({weight_hh.sym_size(0)}, input.options()),
          state(),
          state()};
}

LstmResult lstm(const at::Tensor& input, const at::Tensor& weight_ih, const at::Tensor& weight_hh,
                const at::Tensor& bias, const LstmOptions& o) {
  if (!input.defined() || !weight_ih.defined() || !weight_hh.defined() || !bias.defined())
    check_lstm(input, weight_ih, weight_hh, bias, o);
  static const auto op = dispatched<decltype(lstm_cpu)>("attend::lstm");
  return op.call(input, weight_ih, weight_hh, bias, or_none(o.h0), or_none(o.c0),
                 or_none(o.lengths), or_none(o.input_mask), or_none(o.recurrent_mask), o.reverse);
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def(
      "lstm(Tensor input, Tensor weight_ih, Tensor weight_hh, Tensor bias, *, Tensor? h0=None,"
      " Tensor? c0=None, Tensor? lengths=None, Tensor? input_mask=None, Tensor? "
      "recurrent_mask=None,"
      " bool reverse=False) -> (Tensor output, Tensor h_n, Tensor c_n)");
  m.def(
      "lstm_training(Tensor input, Tensor weight_ih, Tensor weight_hh, Tensor bias, Tensor? h0,"
      " Tensor? c0, Tensor? lengths, Tensor? input_mask, Tensor? recurrent_mask, bool reverse,"
      " int workers) -> (Tensor output, Tensor h_n, Tensor c_n, Tensor saved)");
  m.def(
      "lstm_backward(Tensor? grad_output, Tensor? grad_h_n, Tensor? grad_c_n, Tensor saved,"
      " Tensor input, Tensor weight_ih, Tensor weight_hh, Tensor? lengths, Tensor? input_mask,"
      " Tensor? recurrent_mask, bool reverse, int workers, int wanted) -> (Tensor grad_input,"
      " Tensor grad_weight_ih, Tensor grad_weight_hh, Tensor grad_bias, Tensor grad_h0,"
      " Tensor grad_c0)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("lstm", &lstm_cpu);
  m.impl("lstm_training", &lstm_training_cpu);
  m.impl("lstm_backward", &lstm_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) { m.impl("lstm", &lstm_composed); }

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("lstm", &lstm_meta);
  m.impl("lstm_training", &lstm_training_meta);
  m.impl("lstm_backward", &lstm_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("lstm", &lstm_autograd); }

}  // namespace attend
