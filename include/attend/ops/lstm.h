#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

namespace attend {

/// What one LSTM layer may be given beyond input and weights. Undefined tensors mean "not used".
struct LstmOptions {
  at::Tensor h0, c0;  // [B,H] initial state; zeros when undefined
  at::Tensor lengths;  // [B] int64, 0 ≤ length ≤ T: later steps are not computed, their output is 0
  at::Tensor
      input_mask;  // [B,I] inverted dropout mask on the input, the same at every step, all gates (Keras)
  at::Tensor recurrent_mask;  // [B,H] the same on h_{t−1} before the recurrent product
  bool reverse = false;       // from the last valid step to the first; output stays in input order
};

/// LSTM over a padded batch, batch first (Hochreiter & Schmidhuber 1997; gates i, f, g, o as in PyTorch and Keras):
///   x̃_t = input_mask ∘ x_t,  h̃ = recurrent_mask ∘ h_{t−1}
///   [i f g o] = x̃_t W_ihᵀ + h̃ W_hhᵀ + b;  c_t = σ(f) c_{t−1} + σ(i) tanh(g);  h_t = σ(o) tanh(c_t)
/// input [B,T,I], weight_ih [4H,I], weight_hh [4H,H], bias [4H] (PyTorch's b_ih + b_hh; Keras' kernel transposed).
/// Returns (output [B,T,H], h_n [B,H], c_n [B,H]); with lengths, h_n and c_n are those of the last valid step.
/// Float and double on the CPU run fused kernels; anything else runs compose::lstm.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm(const at::Tensor& input,
                                                    const at::Tensor& weight_ih,
                                                    const at::Tensor& weight_hh,
                                                    const at::Tensor& bias,
                                                    const LstmOptions& options = {});
namespace compose {
/// The definition of lstm in plain ATen: oracle of the tests and path of every other device and dtype.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm(const at::Tensor& input,
                                                    const at::Tensor& weight_ih,
                                                    const at::Tensor& weight_hh,
                                                    const at::Tensor& bias,
                                                    const LstmOptions& options = {});
}  // namespace compose
}  // namespace attend
