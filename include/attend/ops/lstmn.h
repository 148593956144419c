#pragma once
#include "attend/ops/attention.h"

namespace attend {

/// Weights of an LSTMN layer (Cheng et al. 2016, §3.1).
struct LstmnWeights {
  at::Tensor weight;          // [4H,H+I]: gates i, f, o and candidate ĉ, on [h̃_t, x_t]
  at::Tensor bias;            // [4H]
  at::Tensor tape_weight;     // [A,H] W_h, on what the tape holds
  at::Tensor input_weight;    // [A,I] W_x
  at::Tensor summary_weight;  // [A,H] W_h̃, on the summary of the step before
  at::Tensor score_weight;    // [A]  v
};

/// What a decoder reads of its encoder in deep fusion (Cheng et al. 2016, §4): both tapes, and how.
struct LstmnSource {
  at::Tensor hidden;          // [B,S,H] γ, the encoder's hidden tape
  at::Tensor memory;          // [B,S,H] α, its memory tape
  at::Tensor lengths;         // [B] int64 or undefined
  at::Tensor tape_weight;     // [A,H] W_γ
  at::Tensor input_weight;    // [A,I] W_x
  at::Tensor summary_weight;  // [A,H] W_γ̃
  at::Tensor score_weight;    // [A]  u
  at::Tensor gate_weight;     // [H,H+I] W_r, on [γ̃_t, x_t]
  at::Tensor gate_bias;       // [H]
};

/// Where an LSTMN stands after t ≥ 0 steps.
struct LstmnTapes {
  at::Tensor hidden, memory;  // [B,t,H]
  at::Tensor summary;         // [B,H] h̃_t; zeros at first
  at::Tensor source_summary;  // [B,H] γ̃_t likewise, with a source
};

struct LstmnOptions {
  at::Tensor lengths;                   // [B] int64: later steps give 0
  const LstmnSource* source = nullptr;  // deep fusion; null: intra-attention alone
  const LstmnTapes* before = nullptr;   // goes on from there (decoding); excludes lengths
  bool need_weights = false;
};

struct LstmnResult {
  at::Tensor hidden, memory;  // [B,T,H] the two tapes, of these steps
  at::Tensor weights;         // [B,T,t+T] who was looked at among the steps before (t of them in
                              // options.before); undefined unless asked for
  at::Tensor source_weights;  // [B,T,S] likewise with a source
  at::Tensor summary, source_summary;  // [B,H] of the last step, where options.before is given
};

/// Long short-term memory-network (Cheng, Dong and Lapata 2016, §3.1 and §4): an LSTM that keeps every state on two tapes and, at each
/// step, attends over them in place of h_{t−1} and c_{t−1}:
///   a_i = <v, tanh(W_h h_i + W_x x_t + W_h̃ h̃_{t−1})>,  s = softmax over i < t,  [h̃_t; c̃_t] = Σ_i s_i [h_i; c_i]
///   [i f o ĉ] = [σ σ σ tanh](W [h̃_t, x_t] + b),  c_t = f c̃_t + i ĉ,  h_t = o tanh(c_t)
/// At the first step there is nothing to look at and h̃ = c̃ = 0. With a source (deep fusion), the same attention over the encoder's
/// tapes gives [γ̃_t; α̃_t] by W_γ, W_x, W_γ̃ and u, and its memory comes in through a gate:
///   r_t = σ(W_r [γ̃_t, x_t] + b_r),  c_t = r_t α̃_t + f c̃_t + i ĉ
/// Shallow fusion needs nothing here: attend over source.hidden with the hidden tape that comes out, by attend::additive.
/// input [B,T,I]. Steps beyond a row's length are not looked at, give 0, and a NaN in them is harmless. The steps follow each other; the
/// attention of each runs as attend::additive with one query. O(B T² (A + H)) beside the gates; tapes and weights are kept for backward.
/// Without a source and from the beginning, float and double on the CPU run as one node whose tapes are read in place and whose gradients are summed where
/// they belong; anything else runs compose::lstmn, which copies the tapes at each step; last_dispatch() says which.
/// Differentiable in every tensor, twice too. Throws Error(kUsage) naming argument, shape and rule.
LstmnResult lstmn(const at::Tensor& input, const LstmnWeights& weights,
                  const LstmnOptions& options = {});

namespace compose {
/// The definition in plain ATen: oracle of the tests, path of deep fusion and of every other device and dtype. Checks nothing.
LstmnResult lstmn(const at::Tensor& input, const LstmnWeights& weights,
                  const LstmnOptions& options = {});
}  // namespace compose
}  // namespace attend
