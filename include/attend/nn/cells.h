#pragma once
#include <ATen/core/Tensor.h>
#include <attend/nn/step_linear.h>

#include <utility>

namespace attend::nn {

/// One step of a recurrent cell whose input is projected already, for decoders that feed their own output back. All tensors
/// are [..., width], so that rows may be [B] or [B,K]. Cost: the products with the previous state.

/// Gates i, f, g, o (as attend::lstm): gates [..., 4H] = x W_ihᵀ + b, to which recurrent(h) = h W_hhᵀ is added; c ← σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c).
/// Returns (h, c).
std::pair<at::Tensor, at::Tensor> lstm_step(const at::Tensor& gates, const at::Tensor& hidden,
                                            const at::Tensor& cell, const StepLinear& recurrent);

/// The gated unit of Cho et al. (2014) as Bahdanau et al. (2015, §A.1.2) write it: the reset gate acts before the product.
/// gates [..., 3H] = (r, z, n) of the inputs; of the recurrent weight [3H,H] one map for r and z, and one for n:
///   [r z] = σ(gates_rz + h W_rzᵀ),  n = tanh(gates_n + (r ∘ h) W_nᵀ),  h ← (1 − z) h + z n
struct GruRecurrence {
  explicit GruRecurrence(const at::Tensor& weight_hh);
  StepLinear reset_update, candidate;
};
at::Tensor gru_step(const at::Tensor& gates, const at::Tensor& hidden,
                    const GruRecurrence& recurrent);

}  // namespace attend::nn
