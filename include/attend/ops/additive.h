#pragma once
#include "attend/ops/attention.h"

namespace attend {

/// Projected keys of a source sentence with what additive attention computes from them once, e^{2k}: made before the first
/// decoder step and used at every one, so that a step with one query has no exponential left per key.
struct AdditiveKeys {
  at::Tensor key;  // [B,Lk,A] = U h; gradients flow to it
  at::Tensor
      prepared;  // e^{2 key} in the kernel's own layout, without gradient; undefined where no kernel takes the key
};

/// Prepares key [B,Lk,A] (floating point; float and double on the CPU have a kernel). The key must not be changed in place
/// afterwards. Throws Error(kUsage) for another shape or dtype. Cost: B Lk A exponentials, as much memory as the key.
AdditiveKeys prepare_additive_keys(const at::Tensor& key);

/// attend::additive (attend/ops/attention.h) with prepared keys: the same bits, in less time.
///
///   const AdditiveKeys keys = prepare_additive_keys(at::linear(states, U));
///   for (…) std::tie(context, weights) = additive(at::linear(hidden, W, b).unsqueeze(1), keys, states, v, options);
AttentionResult additive(const at::Tensor& query, const AdditiveKeys& keys, const at::Tensor& value,
                         const at::Tensor& score_weight, const AttentionOptions& options = {});

}  // namespace attend
