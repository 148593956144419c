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

inline constexpr const char* kStepOp = "attend::decoder_step";

/// The cell of this name. Throws Error(kUsage).
DecoderCell step_cell(std::string_view name);
/// The shapes and dtypes that every path asks for. Throws Error(kUsage).
void check_step(ATTEND_STEP_TENSORS);
/// nullptr when the kernels can take these tensors; otherwise why not.
const char* why_step_composed(ATTEND_STEP_TENSORS);

at::Tensor decoder_step_pack_cpu(const at::Tensor& weight_query, const at::Tensor& weight_context,
                                 const at::Tensor& weight_hidden, std::string_view cell);
/// Of checked arguments that the kernels can take.
StepTrained decoder_step_fused(ATTEND_STEP_TENSORS);
StepGradients decoder_step_backward_cpu(const OptionalTensor& grad_state,
                                        const OptionalTensor& grad_memory,
                                        const OptionalTensor& grad_context,
                                        const OptionalTensor& grad_weights, ATTEND_STEP_TENSORS,
                                        const at::Tensor& memory_after, const at::Tensor& context,
                                        const at::Tensor& weights, const at::Tensor& query,
                                        const at::Tensor& kept, bool grad_parameters);

}  // namespace attend
