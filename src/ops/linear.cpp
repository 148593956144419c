#include "attend/ops/linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <array>
#include <string>
#include <string_view>

#include "attend/base/error.h"
#include "ops/bfloat16.h"
#include "ops/dispatch.h"
#include "ops/product.h"
#include "ops/recompose.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using LinearGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using LinearWanted = std::array<bool, 3>;  // gradients of input, weight, bias

constexpr const char* kLinear = "attend::linear";
/// Fewer rows than this read each weight too seldom for packing it to pay; libtorch's product runs instead.
constexpr std::int64_t kLinearFewestRows = 48;

constexpr std::string_view kActivationNames[] = {"none", "relu", "gelu", "gelu_tanh"};

std::string_view activation_name(Activation a) {
  return kActivationNames[static_cast<std::size_t>(a)];
}

Activation activation_of(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kActivationNames); ++i)
    if (kActivationNames[i] == name) return static_cast<Activation>(i);
  fail_usage(std::string(kLinear) + ": activation is \"" + std::string(name) +
             "\": it must be none, relu, gelu or gelu_tanh");
}

bool is_gelu(Activation a) { return a == Activation::kGelu || a == Activation::kGeluTanh; }
const char* gelu_kind(Activation a) { return a == Activation::kGelu ? "none" : "tanh"; }

void check_linear(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  ShapeCheck n(kLinear);
  n("weight", weight, {"O", "I"});
  switch (input.defined() ? input.dim() : 1) {
    case 0:
      fail_usage(std::string(kLinear) + ": input must be […,I], not a scalar");
    case 1:
      n("input", input, {"I"});
      break;
    case 2:
      n("input", input, {"N", "I"});
      break;
    case 3:
      n("input", input, {"B", "L", "I"});
      break;
    default:
      n("input", input.flatten(0, -2), {"N", "I"});
  }
  n.optional("bias", bias, {"O"});
}

at::Tensor linear_rows(const at::Tensor& t) {
  return t.dim() == 1 ? t.unsqueeze(0) : t.flatten(0, -2);
}

/// A matrix that is contiguous along one of its dimensions, as the kernel packs it.
at::Tensor linear_packable(const at::Tensor& t) {
  return t.stride(0) == 1 || t.stride(1) == 1 ? t : t.contiguous();
}

const char* why_linear_composed(const at::Tensor& input, const at::Tensor& weight,
                                const at::Tensor& bias) {
  if (const char* reason = why_not_fused({&input, &weight, &bias})) return reason;
  if (has_symbolic_sizes({&input, &weight})) return nullptr;  // tracing: chosen when it runs
  if (weight.numel() == 0 || input.numel() < kLinearFewestRows * weight.size(1))
    return "there are too few rows";
  return nullptr;
}

/// finish(a · b + bias) in memory of the pool; a [M,K], b [K,N].
at::Tensor linear_product(const at::Tensor& left, const at::Tensor& right,
                          const at::Tensor& bias = {},
                          kernels::GemmFinish finish = kernels::GemmFinish::kNone) {
  return product(linear_packable(left), linear_packable(right),
                 {.bias = contiguous_or_undefined(bias), .finish = finish});
}

at::Tensor linear_composed(const at::Tensor& input, const at::Tensor& weight,
                           const OptionalTensor& bias, std::string_view activation) {
  const char* reason = why_linear_composed(input, weight, or_undefined(bias));
  const at::Tensor out =
      compose::linear(input, weight, or_undefined(bias), activation_of(activation));
  note_composed(kLinear, reason ? reason : "asked for");
  return out;
}

at::Tensor linear_cpu(const at::Tensor& input, const at::Tensor& weight, const OptionalTensor& bias,
                      std::string_view activation) {
  check_linear(input, weight, or_undefined(bias));
  const Activation a = activation_of(activation);
  if (why_linear_composed(input, weight, or_undefined(bias)))
    return linear_composed(input, weight, bias, activation);
  const auto finish =
      a == Activation::kRelu ? kernels::GemmFinish::kRelu : kernels::GemmFinish::kNone;
  at::Tensor out = linear_product(linear_rows(input), weight.t(), or_undefined(bias), finish);
  if (is_gelu(a)) at::gelu_(out, gelu_kind(a));
  note_fused(kLinear);
  auto shape = input.sizes().vec();
  shape.back() = weight.size(0);
  return out.view(shape);
}

/// Gradients of linear with no activation or relu (then `output` is its result).
LinearGradients linear_backward_cpu(const at::Tensor& grad_output, const at::Tensor& input,
                                    const at::Tensor& weight, const OptionalTensor& output,
                                    LinearWanted wanted) {
  at::Tensor grad = linear_rows(grad_output);
  if (output) grad = at::threshold_backward(grad, linear_rows(*output), 0);
  LinearGradients found;
  if (wanted[0]) std::get<0>(found) = linear_product(grad, weight).view(input.sizes());
  if (wanted[1]) std::get<1>(found) = linear_product(grad.t(), linear_rows(input));
  if (wanted[2]) std::get<2>(found) = grad.sum(0);
  note_fused("attend::linear_backward");
  return found;
}

