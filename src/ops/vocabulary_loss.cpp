#include "ops/vocabulary_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "attend/base/error.h"
#include "attend/kernels/vocabulary_loss.h"
#include "ops/arena.h"
#include "ops/bfloat16.h"
#include "ops/dispatch.h"
#include "ops/recompose.h"
#include "ops/shape_check.h"

namespace attend {
namespace {

using VocabularyNeeds = std::array<bool, 3>;  // whether input, weight, bias need a gradient
using VocabularyResult =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;  // loss and those gradients
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kVocabularyLoss = "attend::vocabulary_loss";

std::string_view reduction_name(Reduction reduction) {
  switch (reduction) {
    case Reduction::kMean:
      return "mean";
    case Reduction::kSum:
      return "sum";
    case Reduction::kNone:
      return "none";
  }
  fail_usage(std::string(kVocabularyLoss) + ": no such reduction");
}

VocabularyLossOptions vocabulary_options(double label_smoothing, std::int64_t ignore_index,
                                         std::string_view reduction) {
  for (const Reduction r : {Reduction::kMean, Reduction::kSum, Reduction::kNone})
    if (reduction == reduction_name(r)) return {label_smoothing, ignore_index, r};
  fail_usage(std::string(kVocabularyLoss) + ": reduction is '" + std::string(reduction) +
             "' but must be 'mean', 'sum' or 'none'");
}

// The parameters of the registered ops, in the order of their schemas.
#define ATTEND_VOCABULARY_PARAMETERS                                                 \
  const at::Tensor &input, const at::Tensor &weight, const at::Tensor &target,       \
      const OptionalTensor &bias, double label_smoothing, std::int64_t ignore_index, \
      std::string_view reduction
#define ATTEND_VOCABULARY_NAMES \
  input, weight, target, bias, label_smoothing, ignore_index, reduction

/// Which rows count; checks that their targets are words.
std::vector<std::int64_t> counted_rows(const at::Tensor& target, std::int64_t words,
                                       std::int64_t ignore_index) {
  const auto* word = target.const_data_ptr<std::int64_t>();
  const std::int64_t stride = target.stride(0);
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(target.size(0)));
  for (std::int64_t r = 0; r < target.size(0); ++r) {
    const std::int64_t y = word[r * stride];
    if (y == ignore_index) continue;
    if (y < 0 || y >= words)
      fail_usage(std::string(kVocabularyLoss) + ": target[" + std::to_string(r) + "] is " +
                 std::to_string(y) + " but must be in [0, V=" + std::to_string(words) +
                 ") or ignore_index=" + std::to_string(ignore_index));
    rows.push_back(r);
  }
  return rows;
}

at::Tensor reduced(const at::Tensor& losses, std::size_t counted, Reduction reduction) {
  if (reduction == Reduction::kNone) return losses;
  at::Tensor out = at::empty({}, losses.options());
  with_scalar_type(losses, [&](auto zero) {
    using T = decltype(zero);
    const T* loss = losses.const_data_ptr<T>();
    double sum = 0;
    for (std::int64_t r = 0; r < losses.size(0); ++r) sum += static_cast<double>(loss[r]);
    if (reduction == Reduction::kMean && counted > 0) sum /= static_cast<double>(counted);
    *out.mutable_data_ptr<T>() = static_cast<T>(sum);
  });
  return out;
}

/// The loss, and gradients for g_r = row_gradient, or else for a gradient of 1 that arrives at the reduced loss. Gradients
/// that are not needed come back empty.
VocabularyResult run_vocabulary_kernel(ATTEND_VOCABULARY_PARAMETERS,
                                       const OptionalTensor& row_gradient, VocabularyNeeds needs) {
  const VocabularyLossOptions options =
      vocabulary_options(label_smoothing, ignore_index, reduction);
  const std::int64_t n = input.size(0), channels = input.size(1), words = weight.size(0);
  const auto rows = counted_rows(target, words, ignore_index);
  const auto kind = input.options();
  const at::Tensor x = with_unit_last_stride(input), w = with_unit_last_stride(weight),
                   y = target.contiguous();
  const at::Tensor b = contiguous_or_undefined(or_undefined(bias)),
                   g = contiguous_or_undefined(or_undefined(row_gradient));
  at::Tensor losses = at::zeros({n}, kind), none = at::empty({0}, kind);
  const bool some = !rows.empty();
  at::Tensor grad_input = needs[0] ? at::zeros({n, channels}, kind) : none;
  // From the pool: it is as large as the weight, and a fresh page costs more than its arithmetic.
  at::Tensor grad_weight = !needs[1] ? none
                           : some    ? pooled_empty(words * channels, kind).view({words, channels})
                                     : at::zeros({words, channels}, kind);
  at::Tensor grad_bias = !needs[2] ? none
                         : some    ? at::empty({words}, kind)
                                   : at::zeros({words}, kind);
  if (some)
    with_scalar_type(input, [&](auto zero) {
      using T = decltype(zero);
      kernels::VocabularyLoss<T> p;
      p.counted = static_cast<std::int64_t>(rows.size()), p.channels = channels, p.words = words;
      p.counted_rows = rows.data(), p.target = y.const_data_ptr<std::int64_t>();
      p.input = x.const_data_ptr<T>(), p.input_stride = x.stride(0);
      p.weight = w.const_data_ptr<T>(), p.weight_stride = w.stride(0);
      p.bias = b.defined() ? b.const_data_ptr<T>() : nullptr;
      p.label_smoothing = label_smoothing, p.loss = losses.mutable_data_ptr<T>();
      p.row_gradient = g.defined() ? g.const_data_ptr<T>() : nullptr;
      p.same_gradient =
          options.reduction == Reduction::kMean ? T(1) / static_cast<T>(rows.size()) : T(1);
      if (needs[0]) p.grad_input = grad_input.mutable_data_ptr<T>();
      if (needs[1]) p.grad_weight = grad_weight.mutable_data_ptr<T>();
      if (needs[2]) p.grad_bias = grad_bias.mutable_data_ptr<T>();
      const bool gradients = needs[0] || needs[1] || needs[2];
      const at::Tensor workspace = pooled_empty(
          kernels::vocabulary_loss_workspace(p.counted, channels, words, gradients), kind);
      p.workspace = workspace.mutable_data_ptr<T>();
      kernels::vocabulary_loss(p);
    });
  note_fused(needs[0] || needs[1] || needs[2] ? "attend::vocabulary_loss_training"
                                              : kVocabularyLoss);
  return {reduced(losses, rows.size(), options.reduction), grad_input, grad_weight, grad_bias};
}

at::Tensor vocabulary_loss_composed(ATTEND_VOCABULARY_PARAMETERS) {
  const char* reason = why_not_fused({&input});
  at::Tensor out =
      compose::vocabulary_loss(input, weight, or_undefined(bias), target,
                               vocabulary_options(label_smoothing, ignore_index, reduction));
  note_composed(kVocabularyLoss, reason ? reason : "asked for");
  return out;
}

at::Tensor vocabulary_loss_cpu(ATTEND_VOCABULARY_PARAMETERS) {
  check_vocabulary_loss(input, weight, or_undefined(bias), target,
                        vocabulary_options(label_smoothing, ignore_index, reduction));
  if (why_not_fused({&input})) return vocabulary_loss_composed(ATTEND_VOCABULARY_NAMES);
  return std::get<0>(run_vocabulary_kernel(ATTEND_VOCABULARY_NAMES, {}, {}));
}

VocabularyResult vocabulary_loss_training_cpu(ATTEND_VOCABULARY_PARAMETERS,
                                              const OptionalTensor& row_gradient,
                                              VocabularyNeeds needs) {
  check_vocabulary_loss(input, weight, or_undefined(bias), target,
                        vocabulary_options(label_smoothing, ignore_index, reduction));
  ShapeCheck n("attend::vocabulary_loss_training");
  n("input", input, {"N", "C"}).optional("row_gradient", or_undefined(row_gradient), {"N"});
  if (const char* reason = why_not_fused({&input})) n.unsupported(reason);
  return run_vocabulary_kernel(ATTEND_VOCABULARY_NAMES, row_gradient, needs);
}

at::Tensor vocabulary_loss_meta(ATTEND_VOCABULARY_PARAMETERS) {
  TORCH_CHECK(input.dim() == 2 && weight.dim() == 2 && target.dim() == 1,
              "attend::vocabulary_loss: input must be [N, C], weight [V, C], target [N]");
  (void)bias;
  if (vocabulary_options(label_smoothing, ignore_index, reduction).reduction == Reduction::kNone)
    return at::empty_symint({input.sym_size(0)}, input.options());
  return at::empty({}, input.options());
}

VocabularyResult vocabulary_loss_training_meta(ATTEND_VOCABULARY_PARAMETERS, const OptionalTensor&,
                                               VocabularyNeeds needs) {
  const auto like = [&](const at::Tensor& t, bool needed) {
    return needed ? at::empty_symint(t.sym_sizes(), t.options()) : at::empty({0}, input.options());
  };
  return {vocabulary_loss_meta(ATTEND_VOCABULARY_NAMES), like(input, needs[0]),
          like(weight, needs[1]), like(bias ? *bias : input, needs[2])};
}

at::Tensor call_vocabulary_loss(ATTEND_VOCABULARY_PARAMETERS) {
  static const auto op = dispatched<decltype(vocabulary_loss_cpu)>(kVocabularyLoss);
  return op.call(ATTEND_VOCABULARY_NAMES);
}

VocabularyResult call_vocabulary_training(ATTEND_VOCABULARY_PARAMETERS,
                                          const OptionalTensor& row_gradient,
                                          VocabularyNeeds needs) {
  static const auto op =
      dispatched<decltype(vocabulary_loss_training_cpu)>("attend::vocabulary_loss_training");
  return op.call(ATTEND_VOCABULARY_NAMES, row_gradient, needs);
}

struct VocabularyFunction : torch::autograd::Function<VocabularyFunction> {
  static at::Tensor forward(AutogradContext* ctx, ATTEND_VOCABULARY_PARAMETERS) {
    const at::AutoDispatchBelowADInplaceOrView below;
    ctx->saved_data["label_smoothing"] = label_smoothing;
    ctx->saved_data["ignore_index"] = ignore_index;
    ctx->saved_data["reduction"] = std::string(reduction);
    variable_list saved{input, weight, target, or_undefined(bias)};
    at::Tensor loss;
    if (reduction == reduction_name(Reduction::kNone)) {
      loss = call_vocabulary_loss(ATTEND_VOCABULARY_NAMES);
    } else {  // the gradients now, while the exponentials are there
      const auto [value, d_input, d_weight, d_bias] =
          call_vocabulary_training(ATTEND_VOCABULARY_NAMES, {}, needs(saved));
      loss = value;
      saved.insert(saved.end(), {d_input, d_weight, d_bias});
    }
    ctx->save_for_backward(saved);
    return loss;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const double label_smoothing = ctx->saved_data["label_smoothing"].toDouble();
    const std::int64_t ignore_index = ctx->saved_data["ignore_index"].toInt();
    const std::string reduction = ctx->saved_data["reduction"].toStringRef();
    variable_list result(7);
    if (at::GradMode::is_enabled()) {  // a second derivative: through the definition
      const auto options = vocabulary_options(label_smoothing, ignore_index, reduction);
      const TensorList through = gradients_by_recomposing(
          {saved[0], saved[1], saved[3]}, grads, [&](const TensorList& in) {
            return TensorList{compose::vocabulary_loss(in[0], in[1], in[2], saved[2], options)};
          });
      result[0] = through[0], result[1] = through[1], result[3] = through[2];
      return result;
    }
    const at::AutoDispatchBelowADInplaceOrView below;
    const VocabularyNeeds needed = needs(saved);
    variable_list made(3);
    if (saved.size() > 4) {
      for (std::size_t i = 0; i < 3; ++i)
        if (needed[i]) made[i] = saved[4 + i] * grads[0];
    } else {
      std::tie(std::ignore, made[0], made[1], made[2]) =
          call_vocabulary_training(saved[0], saved[1], saved[2], or_none(saved[3]), label_smoothing,
                                   ignore_index, reduction, grads[0], needed);
    }
    if (needed[0]) result[0] = made[0];
    if (needed[1]) result[1] = made[1];
    if (needed[2]) result[3] = made[2];
    return result;
  }

