#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

namespace attend {

/// Where the reset gate acts: on the recurrent product (PyTorch; Keras' reset_after=True), or on the
/// state before it (Cho et al. 2014, eq. 8; Keras' reset_after=False).
enum class GruForm { kResetAfter, kResetBefore };

/// What one GRU layer may be given beyond input and weights. Undefined tensors mean "not used".
struct GruOptions {
  at::Tensor h0;          // [B,H] initial state; zeros when undefined
  at::Tensor lengths;     // [B] int64, 0 ≤ length ≤ T: later steps are not computed, output 0
  at::Tensor input_mask;  // [B,I] inverted dropout mask on the input, the same at every step
  at::Tensor recurrent_mask;  // [B,H] the same on h_{t−1}, in the recurrent product only (as Keras)
  bool reverse = false;       // from the last valid step to the first; output stays in input order
  GruForm form = GruForm::kResetAfter;
};

/// GRU over a padded batch, batch first (Cho et al. 2014; gates r, z, n as in PyTorch):
///   x̃_t = input_mask ∘ x_t,  h̃ = recurrent_mask ∘ h_{t−1}
///   [r z] = σ(x̃_t W_ihᵀ + b_ih + h̃ W_hhᵀ + b_hh)            (first two blocks)
///   n = tanh(x̃_t W_inᵀ + b_in + r ∘ (h̃ W_hnᵀ + b_hn))       (GruForm::kResetAfter)
///   n = tanh(x̃_t W_inᵀ + b_in + (r ∘ h̃) W_hnᵀ + b_hn)       (GruForm::kResetBefore)
///   h_t = (1 − z) n + z h_{t−1}                              (Cho's z; some papers swap the two)
/// input [B,T,I], weight_ih [3H,I], weight_hh [3H,H], bias_ih and bias_hh [3H] (both or neither).
/// Returns (output [B,T,H], h_n [B,H]); with lengths, h_n is the state of the last valid step, and
/// a row of length 0 gives h0. Steps at or beyond a length are never read: NaN there is harmless.
/// Throws kUsage naming the argument and its shape. O(T·B·3H·(I+H)) time.
/// Float and double on the CPU run fused kernels; anything else runs compose::gru.
std::tuple<at::Tensor, at::Tensor> gru(const at::Tensor& input, const at::Tensor& weight_ih,
                                       const at::Tensor& weight_hh, const at::Tensor& bias_ih = {},
                                       const at::Tensor& bias_hh = {},
                                       const GruOptions& options = {});
namespace compose {
/// The definition of gru in plain ATen: oracle of the tests and path of every other device, dtype.
std::tuple<at::Tensor, at::Tensor> gru(const at::Tensor& input, const at::Tensor& weight_ih,
                                       const at::Tensor& weight_hh, const at::Tensor& bias_ih = {},
                                       const at::Tensor& bias_hh = {},
                                       const GruOptions& options = {});
}  // namespace compose
}  // namespace attend
