#include "ops/gru.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "attend/base/error.h"
#include "attend/base/threads.h"
#include "attend/kernels/gru.h"
#include "ops/arena.h"
#include "ops/recompose.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kGruInput = 1, kGruWeightIh = 2, kGruWeightHh = 4;  // bits of `wanted`

GruOptions gru_options(const OptionalTensor& h0, const OptionalTensor& lengths,
                       const OptionalTensor& input_mask, const OptionalTensor& recurrent_mask,
                       bool reverse, bool reset_before) {
  return {or_undefined(h0),
          or_undefined(lengths),
          or_undefined(input_mask),
          or_undefined(recurrent_mask),
          reverse,
          reset_before ? GruForm::kResetBefore : GruForm::kResetAfter};
}

void refuse_mask_gradient(const char* name, const at::Tensor& mask) {
  if (mask.defined() && mask.requires_grad())
    fail_usage(std::string("attend::gru: ") + name +
               " requires grad, but masks are constants here; detach it");
}

void check_gru(const at::Tensor& input, const at::Tensor& weight_ih, const at::Tensor& weight_hh,
               const at::Tensor& bias_ih, const at::Tensor& bias_hh, const GruOptions& o) {
  ShapeCheck n("attend::gru");
  n("input", input, {"B", "T", "I"})("weight_hh", weight_hh, {"3H", "H"})("weight_ih", weight_ih,
                                                                          {"3H", "I"});
  n.optional("bias_ih", bias_ih, {"3H"}).optional("bias_hh", bias_hh, {"3H"});
  n.optional("h0", o.h0, {"B", "H"}).optional("input_mask", o.input_mask, {"B", "I"});
  n.optional("recurrent_mask", o.recurrent_mask, {"B", "H"}).lengths("lengths", o.lengths, "T");
  n.at_least("I", n.size("I"), 1).at_least("H", n.size("H"), 1);
  if (bias_ih.defined() != bias_hh.defined())
    fail_usage("attend::gru: give both bias_ih and bias_hh, or neither");
  refuse_mask_gradient("input_mask", o.input_mask);
  refuse_mask_gradient("recurrent_mask", o.recurrent_mask);
}

template <class T>
const T* gru_pointer(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<T>() : nullptr;
}

template <class T>
kernels::LstmSequence<const T> gru_sequence(const at::Tensor& t) {
  if (!t.defined()) return {};
  return {t.const_data_ptr<T>(), t.stride(0), t.stride(1)};
}

/// Dense copies of what forward and backward both take, and how the batch is split.
struct GruLayer {
  at::Tensor weight_ih, weight_hh, lengths, input_mask, recurrent_mask;
  kernels::GruForm form;
  kernels::LstmPlan plan;

  GruLayer(const at::Tensor& input, const at::Tensor& w_ih, const at::Tensor& w_hh,
           const GruOptions& o, std::int64_t workers)
      : weight_ih(w_ih.contiguous()),
        weight_hh(w_hh.contiguous()),
        lengths(contiguous_or_undefined(o.lengths)),
        input_mask(contiguous_or_undefined(o.input_mask)),
        recurrent_mask(contiguous_or_undefined(o.recurrent_mask)),
        form(o.form == GruForm::kResetAfter ? kernels::GruForm::kResetAfter
                                            : kernels::GruForm::kResetBefore),
        plan({input.size(0), input.size(1), input.size(2), w_hh.size(1)},
             gru_pointer<std::int64_t>(lengths), o.reverse, static_cast<int>(workers)) {}

  template <class T>
  kernels::GruWeights<T> weights() const {
    return {form, gru_pointer<T>(weight_ih), gru_pointer<T>(weight_hh), gru_pointer<T>(input_mask),
            gru_pointer<T>(recurrent_mask)};
  }
};