 private:
  static VocabularyNeeds needs(const variable_list& saved) {
    return {saved[0].requires_grad(), saved[1].requires_grad(),
            saved[3].defined() && saved[3].requires_grad()};
  }
};

at::Tensor vocabulary_loss_autograd(ATTEND_VOCABULARY_PARAMETERS) {
  if (why_not_fused({&input}))
    return vocabulary_loss_composed(ATTEND_VOCABULARY_NAMES);  // differentiates itself
  if (wants_bfloat16(input) && reduction != reduction_name(Reduction::kNone)) {
    const auto options = vocabulary_options(label_smoothing, ignore_index, reduction);
    check_vocabulary_loss(input, weight, or_undefined(bias), target, options);
    return vocabulary_loss_bfloat16(input, weight, or_undefined(bias), target, options);
  }
  if (must_differentiate({input, weight, or_undefined(bias)}))
    return VocabularyFunction::apply(ATTEND_VOCABULARY_NAMES);
  const at::AutoDispatchBelowADInplaceOrView below;
  return call_vocabulary_loss(ATTEND_VOCABULARY_NAMES);
}

at::Tensor log_probabilities(const at::Tensor& input, const at::Tensor& weight,
                             const OptionalTensor& bias) {
  ShapeCheck n("attend::vocabulary_log_probabilities");
  n("input", input, {"N", "C"})("weight", weight, {"V", "C"})
      .optional("bias", or_undefined(bias), {"V"});
  return at::log_softmax(at::linear(input, weight, bias), 1);
}

}  // namespace

