#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace attend {

/// What becomes of the loss of each row.
enum class Reduction {
  kMean,  // Σ over counted rows / number of counted rows; 0 when no row counts
  kSum,   // Σ over counted rows
  kNone,  // one loss a row, 0 where the row doesn't count
};

struct VocabularyLossOptions {
  double label_smoothing =
      0;  // ε in [0, 1]: so much of the target is spread evenly over the vocabulary
  std::int64_t ignore_index = -100;  // a row with this target doesn't count
  Reduction reduction = Reduction::kMean;
};

/// Cross-entropy of the output layer, projection included; the logits [N,V] are never stored:
///   l_rj = <input_r, weight_j> + bias_j
///   loss_r = log Σ_j exp(l_rj) − (1 − ε) l_{r,target_r} − ε/V Σ_j l_rj        (Szegedy et al. 2016, section 7)
/// input [N,C] (any strides), weight [V,C], bias [V] or undefined, target [N] int64 in [0, V) or ignore_index. All floating
/// tensors have one dtype and device. Returns a scalar, or [N] with Reduction::kNone. Input, weight and bias are
/// differentiable, twice too.
///
/// Equals torch's cross_entropy(linear(input, weight, bias), target, …) in value and gradient, with two differences: a row
/// that doesn't count is never read, so a NaN there is harmless (its gradient is 0), and the mean over no row is 0, not NaN.
/// A NaN in a counted row makes the loss NaN. A bias of −∞ is a word that never comes (only without smoothing: with it the
/// loss is infinite, as the formula says). N = 0 and C = 0 are fine; V must be at least 1.
///
/// Float and double on the CPU run fused kernels. With a mean or a sum the gradients are made in the forward pass, from
/// the exponentials while they are there, and backward only multiplies them by what arrives: 6·N·V·C operations in all,
/// where making the logits again would cost 8. Without reduction backward has to begin anew: 2 + 6. Memory: a packed copy
/// of weight, its gradient, and a block of rows (kernels/vocabulary_loss.h), instead of N·V several times. Anything else
/// runs compose::vocabulary_loss; last_dispatch() says which. The bits do not depend on the number of threads.
/// Thread-safe. Throws Error(kUsage) naming argument, shape and rule; also for a target outside the vocabulary.
///
///   const at::Tensor loss = attend::vocabulary_loss(states, embedding, {}, words, {.label_smoothing = 0.1});
///
/// Also torch.ops.attend.vocabulary_loss(input, weight, target, *, bias, label_smoothing, ignore_index, reduction), with
/// reduction 'mean', 'sum' or 'none'.
at::Tensor vocabulary_loss(const at::Tensor& input, const at::Tensor& weight,
                           const at::Tensor& bias, const at::Tensor& target,
                           const VocabularyLossOptions& options = {});

/// log softmax of the same layer, [N,V]: what decoding needs, for the last position only. Plain ATen on every device and
/// dtype, differentiable. O(N·V·C); the result is stored. Also torch.ops.attend.vocabulary_log_probabilities.
at::Tensor vocabulary_log_probabilities(const at::Tensor& input, const at::Tensor& weight,
                                        const at::Tensor& bias = {});

namespace compose {
/// The definition of vocabulary_loss in plain ATen: oracle of the tests, path of every other device and dtype.
at::Tensor vocabulary_loss(const at::Tensor& input, const at::Tensor& weight,
                           const at::Tensor& bias, const at::Tensor& target,
                           const VocabularyLossOptions& options = {});
}  // namespace compose
}  // namespace attend
