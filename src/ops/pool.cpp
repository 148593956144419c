#include "attend/ops/pool.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "attend/kernels/pool.h"
#include "ops/arena.h"
#include "ops/dispatch.h"
#include "ops/pool.h"
#include "ops/recompose.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

using Pair = std::tuple<at::Tensor, at::Tensor>;
using Triple = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Pair call_pool(const at::Tensor& value, const at::Tensor& score_weight, const OptionalTensor& bias,
               const OptionalTensor& lengths) {
  static const auto op = dispatched<decltype(pool_cpu)>("attend::pool");
  return op.call(value, score_weight, bias, lengths);
}

Triple call_pool_backward(const OptionalTensor& grad_output, const OptionalTensor& grad_weights,
                          const at::Tensor& value, const at::Tensor& score_weight,
                          const OptionalTensor& bias, const OptionalTensor& lengths) {
  const at::AutoDispatchBelowADInplaceOrView below;
  static const auto op = dispatched<decltype(pool_backward_cpu)>("attend::pool_backward");
  return op.call(grad_output, grad_weights, value, score_weight, bias, lengths);
}

struct PoolFunction : torch::autograd::Function<PoolFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& value,
                               const at::Tensor& score_weight, const OptionalTensor& bias,
                               const OptionalTensor& lengths) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({value, score_weight, or_undefined(bias), or_undefined(lengths)});
    const auto [output, weights] = call_pool(value, score_weight, bias, lengths);
    return {output, weights};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    if (!grads[0].defined() && !grads[1].defined()) return variable_list(4);
    if (at::GradMode::is_enabled())  // a second derivative: through the definition
      return gradients_by_recomposing(saved, grads, [](const TensorList& in) {
        const auto [output, weights] = compose::pool(in[0], in[1], in[2], in[3]);
        return TensorList{output, weights};
      });
    const auto [value, score_weight, bias] =
        call_pool_backward(or_none(grads[0]), or_none(grads[1]), saved[0], saved[1],
                           or_none(saved[2]), or_none(saved[3]));
    return {value, score_weight, saved[2].defined() ? bias : at::Tensor(), at::Tensor()};
  }
};

/// The kernel's arguments from checked tensors. Keeps what had to be copied alive.
template <class T>
struct PoolArguments {
  at::Tensor value, score_weight, bias, lengths;
  kernels::PoolForward<T> p;

  PoolArguments(const at::Tensor& v, const at::Tensor& w, const OptionalTensor& b,
                const OptionalTensor& l)
      : value(with_unit_last_stride(v)),
        score_weight(w.contiguous()),
        bias(contiguous_or_undefined(or_undefined(b))),
        lengths(contiguous_or_undefined(or_undefined(l))) {
    p.batch = value.size(0), p.time = value.size(1), p.channels = value.size(2);
    p.value = value.const_data_ptr<T>();
    p.value_batch_stride = value.stride(0), p.value_time_stride = value.stride(1);
    p.score_weight = score_weight.const_data_ptr<T>();
    p.bias = bias.defined() ? bias.const_data_ptr<T>() : nullptr;
    p.lengths = lengths.defined() ? lengths.const_data_ptr<std::int64_t>() : nullptr;
  }
};

}  // namespace

void check_pool(const at::Tensor& value, const at::Tensor& score_weight, const at::Tensor& bias,
                const at::Tensor& lengths) {
  ShapeCheck n("attend::pool");
  n("value", value, {"B", "T", "C"})("score_weight", score_weight, {"C"});
  n.optional("bias", bias, {"T"}).lengths("lengths", lengths, "T");
}

Pair pool_cpu(const at::Tensor& value, const at::Tensor& score_weight, const OptionalTensor& bias,
              const OptionalTensor& lengths) {
  check_pool(value, score_weight, or_undefined(bias), or_undefined(lengths));
  if (why_not_fused({&value})) return pool_composed(value, score_weight, bias, lengths);
  at::Tensor output = at::empty({value.size(0), value.size(2)}, value.options());   // [B,C]
  at::Tensor weights = at::empty({value.size(0), value.size(1)}, value.options());  // [B,T]
  with_scalar_type(value, [&](auto zero) {
    using T = decltype(zero);
    PoolArguments<T> a(value, score_weight, bias, lengths);
    a.p.output = output.mutable_data_ptr<T>();
    a.p.weights = weights.mutable_data_ptr<T>();
    kernels::pool_forward(a.p);
  });
  note_fused("attend::pool");
  return {output, weights};
}

Pair pool_composed(const at::Tensor& value, const at::Tensor& score_weight,
                   const OptionalTensor& bias, const OptionalTensor& lengths) {
  const char* reason = why_not_fused({&value});
  auto out = compose::pool(value, score_weight, or_undefined(bias), or_undefined(lengths));
  note_composed("attend::pool", reason ? reason : "asked for");
  return out;
}