/// Of the same layer without lengths: known without reading them, and never less than with them.
std::int64_t gru_saved(const at::Tensor& input, const at::Tensor& weight_hh, std::int64_t workers) {
  return kernels::gru_saved_size(
      kernels::LstmPlan({input.size(0), input.size(1), input.size(2), weight_hh.size(1)}, nullptr,
                        false, static_cast<int>(workers)));
}

GruResult run_gru(const at::Tensor& input, const TensorList& parameters, const GruOptions& o,
                  std::int64_t workers, const at::Tensor& saved) {
  const std::int64_t batch = input.size(0), hidden = parameters[1].size(1);
  const at::Tensor x = with_unit_last_stride(input), h0 = contiguous_or_undefined(o.h0);
  const at::Tensor b_ih = contiguous_or_undefined(parameters[2]),
                   b_hh = contiguous_or_undefined(parameters[3]);
  const GruLayer layer(x, parameters[0], parameters[1], o, workers);
  at::Tensor output = pooled_empty({batch, input.size(1), hidden}, input.options());  // [B,T,H]
  at::Tensor h_n = at::empty({batch, hidden}, input.options());
  at::Tensor workspace =
      pooled_empty(kernels::gru_forward_workspace(layer.plan, saved.defined()), input.options());
  with_scalar_type(input, [&](auto zero) {
    using T = decltype(zero);
    kernels::GruForward<T> run;
    run.weights = layer.weights<T>();
    run.bias_ih = gru_pointer<T>(b_ih), run.bias_hh = gru_pointer<T>(b_hh);
    run.input = gru_sequence<T>(x);
    run.h0 = gru_pointer<T>(h0);
    run.output = {output.mutable_data_ptr<T>(), output.stride(0), output.stride(1)};
    run.h_n = h_n.mutable_data_ptr<T>();
    run.saved = saved.defined() ? saved.mutable_data_ptr<T>() : nullptr;
    run.workspace = workspace.mutable_data_ptr<T>();
    kernels::gru_forward(layer.plan, run);
  });
  note_fused("attend::gru");
  return {output, h_n};
}

struct GruFunction : torch::autograd::Function<GruFunction> {
  static variable_list forward(AutogradContext* ctx, ATTEND_GRU_ARGUMENTS, std::int64_t workers) {
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = dispatched<decltype(gru_training_cpu)>("attend::gru_training");
    const auto [output, h_n, saved] =
        op.call(input, weight_ih, weight_hh, bias_ih, bias_hh, h0, lengths, input_mask,
                recurrent_mask, reverse, reset_before, workers);
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({input, weight_ih, weight_hh, or_undefined(bias_ih),
                            or_undefined(bias_hh), or_undefined(h0), or_undefined(lengths),
                            or_undefined(input_mask), or_undefined(recurrent_mask), saved});
    ctx->saved_data["reverse"] = reverse;
    ctx->saved_data["reset_before"] = reset_before;
    ctx->saved_data["workers"] = workers;
    return {output, h_n};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    variable_list all(12);
    if (!grads[0].defined() && !grads[1].defined()) return all;
    const auto saved = ctx->get_saved_variables();
    const bool reverse = ctx->saved_data["reverse"].toBool();
    const bool reset_before = ctx->saved_data["reset_before"].toBool();
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      note_composed("attend::gru_backward", "a second derivative was asked for");
      const auto found = gradients_by_recomposing(
          {saved.begin(), saved.begin() + 6}, grads, [&](const TensorList& t) {
            const auto [output, h_n] =
                compose::gru(t[0], t[1], t[2], t[3], t[4],
                             gru_options(or_none(t[5]), or_none(saved[6]), or_none(saved[7]),
                                         or_none(saved[8]), reverse, reset_before));
            return TensorList{output, h_n};
          });
      std::copy(found.begin(), found.end(), all.begin());
      return all;
    }
    const std::int64_t wanted = (ctx->needs_input_grad(0) ? kGruInput : 0) |
                                (ctx->needs_input_grad(1) ? kGruWeightIh : 0) |
                                (ctx->needs_input_grad(2) ? kGruWeightHh : 0);
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = dispatched<decltype(gru_backward_cpu)>("attend::gru_backward");
    const auto [input, weight_ih, weight_hh, bias_ih, bias_hh, h0] =
        op.call(or_none(grads[0]), or_none(grads[1]), saved[9], saved[0], saved[1], saved[2],
                or_none(saved[6]), or_none(saved[7]), or_none(saved[8]), reverse, reset_before,
                ctx->saved_data["workers"].toInt(), wanted);
    if (wanted & kGruInput) all[0] = input;
    if (wanted & kGruWeightIh) all[1] = weight_ih;
    if (wanted & kGruWeightHh) all[2] = weight_hh;
    if (saved[3].defined()) all[3] = bias_ih, all[4] = bias_hh;
    if (saved[5].defined()) all[5] = h0;
    return all;
  }
};

}  // namespace

