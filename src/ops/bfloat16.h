#pragma once
#include <ATen/core/Tensor.h>

#include "attend/ops/vocabulary_loss.h"

// attend::linear and attend::vocabulary_loss with products of bfloat16, as a ProductPrecisionGuard asks for. Arguments are checked.
namespace attend {

/// Float tensors on the CPU where a guard stands.
bool wants_bfloat16(const at::Tensor& input);

/// relu(input · weightᵀ + bias), or without relu; differentiable once.
at::Tensor linear_bfloat16(const at::Tensor& input, const at::Tensor& weight,
                           const at::Tensor& bias, bool relu);

/// A mean or a sum; gradients are made in the forward pass, where they are wanted, as the fused kernel does.
at::Tensor vocabulary_loss_bfloat16(const at::Tensor& input, const at::Tensor& weight,
                                    const at::Tensor& bias, const at::Tensor& target,
                                    const VocabularyLossOptions& options);

}  // namespace attend