Triple pool_backward_cpu(const OptionalTensor& grad_output, const OptionalTensor& grad_weights,
                         const at::Tensor& value, const at::Tensor& score_weight,
                         const OptionalTensor& bias, const OptionalTensor& lengths) {
  check_pool(value, score_weight, or_undefined(bias), or_undefined(lengths));
  ShapeCheck n("attend::pool_backward");
  n("value", value, {"B", "T", "C"});
  n.optional("grad_output", or_undefined(grad_output), {"B", "C"});
  n.optional("grad_weights", or_undefined(grad_weights), {"B", "T"});
  if (const char* reason = why_not_fused({&value})) n.unsupported(reason);
  const at::Tensor d_output = contiguous_or_undefined(or_undefined(grad_output));
  const at::Tensor d_weights = contiguous_or_undefined(or_undefined(grad_weights));
  const auto options = value.options();
  const std::int64_t batch = value.size(0), time = value.size(1), channels = value.size(2);
  at::Tensor d_value = pooled_empty({batch, time, channels}, options);
  at::Tensor d_score_weight = at::empty({channels}, options), d_bias = at::empty({time}, options);
  at::Tensor workspace =
      pooled_empty(kernels::pool_backward_workspace(batch, time, channels), options);
  with_scalar_type(value, [&](auto zero) {
    using T = decltype(zero);
    const PoolArguments<T> a(value, score_weight, bias, lengths);
    kernels::PoolBackward<T> p;
    p.forward = a.p;
    p.grad_output = d_output.defined() ? d_output.const_data_ptr<T>() : nullptr;
    p.grad_weights = d_weights.defined() ? d_weights.const_data_ptr<T>() : nullptr;
    p.grad_value = d_value.mutable_data_ptr<T>();
    p.grad_score_weight = d_score_weight.mutable_data_ptr<T>();
    p.grad_bias = d_bias.mutable_data_ptr<T>();
    p.workspace = workspace.mutable_data_ptr<T>();
    kernels::pool_backward(p);
  });
  note_fused("attend::pool_backward");
  return {d_value, d_score_weight, d_bias};
}

Pair pool_meta(const at::Tensor& value, const at::Tensor& score_weight, const OptionalTensor&,
               const OptionalTensor&) {
  TORCH_CHECK(value.dim() == 3 && score_weight.dim() == 1,
              "attend::pool: value must be [B, T, C], score_weight [C]");
  const auto size = value.sym_sizes();
  return {at::empty_symint({size[0], size[2]}, value.options()),
          at::empty_symint({size[0], size[1]}, value.options())};
}

Triple pool_backward_meta(const OptionalTensor&, const OptionalTensor&, const at::Tensor& value,
                          const at::Tensor&, const OptionalTensor&, const OptionalTensor&) {
  const auto size = value.sym_sizes();
  const auto options = value.options();
  return {at::empty_symint(size, options), at::empty_symint({size[2]}, options),
          at::empty_symint({size[1]}, options)};
}

Pair pool_autograd(const at::Tensor& value, const at::Tensor& score_weight,
                   const OptionalTensor& bias, const OptionalTensor& lengths) {
  if (why_not_fused({&value}))
    return pool_composed(value, score_weight, bias, lengths);  // differentiates itself
  if (!must_differentiate({value, score_weight, or_undefined(bias)})) {
    const at::AutoDispatchBelowADInplaceOrView below;
    return call_pool(value, score_weight, bias, lengths);
  }
  auto out = PoolFunction::apply(value, score_weight, bias, lengths);
  return {out[0], out[1]};
}

Pair pool(const at::Tensor& value, const at::Tensor& score_weight, const at::Tensor& bias,
          const at::Tensor& lengths) {
  if (!value.defined() || !score_weight.defined()) check_pool(value, score_weight, bias, lengths);
  return call_pool(value, score_weight, or_none(bias), or_none(lengths));
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def(
      "pool(Tensor value, Tensor score_weight, *, Tensor? bias=None, Tensor? lengths=None)"
      " -> (Tensor output, Tensor weights)");
  m.def(
      "pool_backward(Tensor? grad_output, Tensor? grad_weights, Tensor value, Tensor score_weight,"
      " Tensor? bias, Tensor? lengths) -> (Tensor grad_value, Tensor grad_score_weight, Tensor "
      "grad_bias)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("pool", &pool_cpu);
  m.impl("pool_backward", &pool_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) { m.impl("pool", &pool_composed); }

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("pool", &pool_meta);
  m.impl("pool_backward", &pool_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("pool", &pool_autograd); }

}  // namespace attend