GruResult gru_cpu(ATTEND_GRU_ARGUMENTS) {
  const GruOptions o = gru_options(h0, lengths, input_mask, recurrent_mask, reverse, reset_before);
  const TensorList parameters{weight_ih, weight_hh, or_undefined(bias_ih), or_undefined(bias_hh)};
  check_gru(input, weight_ih, weight_hh, parameters[2], parameters[3], o);
  if (why_not_fused({&input}))
    return gru_composed(input, weight_ih, weight_hh, bias_ih, bias_hh, h0, lengths, input_mask,
                        recurrent_mask, reverse, reset_before);
  return run_gru(input, parameters, o, threads(), at::Tensor());
}

GruTrained gru_training_cpu(ATTEND_GRU_ARGUMENTS, std::int64_t workers) {
  const GruOptions o = gru_options(h0, lengths, input_mask, recurrent_mask, reverse, reset_before);
  const TensorList parameters{weight_ih, weight_hh, or_undefined(bias_ih), or_undefined(bias_hh)};
  check_gru(input, weight_ih, weight_hh, parameters[2], parameters[3], o);
  ShapeCheck n("attend::gru_training");
  n.at_least("workers", workers, 1);
  if (const char* reason = why_not_fused({&input})) n.unsupported(reason);
  at::Tensor saved = pooled_empty(gru_saved(input, weight_hh, workers), input.options());
  const auto [output, h_n] = run_gru(input, parameters, o, workers, saved);
  return {output, h_n, saved};
}

GruResult gru_composed(ATTEND_GRU_ARGUMENTS) {
  const GruOptions o = gru_options(h0, lengths, input_mask, recurrent_mask, reverse, reset_before);
  check_gru(input, weight_ih, weight_hh, or_undefined(bias_ih), or_undefined(bias_hh), o);
  const char* reason = why_not_fused({&input});
  auto out =
      compose::gru(input, weight_ih, weight_hh, or_undefined(bias_ih), or_undefined(bias_hh), o);
  note_composed("attend::gru", reason ? reason : "asked for");
  return out;
}

