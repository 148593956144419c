#include "attend/nn/step_linear.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>
#include <vector>

#include "attend/base/error.h"
#include "ops/arena.h"
#include "ops/dispatch.h"
#include "ops/product.h"

namespace attend::nn {

/// What the steps leave for the gradient of W.
struct StepLinear::Tape {
  at::Tensor weight;         // contiguous, without gradient
  at::Tensor forward, back;  // Wᵀ and W, packed
  std::vector<at::Tensor> inputs,
      gradients;  // of the steps that have run backward, [rows, I] and [rows, O]
};

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using StepTape = std::shared_ptr<StepLinear::Tape>;

at::Tensor step_packed(const at::Tensor& factor) {
  const at::Tensor packed = pooled_empty({packed_factor_size(factor)}, factor.options());
  pack_factor(factor, packed);
  return packed;
}

at::Tensor step_rows(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}).contiguous(); }

void refuse_second_derivative() {
  if (at::GradMode::is_enabled()) fail_usage("StepLinear: has no second derivative");
}

/// W's place in the graph: runs backward after every step that has its ticket, and makes their one product.
struct StepLinearWeight : torch::autograd::Function<StepLinearWeight> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& weight, const StepTape& tape) {
    ctx->saved_data["tape"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(tape));
    return at::zeros({}, weight.options());
  }
  static variable_list backward(AutogradContext* ctx, const variable_list&) {
    refuse_second_derivative();
    const auto held =
        c10::static_intrusive_pointer_cast<Holder>(ctx->saved_data["tape"].toCapsule());
    StepLinear::Tape& tape = *held->tape;
    const auto inputs = std::exchange(tape.inputs, {}),
               gradients = std::exchange(tape.gradients, {});
    if (inputs.empty()) return variable_list(2);
    const at::Tensor x = at::cat(inputs), g = at::cat(gradients);
    return {product(g.t(), x), at::Tensor()};
  }

  struct Holder : torch::CustomClassHolder {
    explicit Holder(StepTape t) : tape(std::move(t)) {}
    StepTape tape;
  };
};

struct StepLinearCall : torch::autograd::Function<StepLinearCall> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& /*ticket*/,
                            const StepTape& tape) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor rows = step_rows(x), weight = tape->weight;
    ctx->save_for_backward({rows});
    ctx->saved_data["sizes"] = x.sizes().vec();
    ctx->saved_data["tape"] =
        c10::IValue::make_capsule(c10::make_intrusive<StepLinearWeight::Holder>(tape));
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    return product(rows, weight.t(), {.packed = tape->forward}).view(sizes);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    refuse_second_derivative();
    const auto saved = ctx->get_saved_variables();
    const auto held = c10::static_intrusive_pointer_cast<StepLinearWeight::Holder>(
        ctx->saved_data["tape"].toCapsule());
    StepLinear::Tape& tape = *held->tape;
    const at::Tensor g = step_rows(grads[0]);
    if (ctx->needs_input_grad(1)) tape.inputs.push_back(saved[0]), tape.gradients.push_back(g);
    at::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      if (!tape.back.defined()) tape.back = step_packed(tape.weight);
      dx = product(g, tape.weight, {.packed = tape.back})
               .view(ctx->saved_data["sizes"].toIntVector());
    }
    return {dx, at::zeros({}, g.options()), at::Tensor()};
  }
};

}  // namespace

StepLinear::StepLinear(const at::Tensor& weight) : weight_(weight) {
  if (!must_differentiate({weight}) || why_not_fused({&weight}) || weight.numel() == 0) return;
  tape_ = std::make_shared<Tape>();
  tape_->weight = weight.detach().contiguous();
  tape_->forward = step_packed(tape_->weight.t());
  ticket_ = StepLinearWeight::apply(weight, tape_);
}

at::Tensor StepLinear::operator()(const at::Tensor& x) const {
  if (!tape_ || why_not_fused({&x})) return at::linear(x, weight_);
  if (x.size(-1) != weight_.size(1) || x.scalar_type() != weight_.scalar_type())
    fail_usage("StepLinear: x [..., " + std::to_string(x.size(-1)) + "] " +
               toString(x.scalar_type()) + " does not fit weight [" +
               std::to_string(weight_.size(0)) + ", " + std::to_string(weight_.size(1)) + "] " +
               toString(weight_.scalar_type()));
  return StepLinearCall::apply(x, ticket_, tape_);
}

}  // namespace attend::nn
