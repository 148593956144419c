// The decoder step on the kernels: products, additive attention and the cell, one after the other.
#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>

#include <string>

#include "attend/base/error.h"
#include "attend/kernels/decoder_step.h"
#include "ops/additive.h"
#include "ops/arena.h"
#include "ops/decoder_step.h"
#include "ops/product.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

/// The products of a step, c = a wᵀ and backward c = a w. Packed one after the other in this order.
struct StepProducts {
  /// query, context, hidden (of [r z], or all), hidden of n where the reset comes before
  at::Tensor weights[4];
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

  /// f(i, back, the second factor, where it lies in packed), for all in order; returns packed's size.
  template <class F>
  std::int64_t each(const F& f) const {
    std::int64_t at = 0;
    for (const bool back : {false, true})
      for (int i = 0; i < 4; ++i) {
        if (!weights[i].defined()) continue;
        const at::Tensor b = factor(i, back);
        f(i, back, b, at);
        at += packed_factor_size(b);
      }
    return at;
  }
  std::int64_t packed_size() const {
    return each([](int, bool, const at::Tensor&, std::int64_t) {});
  }

  /// c = a wᵀ + bias or a w.
  void run(int i, bool back, const at::Tensor& a, const at::Tensor& c,
           const at::Tensor& bias = {}) const {
    ProductOptions options{.bias = bias};
    if (packed.defined())
      each([&](int j, bool b, const at::Tensor&, std::int64_t at) {
        if (j == i && b == back) options.packed = packed.slice(0, at);
      });
    product_into(c, a, factor(i, back), options);
  }

 private:
  at::Tensor factor(int i, bool back) const { return back ? weights[i] : weights[i].t(); }
};

template <class T>
const T* step_pointer(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<T>() : nullptr;
}

kernels::StepCell step_kernel_cell(DecoderCell c) { return static_cast<kernels::StepCell>(c); }

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
  const at::Tensor packed = pooled_empty({products.packed_size()}, weight_query.options());
  products.each([&](int, bool, const at::Tensor& b, std::int64_t at) {
    pack_factor(b, packed.slice(0, at));
  });
  return packed;
}

StepTrained decoder_step_fused(ATTEND_STEP_TENSORS) {
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
    if (products.packed.defined() && products.packed.numel() != products.packed_size())
      fail_usage(std::string(kStepOp) +
                 ": packed must be what decoder_step_pack makes of these weights");
    products.run(0, false, s, query);
    std::tie(context, weights) =
        additive_cpu(query.unsqueeze(1), key, value, score_weight, prepared, mask, {}, {},
                     key_lengths, false, "last", -1, -1, {}, 0., 0, true);
    context = context.view({batch, value.size(2)}), weights = weights.view({batch, key.size(1)});
    products.run(1, false, context, from_context);
    products.run(2, false, s, from_state, b);
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
      products.run(3, false, kept.slice(1, 0, h), from_state.slice(1, 2 * h),
                   b.defined() ? b.slice(0, 2 * h) : b);
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
      products.run(3, true, d_gates.slice(1, 2 * h), part);
      p.grad_reset = part.const_data_ptr<T>();
      kernels::step_reset_backward(p);
    }
    products.run(1, true, d_gates, d_context);
    if (grad_context) d_context.add_(*grad_context);
    at::Tensor g_weights = or_undefined(grad_weights);
    if (g_weights.defined()) g_weights = g_weights.unsqueeze(1);
    std::tie(d_query, d_key, d_value, d_score, unused) =
        additive_backward_cpu(d_context.unsqueeze(1), or_none(g_weights), query.unsqueeze(1), key,
                              value, score_weight, prepared, weights.unsqueeze(1), false, true,
                              mask, {}, {}, key_lengths, false, "last", -1, -1, {}, 0., 0, true);
    d_query = d_query.squeeze(1);
    products.run(0, true, d_query, part);
    d_state.add_(part);
    const std::int64_t direct =
        products.weights[2].size(0);  // rows of U whose product is with the state
    products.run(2, true, d_product.slice(1, 0, direct), part);
    d_state.add_(part);
    if (!grad_parameters) return;
    product_into(d_wq, d_query.t(), s);
    product_into(d_wc, d_gates.t(), context);
    product_into(d_wh.slice(0, 0, direct), d_product.slice(1, 0, direct).t(), s);
    if (direct < gh)
      product_into(d_wh.slice(0, direct), d_product.slice(1, direct).t(), kept.slice(1, 0, h));
  });
  const at::Tensor d_bias = bias ? d_product.sum(0) : at::empty({0}, state.options());
  note_fused("attend::decoder_step_backward");
  return {d_gates, d_state, d_memory, d_key, d_value, d_wq, d_score, d_wc, d_wh, d_bias};
}

}  // namespace attend