GruGradients gru_backward_cpu(ATTEND_GRU_BACKWARD_ARGUMENTS) {
  const GruOptions o = gru_options({}, lengths, input_mask, recurrent_mask, reverse, reset_before);
  ShapeCheck n("attend::gru_backward");
  n("input", input, {"B", "T", "I"})("weight_hh", weight_hh, {"3H", "H"})("weight_ih", weight_ih,
                                                                          {"3H", "I"});
  n.optional("grad_output", or_undefined(grad_output), {"B", "T", "H"});
  n.optional("grad_h_n", or_undefined(grad_h_n), {"B", "H"}).lengths("lengths", o.lengths, "T");
  n.optional("input_mask", o.input_mask, {"B", "I"})
      .optional("recurrent_mask", o.recurrent_mask, {"B", "H"});
  n.at_least("workers", workers, 1);
  n("saved", saved, {"saved"})
      .at_least("saved size", saved.size(0), gru_saved(input, weight_hh, workers));
  if (const char* reason = why_not_fused({&input})) n.unsupported(reason);
  const GruLayer layer(input, weight_ih, weight_hh, o, workers);
  const auto& options = input.options();
  const auto empty_if = [&](bool want, at::IntArrayRef size) {
    return want ? pooled_empty(size, options) : at::empty({0}, options);
  };
  at::Tensor d_input = empty_if(wanted & kGruInput, input.sizes());
  at::Tensor d_weight_ih = empty_if(wanted & kGruWeightIh, weight_ih.sizes());
  at::Tensor d_weight_hh = empty_if(wanted & kGruWeightHh, weight_hh.sizes());
  at::Tensor d_bias_ih = at::empty({weight_hh.size(0)}, options),
             d_bias_hh = at::empty_like(d_bias_ih);
  at::Tensor d_h0 = at::empty({input.size(0), weight_hh.size(1)}, options);
  const at::Tensor d_output = grad_output ? with_unit_last_stride(*grad_output) : at::Tensor();
  const at::Tensor d_h_n = contiguous_or_undefined(or_undefined(grad_h_n));
  at::Tensor workspace = pooled_empty(kernels::gru_backward_workspace(layer.plan), options);
  with_scalar_type(input, [&](auto zero) {
    using T = decltype(zero);
    kernels::GruBackward<T> run;
    run.weights = layer.weights<T>();
    run.grad_output = gru_sequence<T>(d_output);
    run.grad_h_n = gru_pointer<T>(d_h_n);
    run.saved = saved.const_data_ptr<T>();
    if (wanted & kGruInput)
      run.grad_input = {d_input.mutable_data_ptr<T>(), d_input.stride(0), d_input.stride(1)};
    if (wanted & kGruWeightIh) run.grad_weight_ih = d_weight_ih.mutable_data_ptr<T>();
    if (wanted & kGruWeightHh) run.grad_weight_hh = d_weight_hh.mutable_data_ptr<T>();
    run.grad_bias_ih = d_bias_ih.mutable_data_ptr<T>(),
    run.grad_bias_hh = d_bias_hh.mutable_data_ptr<T>();
    run.grad_h0 = d_h0.mutable_data_ptr<T>();
    run.workspace = workspace.mutable_data_ptr<T>();
    kernels::gru_backward(layer.plan, run);
  });
  note_fused("attend::gru_backward");
  return {d_input, d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh, d_h0};
}

