#pragma once
#include <ATen/core/Tensor.h>

namespace attend::nn {

/// Mean cross-entropy of a batch plus a penalty, as one autograd node:
///   K = 1   mean_b (softplus(z_b) − y_b z_b)                 y in {0, 1}: BCE on logits
///   K ≥ 2   mean_b (log Σ_k exp(z_bk) − z_{b,y_b})           y in [0, K): softmax cross-entropy
/// logits [B,K] float or double on the CPU, labels [B] int64, penalty a scalar of the same dtype or undefined (0).
/// Both logarithms are taken so that no logit overflows; sums are in double. B = 0 gives the penalty.
/// A label out of range throws kBadInput with its row; other errors kUsage. O(B·K).
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels,
                         const at::Tensor& penalty = {});

}  // namespace attend::nn
