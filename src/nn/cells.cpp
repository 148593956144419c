#include "attend/nn/cells.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>

namespace attend::nn {

std::pair<at::Tensor, at::Tensor> lstm_step(const at::Tensor& gates, const at::Tensor& hidden,
                                            const at::Tensor& cell, const StepLinear& recurrent) {
  const auto part = (gates + recurrent(hidden)).chunk(4, -1);  // i, f, g, o: [..., H] each
  const at::Tensor c = at::sigmoid(part[1]) * cell + at::sigmoid(part[0]) * at::tanh(part[2]);
  return {at::sigmoid(part[3]) * at::tanh(c), c};
}

GruRecurrence::GruRecurrence(const at::Tensor& weight_hh)
    : reset_update(weight_hh.narrow(0, 0, 2 * weight_hh.size(1))),
      candidate(weight_hh.narrow(0, 2 * weight_hh.size(1), weight_hh.size(1))) {}

at::Tensor gru_step(const at::Tensor& gates, const at::Tensor& hidden,
                    const GruRecurrence& recurrent) {
  const std::int64_t h = hidden.size(-1);
  const auto rz =
      at::sigmoid(gates.narrow(-1, 0, 2 * h) + recurrent.reset_update(hidden)).chunk(2, -1);
  const at::Tensor n = at::tanh(gates.narrow(-1, 2 * h, h) + recurrent.candidate(rz[0] * hidden));
  return hidden + rz[1] * (n - hidden);
}

}  // namespace attend::nn
