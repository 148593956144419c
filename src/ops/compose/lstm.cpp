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

#include "attend/ops/lstm.h"

namespace attend::compose {

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm(const at::Tensor& input,
                                                    const at::Tensor& weight_ih,
                                                    const at::Tensor& weight_hh,
                                                    const at::Tensor& bias,
                                                    const LstmOptions& options) {
  const std::int64_t batch = input.size(0), steps = input.size(1), hidden = weight_hh.size(1);
  at::Tensor x = input, valid;
  if (options.lengths.defined()) {
    const at::Tensor t = at::arange(steps, options.lengths.options());
    valid = (t.unsqueeze(0) < options.lengths.unsqueeze(1)).unsqueeze(2);  // [B,T,1]
    x = x.masked_fill(valid.logical_not(), 0);  // what lies there may be NaN
  }
  if (options.input_mask.defined()) x = x * options.input_mask.unsqueeze(1);
  const at::Tensor from_x = at::linear(x, weight_ih, bias);  // [B,T,4H]
  at::Tensor h = options.h0.defined() ? options.h0 : at::zeros({batch, hidden}, input.options());
  at::Tensor c = options.c0.defined() ? options.c0 : at::zeros({batch, hidden}, input.options());
  std::vector<at::Tensor> outputs(static_cast<std::size_t>(steps));
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::int64_t t = options.reverse ? steps - 1 - i : i;
    const at::Tensor masked = options.recurrent_mask.defined() ? h * options.recurrent_mask : h;
    const at::Tensor gates = from_x.select(1, t) + at::linear(masked, weight_hh);  // [B,4H]
    const std::vector<at::Tensor> ifgo = gates.chunk(4, 1);                        // [B,H] each
    const at::Tensor c_next = at::sigmoid(ifgo[1]) * c + at::sigmoid(ifgo[0]) * at::tanh(ifgo[2]);
    const at::Tensor h_next = at::sigmoid(ifgo[3]) * at::tanh(c_next);
    at::Tensor& output = outputs[static_cast<std::size_t>(t)];
    if (valid.defined()) {  // a finished row, or one that has not begun, keeps its state
      const at::Tensor now = valid.select(1, t);  // [B,1]
      h = at::where(now, h_next, h);
      c = at::where(now, c_next, c);
      output = h_next.masked_fill(now.logical_not(), 0);
    } else {
      h = output = h_next;
      c = c_next;
    }
  }
  const at::Tensor output = steps > 0 ? at::stack(outputs, 1)
                                      : at::zeros({batch, 0, hidden}, input.options());  // [B,T,H]
  return {output, h, c};
}

}  // namespace attend::compose
