#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logical_not.h>
#include <ATen/ops/masked_fill.h>
#include <ATen/ops/sum.h>

#include "ops/dispatch.h"
#include "ops/vocabulary_loss.h"

namespace attend::compose {

at::Tensor vocabulary_loss(const at::Tensor& input, const at::Tensor& weight,
                           const at::Tensor& bias, const at::Tensor& target,
                           const VocabularyLossOptions& options) {
  check_vocabulary_loss(input, weight, bias, target, options);
  const at::Tensor ignored = target.eq(options.ignore_index);  // [N]
  // Filled before it is used: 0 · NaN would be NaN in the gradients.
  const at::Tensor rows = input.masked_fill(ignored.unsqueeze(1), 0);
  const at::Tensor logits = at::linear(rows, weight, or_none(bias));  // [N,V]
  const auto loss = [&](std::int64_t reduction) {
    return at::cross_entropy_loss(logits, target, {}, reduction, options.ignore_index,
                                  options.label_smoothing);
  };
  if (options.reduction == Reduction::kNone) return loss(at::Reduction::None);
  const at::Tensor sum = loss(at::Reduction::Sum);
  if (options.reduction == Reduction::kSum) return sum;
  return sum / ignored.logical_not().sum().clamp_min(1).to(sum.scalar_type());
}

}  // namespace attend::compose
