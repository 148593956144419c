#include "ops/decoder_step.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>

#include "attend/base/error.h"
#include "attend/kernels/additive.h"
#include "attend/kernels/decoder_step.h"
#include "attend/kernels/gemm.h"
#include "ops/additive.h"
#include "ops/arena.h"
#include "ops/attention_check.h"
#include "ops/recompose.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kStepOp = "attend::decoder_step";
constexpr const char* kStepCells[] = {"gru", "gru_reset_before", "lstm"};

DecoderCell step_cell(std::string_view name) {
  for (int i = 0; i < 3; ++i)
    if (name == kStepCells[i]) return static_cast<DecoderCell>(i);
  fail_usage(std::string(kStepOp) + ": cell is \"" + std::string(name) +
             "\": it must be gru, gru_reset_before or lstm");
}
const char* step_cell_name(DecoderCell c) { return kStepCells[static_cast<int>(c)]; }
kernels::StepCell step_kernel_cell(DecoderCell c) { return static_cast<kernels::StepCell>(c); }

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

/// The products of a step: c = a wᵀ, or backward c = a w. Packed one after the other in this order.
struct StepProducts {
  at::Tensor weights
      [4];  // query, context, hidden (of [r z], or all), hidden of n where the reset comes before
  at::Tensor packed;

  StepProducts(const at::Tensor& query, const at::Tensor& context, const at::Tensor& hidden,
               DecoderCell cell, const OptionalTensor& panels)
      : weights{query.contiguous(), context.contiguous(), hidden.contiguous(), at::Tensor()},
        packed(or_undefined(panels)) {
    if (cell != DecoderCell::kGruResetBefore) return;
    const std::int64_t h = hidden.size(1);
    const at::Tensor all = weights[2];
    weights[2] = all.slice(0, 0, 2 * h), weights[3] = all.slice(0, 2 * h);
  }

  template <class T>
  kernels::Gemm<T> describe(int i, bool back) const {
    const at::Tensor& w = weights[i];
    kernels::Gemm<T> p;
    p.b = w.const_data_ptr<T>();
    p.columns = w.size(back ? 1 : 0), p.depth = w.size(back ? 0 : 1);
    (back ? p.b_depth : p.b_column) = w.size(1), (back ? p.b_column : p.b_depth) = 1;
    return p;
  }
  /// f(product, where it lies in packed), for all in order.
  template <class T, class F>
  std::int64_t each(const F& f) const {
    std::int64_t at = 0;
    for (const bool back : {false, true})
      for (int i = 0; i < 4; ++i) {
        if (!weights[i].defined()) continue;
        const auto p = describe<T>(i, back);
        f(i, back, p, at);
        at += kernels::gemm_packed_size(p);
      }
    return at;
  }
  template <class T>
  std::int64_t packed_size() const {
    return each<T>([](int, bool, const kernels::Gemm<T>&, std::int64_t) {});
  }

  /// c[:, column …] = a wᵀ + bias or a w; c's and a's rows are contiguous and given with their strides.
  template <class T>
  void run(int i, bool back, const at::Tensor& a, const at::Tensor& c,
           const T* bias = nullptr) const {
    kernels::Gemm<T> p = describe<T>(i, back);
    p.rows = a.size(0), p.a = a.const_data_ptr<T>(), p.a_row = a.stride(0), p.a_depth = 1;
    p.c = c.mutable_data_ptr<T>(), p.c_row = c.stride(0), p.bias = bias;
    if (packed.defined())
      each<T>([&](int j, bool b, const kernels::Gemm<T>&, std::int64_t at) {
        if (j == i && b == back) p.packed = packed.const_data_ptr<T>() + at;
      });
    const at::Tensor scratch = pooled_empty({kernels::gemm_workspace(p)}, a.options());
    p.workspace = scratch.mutable_data_ptr<T>();
    kernels::gemm(p);
  }
};

/// gradᵀ in: the gradient of a weight, into `to`, rows of it.
template <class T>
void step_weight_gradient(const at::Tensor& grad, const at::Tensor& in, const at::Tensor& to) {
  kernels::Gemm<T> p;
  p.rows = grad.size(1), p.columns = in.size(1), p.depth = grad.size(0);
  p.a = grad.const_data_ptr<T>(), p.a_row = 1, p.a_depth = grad.stride(0);
  p.b = in.const_data_ptr<T>(), p.b_depth = in.stride(0), p.b_column = 1;
  p.c = to.mutable_data_ptr<T>(), p.c_row = to.stride(0);
  const at::Tensor scratch = pooled_empty({kernels::gemm_workspace(p)}, grad.options());
  p.workspace = scratch.mutable_data_ptr<T>();
  kernels::gemm(p);
}

template <class T>
const T* step_pointer(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<T>() : nullptr;
}

}  // namespace