at::Tensor linear_meta(const at::Tensor& input, const at::Tensor& weight, const OptionalTensor&,
                       std::string_view) {
  auto shape = input.sym_sizes().vec();
  TORCH_CHECK(!shape.empty() && weight.dim() == 2,
              "attend::linear: input must be [..., I], weight [O, I]");
  shape.back() = weight.sym_size(0);
  return at::empty_symint(shape, input.options());
}

LinearGradients linear_backward_meta(const at::Tensor&, const at::Tensor& input,
                                     const at::Tensor& weight, const OptionalTensor&,
                                     LinearWanted wanted) {
  const auto like = [](bool want, const at::Tensor& t) {
    return want ? at::empty_symint(t.sym_sizes(), t.options()) : at::Tensor();
  };
  return {like(wanted[0], input), like(wanted[1], weight),
          wanted[2] ? at::empty_symint({weight.sym_size(0)}, weight.options()) : at::Tensor()};
}

at::Tensor call_linear(const at::Tensor& input, const at::Tensor& weight,
                       const OptionalTensor& bias, std::string_view activation) {
  static const auto op = dispatched<decltype(linear_cpu)>(kLinear);
  return op.call(input, weight, bias, activation);
}

LinearGradients call_linear_backward(const at::Tensor& grad_output, const at::Tensor& input,
                                     const at::Tensor& weight, const OptionalTensor& output,
                                     LinearWanted wanted) {
  const at::AutoDispatchBelowADInplaceOrView below;
  static const auto op = dispatched<decltype(linear_backward_cpu)>("attend::linear_backward");
  return op.call(grad_output, input, weight, output, wanted);
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& input,
                               const at::Tensor& weight, const OptionalTensor& bias, bool relu) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->set_materialize_grads(false);
    const at::Tensor out = call_linear(
        input, weight, bias, activation_name(relu ? Activation::kRelu : Activation::kNone));
    ctx->save_for_backward({input, weight, or_undefined(bias), relu ? out : at::Tensor()});
    ctx->saved_data["relu"] = relu;
    return {out};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    if (!grads[0].defined()) return variable_list(4);
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      const auto activation =
          ctx->saved_data["relu"].toBool() ? Activation::kRelu : Activation::kNone;
      auto found = gradients_by_recomposing(
          {saved[0], saved[1], saved[2]}, grads, [&](const TensorList& in) {
            return TensorList{compose::linear(in[0], in[1], in[2], activation)};
          });
      found.resize(4);
      return found;
    }
    const LinearWanted wanted{ctx->needs_input_grad(0), ctx->needs_input_grad(1),
                              saved[2].defined() && ctx->needs_input_grad(2)};
    const auto [input, weight, bias] =
        call_linear_backward(grads[0], saved[0], saved[1], or_none(saved[3]), wanted);
    return {input, weight, bias, at::Tensor()};
  }
};

at::Tensor linear_autograd(const at::Tensor& input, const at::Tensor& weight,
                           const OptionalTensor& bias, std::string_view activation) {
  const Activation a = activation_of(activation);
  check_linear(input, weight, or_undefined(bias));
  if (why_linear_composed(input, weight, or_undefined(bias)))
    return linear_composed(input, weight, bias, activation);  // differentiates itself
  if (wants_bfloat16(input)) {
    const at::Tensor out =
        linear_bfloat16(input, weight, or_undefined(bias), a == Activation::kRelu);
    return is_gelu(a) ? at::gelu(out, gelu_kind(a)) : out;
  }
  if (!must_differentiate({input, weight, or_undefined(bias)})) {
    const at::AutoDispatchBelowADInplaceOrView below;
    return call_linear(input, weight, bias, activation);
  }
  const at::Tensor out = LinearFunction::apply(input, weight, bias, a == Activation::kRelu)[0];
  return is_gelu(a) ? at::gelu(out, gelu_kind(a)) : out;
}

}  // namespace

at::Tensor linear(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                  Activation activation) {
  if (!input.defined() || !weight.defined()) check_linear(input, weight, bias);
  return call_linear(input, weight, or_none(bias), activation_name(activation));
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def(
      "linear(Tensor input, Tensor weight, Tensor? bias=None, *, str activation='none') -> Tensor");
  m.def(
      "linear_backward(Tensor grad_output, Tensor input, Tensor weight, Tensor? output, bool[3] "
      "wanted)"
      " -> (Tensor grad_input, Tensor grad_weight, Tensor grad_bias)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("linear", &linear_cpu);
  m.impl("linear_backward", &linear_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) { m.impl("linear", &linear_composed); }

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("linear", &linear_meta);
  m.impl("linear_backward", &linear_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("linear", &linear_autograd); }

}  // namespace attend
