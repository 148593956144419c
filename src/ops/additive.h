#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

#include "ops/attention_arguments.h"

// What is bound to torch.ops.attend.additive, .additive_prepare, .additive_training and .additive_backward, one function per dispatch key.
namespace attend {

#define ATTEND_ADDITIVE_TENSORS                                            \
  const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, \
      const at::Tensor &score_weight, [[maybe_unused]] const ::attend::OptionalTensor &prepared

inline constexpr const char* kAdditiveOp = "attend::additive";

/// Throws kUsage for tensors or options that make no call of attend::additive.
void check_additive(ATTEND_ADDITIVE_TENSORS, const AttentionOptions& o);
/// Why the kernel does not take them; null if it does.
const char* additive_why_composed(const at::Tensor& query, const at::Tensor& key,
                                  const at::Tensor& value, const at::Tensor& score_weight,
                                  const at::Tensor& bias);

AttentionResult additive_autograd(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS);
AttentionResult additive_cpu(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS);
AttentionResult additive_composed(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS);
AttentionResult additive_meta(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS);

/// key [B,Lk,A] -> [B,Lk,A'], A' the width rounded up to whole vectors.
at::Tensor additive_prepare_cpu(const at::Tensor& key);
at::Tensor additive_prepare_meta(const at::Tensor& key);

/// What backward needs besides: (output, weights, e^{2k} in the layout of additive_prepare, rows that some query sees; empty when
/// prepared was given). For tensors that the kernel takes.
using AdditiveTrained = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
AdditiveTrained additive_training_cpu(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS);
AdditiveTrained additive_training_meta(ATTEND_ADDITIVE_TENSORS, ATTEND_ATTENTION_PARAMETERS);

/// (dquery, dkey, dvalue, dscore_weight, dscores [B,Lq,Lk]); weights: what forward returned, or none: they are made again.
/// dscores, the bias' gradient before it is summed to the bias' shape, and dvalue are empty unless asked for.
using AdditiveGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
AdditiveGradients additive_backward_cpu(const OptionalTensor& grad_output,
                                        const OptionalTensor& grad_weights, ATTEND_ADDITIVE_TENSORS,
                                        const OptionalTensor& weights, bool grad_scores,
                                        bool grad_value, ATTEND_ATTENTION_PARAMETERS);
AdditiveGradients additive_backward_meta(const OptionalTensor& grad_output,
                                         const OptionalTensor& grad_weights,
                                         ATTEND_ADDITIVE_TENSORS, const OptionalTensor& weights,
                                         bool grad_scores, bool grad_value,
                                         ATTEND_ATTENTION_PARAMETERS);

}  // namespace attend