at::Tensor decoder_step_pack_cpu(const at::Tensor& weight_query, const at::Tensor& weight_context,
                                 const at::Tensor& weight_hidden, std::string_view cell) {
  const DecoderCell c = step_cell(cell);
  ShapeCheck n("attend::decoder_step_pack");
  const char* const rows = c == DecoderCell::kLstm ? "4H" : "3H";
  n("weight_query", weight_query, {"A", "H"})("weight_context", weight_context, {rows, "Dv"});
  n("weight_hidden", weight_hidden, {rows, "H"});
  if (const char* reason = why_not_fused({&weight_query})) n.unsupported(reason);
  const StepProducts products(weight_query, weight_context, weight_hidden, c, {});
  at::Tensor packed;
  with_scalar_type(weight_query, [&](auto zero) {
    using T = decltype(zero);
    packed = pooled_empty({products.packed_size<T>()}, weight_query.options());
    products.each<T>([&](int, bool, const kernels::Gemm<T>& p, std::int64_t at) {
      kernels::gemm_pack(p, packed.mutable_data_ptr<T>() + at);
    });
  });
  return packed;
}

StepTrained decoder_step_training_cpu(ATTEND_STEP_TENSORS) {
  check_step(ATTEND_STEP_NAMES);
  if (const char* reason = why_step_composed(ATTEND_STEP_NAMES))
    ShapeCheck(kStepOp).unsupported(reason);
  const DecoderCell c = step_cell(cell);
  const StepProducts products(weight_query, weight_context, weight_hidden, c, packed);
  const std::int64_t batch = state.size(0), h = state.size(1), gh = weight_hidden.size(0);
  const auto empty = [&](std::int64_t n) { return pooled_empty({batch, n}, state.options()); };
  const at::Tensor s = state.contiguous(), x = with_unit_last_stride(gates);
  const at::Tensor before = contiguous_or_undefined(or_undefined(memory));
  const at::Tensor b = contiguous_or_undefined(or_undefined(bias));
  const at::Tensor query = empty(weight_query.size(0)), from_state = empty(gh),
                   from_context = empty(gh);
  const at::Tensor kept = empty(4 * h), after = empty(h);
  const at::Tensor memory_after = before.defined() ? empty(h) : at::empty({0}, state.options());
  at::Tensor context, weights;
  with_scalar_type(state, [&](auto zero) {
    using T = decltype(zero);
    if (products.packed.defined() && products.packed.numel() != products.packed_size<T>())
      fail_usage(std::string(kStepOp) +
                 ": packed must be what decoder_step_pack makes of these weights");
    products.run<T>(0, false, s, query);
    std::tie(context, weights) =
        additive_cpu(query.unsqueeze(1), key, value, score_weight, prepared, mask, {}, {},
                     key_lengths, false, "last", -1, -1, {}, 0., 0, true);
    context = context.view({batch, value.size(2)}), weights = weights.view({batch, key.size(1)});
    products.run<T>(1, false, context, from_context);
    products.run<T>(2, false, s, from_state, step_pointer<T>(b));
    kernels::StepForward<T> p;
    p.cell = step_kernel_cell(c), p.batch = batch, p.hidden = h;
    p.token = x.const_data_ptr<T>(), p.token_row = x.stride(0);
    p.from_context = from_context.const_data_ptr<T>(),
    p.from_state = from_state.const_data_ptr<T>();
    p.state = s.const_data_ptr<T>(), p.memory = step_pointer<T>(before);
    p.kept = kept.mutable_data_ptr<T>(), p.after = after.mutable_data_ptr<T>();
    p.memory_after = before.defined() ? memory_after.mutable_data_ptr<T>() : nullptr;
    if (c == DecoderCell::kGruResetBefore) {
      kernels::step_reset(p);
      products.run<T>(3, false, kept.slice(1, 0, h), from_state.slice(1, 2 * h),
                      b.defined() ? b.const_data_ptr<T>() + 2 * h : nullptr);
    }
    kernels::step_forward(p);
  });
  note_fused(kStepOp);
  return {after, memory_after, context, weights, query, kept};
}

