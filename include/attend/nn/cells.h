#pragma once
#include <ATen/core/Tensor.h>

#include <utility>

namespace attend::nn {

/// One step of a recurrent cell whose input is projected already, for decoders that feed their own output back. All tensors
/// are [..., width], so that rows may be [B] or [B,K]. Cost: the products with the previous state.

/// Gates i, f, g, o (as attend::lstm): gates [..., 4H] = x W_ihᵀ + b; c ← σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c).
/// Returns (h, c).
std::pair<at::Tensor, at::Tensor> lstm_step(const at::Tensor& gates, const at::Tensor& hidden,
                                            const at::Tensor& cell, const at::Tensor& weight_hh);

/// The gated unit of Cho et al. (2014) as Bahdanau et al. (2015, §A.1.2) write it: the reset gate acts before the product.
/// gates [..., 3H] = (r, z, n) of the inputs; weight_hh [3H,H]:
///   [r z] = σ(gates_rz + h W_rzᵀ),  n = tanh(gates_n + (r ∘ h) W_nᵀ),  h ← (1 − z) h + z n
at::Tensor gru_step(const at::Tensor& gates, const at::Tensor& hidden, const at::Tensor& weight_hh);

}  // namespace attend::nn
