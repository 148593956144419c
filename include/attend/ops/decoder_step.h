#pragma once
#include <ATen/core/Tensor.h>

#include "attend/ops/additive.h"
#include "attend/ops/gru.h"

namespace attend {

/// The cell that a decoder step ends in; a row of its gates is G blocks of H.
enum class DecoderCell {
  kGru,             // PyTorch's form, gates [r z n], G = 3
  kGruResetBefore,  // Cho et al. 2014's form, which Bahdanau et al. 2015 use, G = 3
  kLstm,            // gates [i f g o], G = 4
};

/// What a step is made of beside the source sentence. `packed` is what prepare_decoder_step adds.
struct DecoderStepWeights {
  at::Tensor query;    // [A,H], W_a: the state's part of the score
  at::Tensor score;    // [A], v
  at::Tensor context;  // [GH,Dv], C: the context's part of the gates
  at::Tensor hidden;   // [GH,H], U: the state's part of the gates
  at::Tensor bias;     // [GH] of that product (PyTorch's bias_hh), or undefined
  at::Tensor packed;   // the matrices in the kernel's own layout, without gradient, or undefined
};

/// The same weights with their matrices packed: once for a sentence instead of at every step. Valid until a weight changes
/// in place. The cell must be the steps'. Costs a copy of the weights (and of their transposes) in time and memory; where no
/// kernel takes them, nothing is packed.
DecoderStepWeights prepare_decoder_step(const DecoderStepWeights& weights, DecoderCell cell);

/// What is known beyond gates, state and keys. Undefined tensors mean "not used".
struct DecoderStepOptions {
  DecoderCell cell = DecoderCell::kGru;
  at::Tensor memory;       // [B,H], the LSTM's c; required there, refused elsewhere
  at::Tensor key_lengths;  // [B] int64, 0 ≤ length ≤ Lk: later keys are hidden
  at::Tensor mask;         // bool, true = may attend; broadcasts to [B,1,Lk]
  bool need_weights = false;
};

struct DecoderStepResult {
  at::Tensor state;    // [B,H]
  at::Tensor memory;   // [B,H], undefined but for the LSTM
  at::Tensor context;  // [B,Dv]
  at::Tensor weights;  // [B,Lk], undefined unless asked for
};

/// One target position of a recurrent decoder with additive attention (Bahdanau et al. 2015, §3.1 and §A.1):
///   e_j = v · tanh(W_a s + k_j),  p = softmax(e),  c = Σ_j p_j value_j
///   x = gates + C c,  u = U s + bias,  s' = cell(x, u, s)
///     kGru             [r z] = σ(x + u),  n = tanh(x_n + r ∘ u_n),             s' = (1 − z) n + z s
///     kGruResetBefore  the same with      n = tanh(x_n + U_n (r ∘ s) + bias_n)
///     kLstm            [i f o] = σ(x + u),  g = tanh(x + u),  m' = f m + i g,  s' = o tanh(m')
/// gates [B,GH] is what the token contributes, W y + b (b is PyTorch's bias_ih): in training one product for all positions, of
/// which a step takes its slice. state [B,H]; keys.key [B,Lk,A] = U_a h, from prepare_additive_keys or without `prepared`;
/// value [B,Lk,Dv].
///
/// Keys that are hidden are never touched: a NaN there is harmless. A row that sees no key has context 0 and weights 0; its
/// state still moves. Differentiable in all floating inputs, twice (the second time through the definition). Float and double
/// on the CPU run fused kernels, with memory from the process' pool; other dtypes and devices run compose::decoder_step.
/// Throws Error(kUsage) naming argument, shape and rule. Cost: 2 B (A H + G H (H + Dv)) operations and B Lk A tanh, twice
/// that and about B Lk A more backward.
///
///   const auto keys = prepare_additive_keys(at::linear(states, U_a));
///   const auto w = prepare_decoder_step({W_a, v, C, U}, DecoderCell::kGru);
///   for (std::int64_t t = 0; t < T; ++t) state = decoder_step(gates.select(1, t), state, keys, states, w).state;
DecoderStepResult decoder_step(const at::Tensor& gates, const at::Tensor& state,
                               const AdditiveKeys& keys, const at::Tensor& value,
                               const DecoderStepWeights& weights,
                               const DecoderStepOptions& options = {});

namespace compose {
/// The definition in plain ATen: oracle of the tests and path of every other device and dtype.
DecoderStepResult decoder_step(const at::Tensor& gates, const at::Tensor& state,
                               const AdditiveKeys& keys, const at::Tensor& value,
                               const DecoderStepWeights& weights,
                               const DecoderStepOptions& options = {});
}  // namespace compose
}  // namespace attend
