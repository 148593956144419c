#pragma once
#include "attend/ops/attention.h"

namespace attend {

/// Gradients of sdpa; an absent cotangent counts as zero. bias is undefined where the options have none.
struct SdpaGradients {
  at::Tensor query, key, value, bias;
};

namespace compose {
/// The gradient of compose::sdpa written out in ATen, for what the kernel does not take: a gradient that arrives through
/// the weights. With w the weights, z the dropout factors and dW = (dout Vᵀ) ∘ z + dweights:
///   dS = w ∘ (dW − Σ_j w dW),  dQ = scale dS K,  dK = scale dSᵀ Q,  dV = (w ∘ z)ᵀ dout,  dbias = dS summed to its shape
SdpaGradients sdpa_backward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const AttentionOptions& options, const at::Tensor& grad_output,
                            const at::Tensor& grad_weights);
}  // namespace compose
}  // namespace attend
