#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

#include "attend/ops/lstm.h"
#include "ops/dispatch.h"

// What is bound to torch.ops.attend.lstm, .lstm_training and .lstm_backward, one function per dispatch key.
namespace attend {

using LstmResult = std::tuple<at::Tensor, at::Tensor, at::Tensor>;  // output, h_n, c_n
using LstmTrained =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;  // and what backward needs
using LstmGradients =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// The signature of the schema: what one layer takes.
#define ATTEND_LSTM_ARGUMENTS                                                                    \
  const at::Tensor &input, const at::Tensor &weight_ih, const at::Tensor &weight_hh,             \
      const at::Tensor &bias, [[maybe_unused]] const OptionalTensor &h0,                         \
      [[maybe_unused]] const OptionalTensor &c0, [[maybe_unused]] const OptionalTensor &lengths, \
      [[maybe_unused]] const OptionalTensor &input_mask,                                         \
      [[maybe_unused]] const OptionalTensor &recurrent_mask, [[maybe_unused]] bool reverse

LstmResult lstm_autograd(ATTEND_LSTM_ARGUMENTS);
LstmResult lstm_cpu(ATTEND_LSTM_ARGUMENTS);
LstmResult lstm_composed(ATTEND_LSTM_ARGUMENTS);
LstmResult lstm_meta(ATTEND_LSTM_ARGUMENTS);

/// lstm_cpu that also returns what lstm_backward_cpu reads. `workers` splits the batch; backward must be given the same.
LstmTrained lstm_training_cpu(ATTEND_LSTM_ARGUMENTS, std::int64_t workers);
LstmTrained lstm_training_meta(ATTEND_LSTM_ARGUMENTS, std::int64_t workers);

// `wanted`: which of the gradients of input, weight_ih and weight_hh to compute (bits 0, 1, 2); the others are empty.
#define ATTEND_LSTM_BACKWARD_ARGUMENTS                                                           \
  [[maybe_unused]] const OptionalTensor &grad_output,                                            \
      [[maybe_unused]] const OptionalTensor &grad_h_n,                                           \
      [[maybe_unused]] const OptionalTensor &grad_c_n, [[maybe_unused]] const at::Tensor &saved, \
      const at::Tensor &input, const at::Tensor &weight_ih, const at::Tensor &weight_hh,         \
      [[maybe_unused]] const OptionalTensor &lengths,                                            \
      [[maybe_unused]] const OptionalTensor &input_mask,                                         \
      [[maybe_unused]] const OptionalTensor &recurrent_mask, [[maybe_unused]] bool reverse,      \
      [[maybe_unused]] std::int64_t workers, std::int64_t wanted

/// (dinput, dweight_ih, dweight_hh, dbias, dh0, dc0); an absent incoming gradient counts as zero.
LstmGradients lstm_backward_cpu(ATTEND_LSTM_BACKWARD_ARGUMENTS);
LstmGradients lstm_backward_meta(ATTEND_LSTM_BACKWARD_ARGUMENTS);

/// The shapes and dtypes that every path asks for. Throws Error(kUsage).
void check_lstm(const at::Tensor& input, const at::Tensor& weight_ih, const at::Tensor& weight_hh,
                const at::Tensor& bias, const LstmOptions& options);

}  // namespace attend
