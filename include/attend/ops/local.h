#pragma once
#include "attend/ops/attention.h"

namespace attend {

struct LocalOptions {
  std::int64_t window = 10;  // D ≥ 1: query i sees the keys j with |j − centre_i| ≤ D that exist
  bool gaussian =
      true;  // local-p: weights × exp(−(j − centre_i)² / 2σ²), σ = D/2, after the softmax, not renormalised
  at::Tensor
      score_weight;        // [D]: additive score on projected query and key; undefined: dot product
  at::Tensor key_lengths;  // [B] int64
  std::optional<double> scale;  // 1 unless given
  bool need_weights = false;
};

/// Local attention (Luong et al. 2015, §3.2) around given centres:
///   a_ij = softmax over the window of scale · score(q_i, k_j);  w_ij = a_ij · exp(−(j − centre_i)² / 2σ²);  output_i = Σ_j w_ij v_j
/// query [B,Lq,D], key [B,Lk,D], value [B,Lk,Dv], centre [B,Lq] in keys, counted from 0; its gradient runs through the
/// Gaussian alone (the window's edges have none). local-m: centre_i = i and gaussian = false. local-p: predicted_centre.
/// The window is clipped at both ends of the row; a window that misses the row gives 0 and gradient 0, a NaN centre gives NaN.
/// Keys outside of every window are never touched. Returns [B,Lq,Dv], [B,Lq,Lk] (dense, 0 outside the window; only on request).
/// Float and double on the CPU run a fused kernel in O(B Lq window) time and memory, forward and backward; bfloat16 is computed
/// in float; the rest, and second derivatives, run compose::local, O(B Lq Lk). Differentiable in query, key, value, centre and
/// score_weight, through output and weights. Throws Error(kUsage) naming argument, shape and rule. Also torch.ops.attend.local.
AttentionResult local(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                      const at::Tensor& centre, const LocalOptions& options = {});

/// centre_i = S · σ(<score_weight, tanh(W h_i)>) (Luong et al. 2015, eq. 9), S the row's number of keys.
/// hidden [B,Lq,D], weight [A,D], score_weight [A], key_lengths [B] int64 or undefined (then key_count). Returns [B,Lq].
/// Also torch.ops.attend.predicted_centre.
at::Tensor predicted_centre(const at::Tensor& hidden, const at::Tensor& weight,
                            const at::Tensor& score_weight, std::int64_t key_count,
                            const at::Tensor& key_lengths = {});

namespace compose {
AttentionResult local(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                      const at::Tensor& centre, const LocalOptions& options = {});
}
}  // namespace attend
