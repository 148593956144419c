#pragma once
#include "attend/ops/decoder_step.h"
#include "ops/dispatch.h"

// What is bound to torch.ops.attend.decoder_step and its training and backward ops.
namespace attend {

#define ATTEND_STEP_TENSORS                                                                      \
  [[maybe_unused]] const at::Tensor &gates, [[maybe_unused]] const at::Tensor &state,            \
      [[maybe_unused]] const OptionalTensor &memory, [[maybe_unused]] const at::Tensor &key,     \
      [[maybe_unused]] const at::Tensor &value, [[maybe_unused]] const at::Tensor &weight_query, \
      [[maybe_unused]] const at::Tensor &score_weight,                                           \
      [[maybe_unused]] const at::Tensor &weight_context,                                         \
      [[maybe_unused]] const at::Tensor &weight_hidden,                                          \
      [[maybe_unused]] const OptionalTensor &bias,                                               \
      [[maybe_unused]] const OptionalTensor &prepared,                                           \
      [[maybe_unused]] const OptionalTensor &packed,                                             \
      [[maybe_unused]] const OptionalTensor &key_lengths,                                        \
      [[maybe_unused]] const OptionalTensor &mask, [[maybe_unused]] std::string_view cell
#define ATTEND_STEP_NAMES                                                                      \
  gates, state, memory, key, value, weight_query, score_weight, weight_context, weight_hidden, \
      bias, prepared, packed, key_lengths, mask, cell

/// (state, memory, context, weights, query, kept); memory is empty but for the LSTM. The last two are for backward.
using StepTrained =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
/// Gradients of gates, state, memory, key, value, weight_query, score_weight, weight_context, weight_hidden, bias.
using StepGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                                 at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

}  // namespace attend
