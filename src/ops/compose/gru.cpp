#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <utility>
#include <vector>

#include "attend/ops/gru.h"

namespace attend::compose {

std::tuple<at::Tensor, at::Tensor> gru(const at::Tensor& input, const at::Tensor& weight_ih,
                                       const at::Tensor& weight_hh, const at::Tensor& bias_ih,
                                       const at::Tensor& bias_hh, const GruOptions& options) {
  const std::int64_t batch = input.size(0), steps = input.size(1), hidden = weight_hh.size(1);
  at::Tensor x = input, valid;
  if (options.lengths.defined()) {
    const at::Tensor at = at::arange(steps, options.lengths.options());
    valid = (at.unsqueeze(0) < options.lengths.unsqueeze(1)).unsqueeze(2);  // [B,T,1]
    x = x.masked_fill(valid.logical_not(), 0);  // what lies there may be NaN
  }
  if (options.input_mask.defined()) x = x * options.input_mask.unsqueeze(1);
  const at::Tensor projected = at::linear(x, weight_ih, bias_ih);  // [B,T,3H]
  at::Tensor h = options.h0.defined() ? options.h0 : at::zeros({batch, hidden}, input.options());
  std::vector<at::Tensor> outputs(static_cast<std::size_t>(steps));
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::int64_t t = options.reverse ? steps - 1 - i : i;
    const at::Tensor masked = options.recurrent_mask.defined() ? h * options.recurrent_mask : h;
    const std::vector<at::Tensor> from_x = projected.select(1, t).chunk(3, 1);  // [B,H] each
    at::Tensor r, z, n;
    if (options.form == GruForm::kResetAfter) {
      const std::vector<at::Tensor> from_h = at::linear(masked, weight_hh, bias_hh).chunk(3, 1);
      r = at::sigmoid(from_x[0] + from_h[0]);
      z = at::sigmoid(from_x[1] + from_h[1]);
      n = at::tanh(from_x[2] + r * from_h[2]);
    } else {
      const at::Tensor b_rz = bias_hh.defined() ? bias_hh.narrow(0, 0, 2 * hidden) : bias_hh;
      const at::Tensor b_n = bias_hh.defined() ? bias_hh.narrow(0, 2 * hidden, hidden) : bias_hh;
      const auto from_h = at::linear(masked, weight_hh.narrow(0, 0, 2 * hidden), b_rz).chunk(2, 1);
      r = at::sigmoid(from_x[0] + from_h[0]);
      z = at::sigmoid(from_x[1] + from_h[1]);
      n = at::tanh(from_x[2] +
                   at::linear(r * masked, weight_hh.narrow(0, 2 * hidden, hidden), b_n));
    }
    const at::Tensor next = n + z * (h - n);
    at::Tensor& output = outputs[static_cast<std::size_t>(t)];
    if (valid.defined()) {
      const at::Tensor now = valid.select(1, t);  // [B,1]
      h = at::where(now, next, h);
      output = next.masked_fill(now.logical_not(), 0);
    } else {
      h = output = next;
    }
  }
  const at::Tensor output =
      steps > 0 ? at::stack(outputs, 1) : at::zeros({batch, 0, hidden}, input.options());
  return {output, h};
}

}  // namespace attend::compose
