#pragma once
#include "attend/ops/attention.h"

namespace attend {

/// Attention whose weights are a sparsemax instead of a softmax (Martins and Astudillo 2016, eqs. 1 to 3): the point of the
/// simplex that is nearest to the scores, so that most weights are exactly 0 and what a query looked at is a short list.
///   s_ij = scale · <q_i, k_j> + bias_ij,  w_ij = max(0, s_ij − τ_i) with τ_i such that Σ_j w_ij = 1,  output_i = Σ_j w_ij v_j
/// query [B,H,Lq,D], key [B,Hkv,Lk,D], value [B,Hkv,Lk,Dv]; H a multiple of Hkv: query head h reads key head h / (H / Hkv).
/// scale: 1/√D unless given; larger scores make the weights sparser. Returns [B,H,Lq,Dv] and [B,H,Lq,Lk].
/// All of AttentionOptions. Any floating-point dtype and device; float and double on the CPU run the kernel, unless a bias or
/// dropout is given: these run the definition. Gradients flow to query, key, value (and bias); second derivatives go through
/// the definition. A query that sees no key gives 0 and gradient 0; hidden keys are never read.
/// Throws Error(kUsage) naming the argument. Cost: forward 2 D operations for every pair that is seen and 2 Dv for every weight
/// above 0; memory O(Lk) beyond the results, in backward O(B Hkv Lk).
AttentionResult sparsemax(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const AttentionOptions& options = {});

namespace compose {
AttentionResult sparsemax(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const AttentionOptions& options = {});
}  // namespace compose
}  // namespace attend