void check_vocabulary_loss(const at::Tensor& input, const at::Tensor& weight,
                           const at::Tensor& bias, const at::Tensor& target,
                           const VocabularyLossOptions& options) {
  ShapeCheck n(kVocabularyLoss);
  n("input", input, {"N", "C"})("weight", weight, {"V", "C"}).optional("bias", bias, {"V"});
  if (!target.defined())
    fail_usage(std::string(kVocabularyLoss) + ": target is undefined but must be [N]");
  n.index("target", target, {"N"}).at_least("V", n.size("V"), 1);
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1))
    fail_usage(std::string(kVocabularyLoss) + ": label_smoothing is " +
               std::to_string(options.label_smoothing) + " but must be in [0, 1]");
  reduction_name(options.reduction);
  if (target.device().is_cpu()) counted_rows(target, n.size("V"), options.ignore_index);
}

at::Tensor vocabulary_loss(const at::Tensor& input, const at::Tensor& weight,
                           const at::Tensor& bias, const at::Tensor& target,
                           const VocabularyLossOptions& options) {
  if (!input.defined() || !weight.defined() || !target.defined())
    check_vocabulary_loss(input, weight, bias, target, options);
  return call_vocabulary_loss(input, weight, target, or_none(bias), options.label_smoothing,
                              options.ignore_index, reduction_name(options.reduction));
}

