#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>

namespace attend {

/// Which end of queries and keys a causal mask or a window is aligned to when there are fewer queries than keys.
enum class Alignment {
  kLast,  // the last query sees the last key (FlashAttention 2.1, decoding with a cache): offset = keys − queries
  kFirst,  // the first query stands at the first key (PyTorch's is_causal): offset = 0
};

/// What every attention op takes beyond its tensors. Which keys a query may attend to is given as facts, not as a matrix
/// wherever a fact will do; all that is given must hold at once. A query that sees no key gives output 0, weights 0 and
/// gradient 0. A key that no query of its row may see is never touched, so a NaN there is harmless.
struct AttentionOptions {
  at::Tensor
      mask;  // bool, broadcastable to [B,H,Lq,Lk] (ops without heads: [B,Lq,Lk]); true = may attend
  at::Tensor bias;           // added to the scaled scores, broadcastable likewise; differentiable
  at::Tensor query_lengths;  // [B] int64 in 0…Lq: later queries see nothing
  at::Tensor key_lengths;    // [B] int64 in 0…Lk: later keys are seen by nobody
  bool causal = false;       // query i sees keys ≤ i + offset
  Alignment alignment = Alignment::kLast;  // offset from the row's own lengths where they are given
  std::int64_t window_left = -1;  // query i sees keys ≥ i + offset − window_left; −1: no limit
  std::int64_t window_right = -1;  // query i sees keys ≤ i + offset + window_right; −1: no limit
  std::optional<double> scale;     // of the scores; each op names its default
  double dropout =
      0;  // probability that a weight is dropped; the others are scaled by 1 / (1 − dropout)
  std::uint64_t seed = 0;     // of the dropout: the same seed drops the same weights
  bool need_weights = false;  // also return the weights, before dropout; else an undefined tensor
};

/// (output, weights); weights is undefined unless asked for.
using AttentionResult = std::tuple<at::Tensor, at::Tensor>;

/// Scaled dot-product attention (Vaswani et al. 2017, eq. 1):
///   w_ij = softmax_j(scale · <q_i, k_j> + bias_ij),  output_i = Σ_j w_ij v_j
/// query [B,H,Lq,D], key [B,Hkv,Lk,D], value [B,Hkv,Lk,Dv]; H a multiple of Hkv: query head h reads key head h / (H / Hkv).
/// scale: 1/√D unless given (the guide writes 1/D: give scale = 1.0 / D for that). Returns [B,H,Lq,Dv] and [B,H,Lq,Lk].
/// float, double, or bfloat16 with scores, softmax and sums in float: products of bfloat16 pairs where the CPU has them (D even;
/// weights rounded for the sum over values), else in float. Fused forward and backward, the bias' gradient included.
AttentionResult sdpa(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const AttentionOptions& options = {});

/// Additive attention (Bahdanau et al. 2015, §A.1.2) on projected queries and keys:
///   s_ij = <score_weight, tanh(query_i + key_j)>,  w = softmax_j(s + bias),  output_i = Σ_j w_ij v_j
/// query [B,Lq,A] = W q + b, key [B,Lk,A] = U k (project keys once, use them at every decoder step), value [B,Lk,Dv],
/// score_weight [A]. scale: 1 unless given. Returns [B,Lq,Dv] and [B,Lq,Lk]. Memory O(B (Lq + Lk) A) when fused.
AttentionResult additive(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& score_weight, const AttentionOptions& options = {});

namespace compose {
AttentionResult sdpa(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const AttentionOptions& options = {});
AttentionResult additive(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& score_weight, const AttentionOptions& options = {});
}  // namespace compose
}  // namespace attend
