#pragma once
#include "attend/ops/attention.h"

namespace attend {

/// Score of Luong et al. (2015, §3.1) that multiplies query and key, and its relatives.
enum class MultiplicativeScore {
  kDot,        // <q, k>
  kGeneral,    // qᵀ W k; bilinear
  kScaledDot,  // <q, k> / √D
  kCosine,     // <q, k> / (|q| |k|); 0 when either is 0
};

/// Attention without heads by a multiplicative score:
///   w_ij = softmax_j(scale · score(q_i, k_j) + bias_ij),  output_i = Σ_j w_ij v_j
/// query [B,Lq,D], key [B,Lk,Dk] (Dk = D except for kGeneral), value [B,Lk,Dv], weight [D,Dk] for kGeneral, else undefined.
/// scale: 1 unless given. Returns [B,Lq,Dv] and [B,Lq,Lk]. Runs as sdpa with one head, whose cost, edges and errors it has
/// (last_dispatch() names attend::sdpa); kGeneral projects the queries first, which is the cheaper side while Lq ≤ Lk.
/// With kGeneral and kCosine a mask, lengths or a window cost a [B,Lq,Lk] boolean array. Differentiable twice, in every
/// tensor. Also torch.ops.attend.multiplicative(query, key, value, score='dot'|'general'|'scaled_dot'|'cosine', weight=None, …).
AttentionResult multiplicative(const at::Tensor& query, const at::Tensor& key,
                               const at::Tensor& value, MultiplicativeScore score,
                               const at::Tensor& weight = {}, const AttentionOptions& options = {});

/// Location-based attention (Luong et al. 2015, eq. 8): the scores come from the query alone, w_i = softmax(W q_i).
/// query [B,Lq,D], value [B,Lk,Dv], weight [P,D] with P ≥ Lk places, of which the first Lk are used. Returns [B,Lq,Dv] and
/// [B,Lq,Lk]. Runs as attend_scores. Also torch.ops.attend.location.
AttentionResult location(const at::Tensor& query, const at::Tensor& value, const at::Tensor& weight,
                         const AttentionOptions& options = {});

/// Attention over scores that the caller made, [B,Lq,Lk] with value [B,Lk,Dv]: the guide's general form softmax(f(Q, K)) V
/// with any f. scale (1 unless given) multiplies the scores, bias is added to them; a NaN in a score that is hidden is harmless.
/// Runs as sdpa with queries and keys of width 0 and the scores as bias: forward fused, backward composed. O(B Lq Lk) memory,
/// as the scores themselves. Also torch.ops.attend.attend_scores.
AttentionResult attend_scores(const at::Tensor& scores, const at::Tensor& value,
                              const AttentionOptions& options = {});

/// Rows [..., D] scaled to length 1, as the cosine score takes them; a zero row stays zero and has gradient zero.
at::Tensor unit_rows(const at::Tensor& rows);

}  // namespace attend