at::Tensor vocabulary_log_probabilities(const at::Tensor& input, const at::Tensor& weight,
                                        const at::Tensor& bias) {
  return log_probabilities(input, weight, or_none(bias));
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def(
      "vocabulary_loss(Tensor input, Tensor weight, Tensor target, *, Tensor? bias=None, float "
      "label_smoothing=0.,"
      " int ignore_index=-100, str reduction='mean') -> Tensor");
  m.def(
      "vocabulary_loss_training(Tensor input, Tensor weight, Tensor target, Tensor? bias, float "
      "label_smoothing,"
      " int ignore_index, str reduction, Tensor? row_gradient, bool[3] needs)"
      " -> (Tensor loss, Tensor grad_input, Tensor grad_weight, Tensor grad_bias)");
  m.def("vocabulary_log_probabilities(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor",
        &log_probabilities);
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("vocabulary_loss", &vocabulary_loss_cpu);
  m.impl("vocabulary_loss_training", &vocabulary_loss_training_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) {
  m.impl("vocabulary_loss", &vocabulary_loss_composed);
}

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("vocabulary_loss", &vocabulary_loss_meta);
  m.impl("vocabulary_loss_training", &vocabulary_loss_training_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("vocabulary_loss", &vocabulary_loss_autograd); }

}  // namespace attend
