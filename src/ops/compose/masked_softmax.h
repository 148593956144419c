#pragma once
#include <cstdint>

#include "attend/ops/attention.h"

/// What every composition shares once its scores exist. All of it is plain ATen, so it runs on any device and dtype and can
/// be differentiated twice.
namespace attend::compose {

/// Which key each query may attend to: bool, broadcastable to [B,H,Lq,Lk]; undefined when every query sees every key.
at::Tensor visibility(const AttentionOptions& options, std::int64_t query_count,
                      std::int64_t key_count, const at::Device& device);

/// rows [B,H,L,D] with those zeroed that nobody sees, so that a NaN in them is harmless, forward and backward. `seen`
/// [B,H,L,1] bool; undefined: all are seen.
at::Tensor hide_unseen(const at::Tensor& rows, const at::Tensor& seen);

/// softmax over the last axis among visible keys; rows that see none are 0. scores [B,H,Lq,Lk].
at::Tensor masked_softmax(const at::Tensor& scores, const at::Tensor& visible);

/// 1 / (1 − p) where the weight is kept, else 0: of the weights' [B,H,Lq,Lk] and dtype, a pure function of options.seed and the place.
at::Tensor dropout_factors(const AttentionOptions& options, const at::Tensor& weights);

/// scores (scaled, without bias) [B,H,Lq,Lk] and value [B,H,Lk,Dv] to the result [B,H,Lq,Dv], weights [B,H,Lq,Lk].
AttentionResult attend_over(const at::Tensor& scores, const at::Tensor& value,
                            const at::Tensor& visible, const AttentionOptions& options);

/// Drops the head axis that ops without heads carry inside: [B,1,…] to [B,…].
AttentionResult without_heads(const AttentionResult& result);
/// The same options with a head axis put into mask and bias.
AttentionOptions with_head_axis(AttentionOptions options);

}  // namespace attend::compose