GruResult gru_autograd(ATTEND_GRU_ARGUMENTS) {
  if (why_not_fused({&input}))  // differentiates itself
    return gru_composed(input, weight_ih, weight_hh, bias_ih, bias_hh, h0, lengths, input_mask,
                        recurrent_mask, reverse, reset_before);
  refuse_mask_gradient("input_mask", or_undefined(input_mask));
  refuse_mask_gradient("recurrent_mask", or_undefined(recurrent_mask));
  if (must_differentiate({input, weight_ih, weight_hh, or_undefined(bias_ih), or_undefined(bias_hh),
                          or_undefined(h0)})) {
    auto out = GruFunction::apply(input, weight_ih, weight_hh, bias_ih, bias_hh, h0, lengths,
                                  input_mask, recurrent_mask, reverse, reset_before,
                                  static_cast<std::int64_t>(threads()));
    return {out[0], out[1]};
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  static const auto op = dispatched<decltype(gru_cpu)>("attend::gru");
  return op.call(input, weight_ih, weight_hh, bias_ih, bias_hh, h0, lengths, input_mask,
                 recurrent_mask, reverse, reset_before);
}

GruResult gru_meta(ATTEND_GRU_ARGUMENTS) {
  TORCH_CHECK(input.dim() == 3 && weight_ih.dim() == 2 && weight_hh.dim() == 2,
              "attend::gru: input must be [B, T, I], weight_ih [3H, I], weight_hh [3H, H]");
  const auto size = input.sym_sizes();
  const auto hidden = weight_hh.sym_size(1);
  return {at::empty_symint({size[0], size[1], hidden}, input.options()),
          at::empty_symint({size[0], hidden}, input.options())};
}

GruTrained gru_training_meta(ATTEND_GRU_ARGUMENTS, std::int64_t workers) {
  const auto [output, h_n] = gru_meta(input, weight_ih, weight_hh, bias_ih, bias_hh, h0, lengths,
                                      input_mask, recurrent_mask, reverse, reset_before);
  return {output, h_n, at::empty({gru_saved(input, weight_hh, workers)}, input.options())};
}

GruGradients gru_backward_meta(ATTEND_GRU_BACKWARD_ARGUMENTS) {
  const auto empty_if = [&](bool want, const at::Tensor& like) {
    return want ? at::empty_symint(like.sym_sizes(), input.options())
                : at::empty({0}, input.options());
  };
  const auto bias = [&] { return at::empty_symint({weight_hh.sym_size(0)}, input.options()); };
  return {empty_if(wanted & kGruInput, input),
          empty_if(wanted & kGruWeightIh, weight_ih),
          empty_if(wanted & kGruWeightHh, weight_hh),
          bias(),
          bias(),
          at::empty_symint({input.sym_size(0), weight_hh.sym_size(1)}, input.options())};
}

GruResult gru(const at::Tensor& input, const at::Tensor& weight_ih, const at::Tensor& weight_hh,
              const at::Tensor& bias_ih, const at::Tensor& bias_hh, const GruOptions& o) {
  if (!input.defined() || !weight_ih.defined() || !weight_hh.defined())
    check_gru(input, weight_ih, weight_hh, bias_ih, bias_hh, o);
  static const auto op = dispatched<decltype(gru_cpu)>("attend::gru");
  return op.call(input, weight_ih, weight_hh, or_none(bias_ih), or_none(bias_hh), or_none(o.h0),
                 or_none(o.lengths), or_none(o.input_mask), or_none(o.recurrent_mask), o.reverse,
                 o.form == GruForm::kResetBefore);
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def(
      "gru(Tensor input, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih=None, Tensor? "
      "bias_hh=None, *,"
      " Tensor? h0=None, Tensor? lengths=None, Tensor? input_mask=None, Tensor? "
      "recurrent_mask=None,"
      " bool reverse=False, bool reset_before=False) -> (Tensor output, Tensor h_n)");
  m.def(
      "gru_training(Tensor input, Tensor weight_ih, Tensor weight_hh, Tensor? bias_ih, Tensor? "
      "bias_hh, Tensor? h0,"
      " Tensor? lengths, Tensor? input_mask, Tensor? recurrent_mask, bool reverse, bool "
      "reset_before, int workers)"
      " -> (Tensor output, Tensor h_n, Tensor saved)");
  m.def(
      "gru_backward(Tensor? grad_output, Tensor? grad_h_n, Tensor saved, Tensor input, Tensor "
      "weight_ih,"
      " Tensor weight_hh, Tensor? lengths, Tensor? input_mask, Tensor? recurrent_mask, bool "
      "reverse,"
      " bool reset_before, int workers, int wanted) -> (Tensor grad_input, Tensor grad_weight_ih,"
      " Tensor grad_weight_hh, Tensor grad_bias_ih, Tensor grad_bias_hh, Tensor grad_h0)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("gru", &gru_cpu);
  m.impl("gru_training", &gru_training_cpu);
  m.impl("gru_backward", &gru_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) { m.impl("gru", &gru_composed); }

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("gru", &gru_meta);
  m.impl("gru_training", &gru_training_meta);
  m.impl("gru_backward", &gru_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("gru", &gru_autograd); }

}  // namespace attend
