#include "ops/bfloat16.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/threshold_backward.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "attend/ops/precision.h"
#include "ops/dispatch.h"

namespace attend {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kBFloat16Rows = 512;  // of the vocabulary's logits that exist at a time

thread_local ProductPrecision t_precision = ProductPrecision::kFloat32;

at::Tensor rounded(const at::Tensor& t) { return t.to(at::kBFloat16); }
at::Tensor as_float(const at::Tensor& t) { return t.to(at::kFloat); }

/// The products of the backward pass read the factors that the forward pass rounded.
struct LinearBFloat16 : torch::autograd::Function<LinearBFloat16> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, bool relu) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const at::Tensor x = rounded(input), w = rounded(weight);
    at::Tensor out = as_float(at::linear(x, w));
    if (bias) out.add_(*bias);
    if (relu) out.relu_();
    ctx->save_for_backward({x, w, relu ? out : at::Tensor()});
    ctx->saved_data["bias"] = bias.has_value();
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &w = saved[1];
    at::Tensor grad = grads[0];
    if (saved[2].defined()) grad = at::threshold_backward(grad, saved[2], 0);
    grad = grad.reshape({-1, grad.size(-1)});
    const at::Tensor g = rounded(grad);
    variable_list found(4);
    if (ctx->needs_input_grad(0)) found[0] = as_float(at::mm(g, w)).view(x.sizes());
    if (ctx->needs_input_grad(1)) found[1] = as_float(at::mm(g.t(), x.reshape({-1, x.size(-1)})));
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) found[2] = grad.sum(0);
    return found;
  }
};

/// Loss and gradients of the rows that count, block by block.
class VocabularyBlocks {
 public:
  VocabularyBlocks(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                   const at::Tensor& target, const VocabularyLossOptions& options)
      : bias_(bias),
        options_(options),
        rows_(target.ne(options.ignore_index).nonzero().squeeze(1)),
        weight_(rounded(weight)),
        input_(rounded(input.index_select(0, rows_))),
        target_(target.index_select(0, rows_).unsqueeze(1)),
        d_input_(at::zeros(input.sizes(), input.options())),
        d_weight_(at::zeros(weight.sizes(), weight.options())),
        d_bias_(at::zeros({weight.size(0)}, weight.options())) {}

  /// Loss, and gradients of input, weight and bias.
  variable_list run(bool gradients) {
    const std::int64_t counted = rows_.size(0);
    double loss = 0;
    for (std::int64_t first = 0; first < counted; first += kBFloat16Rows)
      loss += block(first, std::min(kBFloat16Rows, counted - first), gradients);
    if (options_.reduction == Reduction::kMean && counted > 0) {
      const double share = 1 / static_cast<double>(counted);
      loss *= share;
      for (const at::Tensor& d : {d_input_, d_weight_, d_bias_}) d.mul_(share);
    }
    return {at::scalar_tensor(loss, d_bias_.options()), d_input_, d_weight_, d_bias_};
  }

 private:
  double block(std::int64_t first, std::int64_t n, bool gradients) {
    const double words = static_cast<double>(weight_.size(0)), e = options_.label_smoothing;
    const at::Tensor x = input_.narrow(0, first, n), y = target_.narrow(0, first, n);
    at::Tensor logits = as_float(at::linear(x, weight_));  // [n,V]
    if (bias_.defined()) logits.add_(bias_);
    const at::Tensor total = at::logsumexp(logits, {1}, true);
    at::Tensor losses = total - (1 - e) * logits.gather(1, y);
    if (e > 0) losses = losses - e / words * logits.sum(1, true);
    if (gradients) {
      at::Tensor d = logits.sub_(total).exp_();
      if (e > 0) d.sub_(e / words);
      d.scatter_add_(1, y, at::scalar_tensor(e - 1, d.options()).expand({n, 1}));
      const at::Tensor g = rounded(d);
      d_input_.index_copy_(0, rows_.narrow(0, first, n), as_float(at::mm(g, weight_)));
      d_weight_.add_(at::mm(g.t(), x));
      d_bias_.add_(d.sum(0));
    }
    return losses.sum(at::kDouble).item<double>();
  }

  const at::Tensor bias_;
  const VocabularyLossOptions options_;
  const at::Tensor rows_, weight_, input_, target_;
  at::Tensor d_input_, d_weight_, d_bias_;
};

struct VocabularyBFloat16 : torch::autograd::Function<VocabularyBFloat16> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight,
                            const OptionalTensor& bias, const at::Tensor& target,
                            const VocabularyLossOptions& options, bool gradients) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const variable_list made =
        VocabularyBlocks(input, weight, or_undefined(bias), target, options).run(gradients);
    if (gradients) ctx->save_for_backward({made[1], made[2], made[3]});
    ctx->saved_data["bias"] = bias.has_value();
    return made[0];
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    variable_list found(6);
    if (ctx->needs_input_grad(0)) found[0] = saved[0] * grads[0];
    if (ctx->needs_input_grad(1)) found[1] = saved[1] * grads[0];
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2))
      found[2] = saved[2] * grads[0];
    return found;
  }
};

}  // namespace

bool has_bfloat16_products() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

ProductPrecision product_precision() { return t_precision; }

ProductPrecisionGuard::ProductPrecisionGuard(ProductPrecision precision) : before_(t_precision) {
  t_precision = precision;
}
ProductPrecisionGuard::~ProductPrecisionGuard() { t_precision = before_; }

bool wants_bfloat16(const at::Tensor& input) {
  return t_precision == ProductPrecision::kBFloat16 && input.scalar_type() == at::kFloat &&
         input.device().is_cpu();
}

at::Tensor linear_bfloat16(const at::Tensor& input, const at::Tensor& weight,
                           const at::Tensor& bias, bool relu) {
  const at::Tensor out = LinearBFloat16::apply(input, weight, or_none(bias), relu);
  note_composed("attend::linear", "its products are of bfloat16");
  return out;
}

at::Tensor vocabulary_loss_bfloat16(const at::Tensor& input, const at::Tensor& weight,
                                    const at::Tensor& bias, const at::Tensor& target,
                                    const VocabularyLossOptions& options) {
  const bool gradients = must_differentiate({input, weight, bias});
  const at::Tensor loss =
      VocabularyBFloat16::apply(input, weight, or_none(bias), target, options, gradients);
  note_composed("attend::vocabulary_loss", "its products are of bfloat16");
  return loss;
}

}  // namespace attend
