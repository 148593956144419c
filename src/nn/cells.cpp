#include "attend/nn/cells.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>

namespace attend::nn {

std::pair<at::Tensor, at::Tensor> lstm_step(const at::Tensor& gates, const at::Tensor& hidden,
                                            const at::Tensor& cell, const at::Tensor& weight_hh) {
  const auto part =
      (gates + at::linear(hidden, weight_hh)).chunk(4, -1);  // i, f, g, o: [..., H] each
  const at::Tensor c = at::sigmoid(part[1]) * cell + at::sigmoid(part[0]) * at::tanh(part[2]);
  return {at::sigmoid(part[3]) * at::tanh(c), c};
}

at::Tensor gru_step(const at::Tensor& gates, const at::Tensor& hidden,
                    const at::Tensor& weight_hh) {
  const std::int64_t h = weight_hh.size(1);
  const auto rz =
      at::sigmoid(gates.narrow(-1, 0, 2 * h) + at::linear(hidden, weight_hh.narrow(0, 0, 2 * h)))
          .chunk(2, -1);
  const at::Tensor n = at::tanh(gates.narrow(-1, 2 * h, h) +
                                at::linear(rz[0] * hidden, weight_hh.narrow(0, 2 * h, h)));
  return hidden + rz[1] * (n - hidden);
}

}  // namespace attend::nn