StepGradients decoder_step_backward_cpu(const OptionalTensor& grad_state,
                                        const OptionalTensor& grad_memory,
                                        const OptionalTensor& grad_context,
                                        const OptionalTensor& grad_weights, ATTEND_STEP_TENSORS,
                                        const at::Tensor& memory_after, const at::Tensor& context,
                                        const at::Tensor& weights, const at::Tensor& query,
                                        const at::Tensor& kept, bool grad_parameters) {
  check_step(ATTEND_STEP_NAMES);
  ShapeCheck n("attend::decoder_step_backward");
  if (const char* reason = why_step_composed(ATTEND_STEP_NAMES)) n.unsupported(reason);
  n("state", state, {"B", "H"})("key", key, {"B", "Lk", "A"})("context", context, {"B", "Dv"});
  n("weights", weights, {"B", "Lk"})("query", query, {"B", "A"})("kept", kept, {"B", "4H"});
  n.optional("grad_state", or_undefined(grad_state), {"B", "H"});
  n.optional("grad_memory", or_undefined(grad_memory), {"B", "H"});
  n.optional("grad_context", or_undefined(grad_context), {"B", "Dv"});
  n.optional("grad_weights", or_undefined(grad_weights), {"B", "Lk"});
  const DecoderCell c = step_cell(cell);
  const StepProducts products(weight_query, weight_context, weight_hidden, c, packed);
  const std::int64_t batch = state.size(0), h = state.size(1), gh = weight_hidden.size(0);
  const auto empty = [&](std::int64_t columns) {
    return pooled_empty({batch, columns}, state.options());
  };
  const auto like = [&](const at::Tensor& t) {
    return grad_parameters ? pooled_empty(t.sizes(), t.options()) : at::empty({0}, t.options());
  };
  const at::Tensor s = state.contiguous(), before = contiguous_or_undefined(or_undefined(memory));
  const at::Tensor g_after = contiguous_or_undefined(or_undefined(grad_state));
  const at::Tensor g_memory = contiguous_or_undefined(or_undefined(grad_memory));
  const at::Tensor d_gates = empty(gh), d_state = empty(h), d_context = empty(context.size(1));
  const at::Tensor d_product = c == DecoderCell::kGru ? empty(gh) : d_gates;
  const at::Tensor d_memory = before.defined() ? empty(h) : at::empty({0}, state.options());
  const at::Tensor d_wq = like(weight_query), d_wc = like(weight_context),
                   d_wh = like(weight_hidden);
  at::Tensor d_query, d_key, d_value, d_score, unused;
  with_scalar_type(state, [&](auto zero) {
    using T = decltype(zero);
    kernels::StepBackward<T> p;
    p.cell = step_kernel_cell(c), p.batch = batch, p.hidden = h;
    p.state = s.const_data_ptr<T>(), p.kept = kept.const_data_ptr<T>();
    p.grad_after = step_pointer<T>(g_after), p.grad_memory_after = step_pointer<T>(g_memory);
    p.grad_input = d_gates.mutable_data_ptr<T>(), p.grad_product = d_product.mutable_data_ptr<T>();
    p.grad_state = d_state.mutable_data_ptr<T>();
    if (before.defined())
      p.memory = before.const_data_ptr<T>(), p.memory_after = memory_after.const_data_ptr<T>(),
      p.grad_memory = d_memory.mutable_data_ptr<T>();
    kernels::step_backward(p);
    const at::Tensor part = empty(h);
    if (c == DecoderCell::kGruResetBefore) {
      products.run<T>(3, true, d_gates.slice(1, 2 * h), part);
      p.grad_reset = part.const_data_ptr<T>();
      kernels::step_reset_backward(p);
    }
    products.run<T>(1, true, d_gates, d_context);
    if (grad_context) d_context.add_(*grad_context);
    at::Tensor g_weights = or_undefined(grad_weights);
    if (g_weights.defined()) g_weights = g_weights.unsqueeze(1);
    std::tie(d_query, d_key, d_value, d_score, unused) =
        additive_backward_cpu(d_context.unsqueeze(1), or_none(g_weights), query.unsqueeze(1), key,
                              value, score_weight, prepared, weights.unsqueeze(1), false, mask, {},
                              {}, key_lengths, false, "last", -1, -1, {}, 0., 0, true);
    d_query = d_query.squeeze(1);
    products.run<T>(0, true, d_query, part);
    d_state.add_(part);
    const std::int64_t direct =
        products.weights[2].size(0);  // rows of U whose product is with the state
    products.run<T>(2, true, d_product.slice(1, 0, direct), part);
    d_state.add_(part);
    if (!grad_parameters) return;
    step_weight_gradient<T>(d_query, s, d_wq);
    step_weight_gradient<T>(d_gates, context, d_wc);
    step_weight_gradient<T>(d_product.slice(1, 0, direct), s, d_wh.slice(0, 0, direct));
    if (direct < gh)
      step_weight_gradient<T>(d_product.slice(1, direct), kept.slice(1, 0, h),
                              d_wh.slice(0, direct));
  });
  const at::Tensor d_bias = bias ? d_product.sum(0) : at::empty({0}, state.options());
  note_fused("attend::decoder_step_backward");
  return {d_gates, d_state, d_memory, d_key, d_value, d_wq, d_score, d_wc, d_wh, d_bias};
}

namespace {

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

StepResult decoder_step_composed(ATTEND_STEP_TENSORS, bool need_weights) {
  check_step(ATTEND_STEP_NAMES);
  const char* reason = why_step_composed(ATTEND_STEP_NAMES);
  const auto out = compose::decoder_step(
      gates, state, {key, {}}, value,
      {weight_query, score_weight, weight_context, weight_hidden, or_undefined(bias), {}},
      step_options(cell, or_undefined(memory), or_undefined(key_lengths), or_undefined(mask),
                   need_weights));
  note_composed(kStepOp, reason ? reason : "asked for");
  return step_tuple(out);
}

StepResult decoder_step_cpu(ATTEND_STEP_TENSORS, bool need_weights) {
  check_step(ATTEND_STEP_NAMES);
  if (why_step_composed(ATTEND_STEP_NAMES))
    return decoder_step_composed(ATTEND_STEP_NAMES, need_weights);
  const auto r = decoder_step_training_cpu(ATTEND_STEP_NAMES);
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
