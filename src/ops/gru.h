#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

#include "attend/ops/gru.h"
#include "ops/dispatch.h"

// What is bound to torch.ops.attend.gru, .gru_training and .gru_backward, one function per dispatch key.
namespace attend {

using GruResult = std::tuple<at::Tensor, at::Tensor>;               // output, h_n
using GruTrained = std::tuple<at::Tensor, at::Tensor, at::Tensor>;  // and what backward needs
using GruGradients =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// The signature of the schema: what one layer takes.
#define ATTEND_GRU_ARGUMENTS                                                                     \
  const at::Tensor &input, const at::Tensor &weight_ih, const at::Tensor &weight_hh,             \
      [[maybe_unused]] const OptionalTensor &bias_ih,                                            \
      [[maybe_unused]] const OptionalTensor &bias_hh, [[maybe_unused]] const OptionalTensor &h0, \
      [[maybe_unused]] const OptionalTensor &lengths,                                            \
      [[maybe_unused]] const OptionalTensor &input_mask,                                         \
      [[maybe_unused]] const OptionalTensor &recurrent_mask, [[maybe_unused]] bool reverse,      \
      [[maybe_unused]] bool reset_before

GruResult gru_autograd(ATTEND_GRU_ARGUMENTS);
GruResult gru_cpu(ATTEND_GRU_ARGUMENTS);
GruResult gru_composed(ATTEND_GRU_ARGUMENTS);
GruResult gru_meta(ATTEND_GRU_ARGUMENTS);

/// gru_cpu that also returns what gru_backward_cpu reads. `workers` splits the batch; backward must be given the same.
GruTrained gru_training_cpu(ATTEND_GRU_ARGUMENTS, std::int64_t workers);
GruTrained gru_training_meta(ATTEND_GRU_ARGUMENTS, std::int64_t workers);

// `wanted`: which of the gradients of input, weight_ih and weight_hh to compute (bits 0, 1, 2); the others are empty.
#define ATTEND_GRU_BACKWARD_ARGUMENTS                                                            \
  [[maybe_unused]] const OptionalTensor &grad_output,                                            \
      [[maybe_unused]] const OptionalTensor &grad_h_n, [[maybe_unused]] const at::Tensor &saved, \
      const at::Tensor &input, const at::Tensor &weight_ih, const at::Tensor &weight_hh,         \
      [[maybe_unused]] const OptionalTensor &lengths,                                            \
      [[maybe_unused]] const OptionalTensor &input_mask,                                         \
      [[maybe_unused]] const OptionalTensor &recurrent_mask, [[maybe_unused]] bool reverse,      \
      [[maybe_unused]] bool reset_before, [[maybe_unused]] std::int64_t workers,                 \
      std::int64_t wanted

/// (dinput, dweight_ih, dweight_hh, dbias_ih, dbias_hh, dh0); an absent incoming gradient counts as zero.
GruGradients gru_backward_cpu(ATTEND_GRU_BACKWARD_ARGUMENTS);
GruGradients gru_backward_meta(ATTEND_GRU_BACKWARD_ARGUMENTS);

}  // namespace attend
