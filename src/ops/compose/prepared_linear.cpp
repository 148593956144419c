#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/round.h>
#include <ATen/ops/where.h>

#include "attend/ops/prepared_linear.h"

namespace attend::compose {
namespace {

/// The step of each row, kept as a column; 0 becomes 1, which leaves a row of zeros as it is.
at::Tensor prepared_steps(const at::Tensor& x) {
  const at::Tensor step = x.abs().amax(-1, true) / 127;
  return at::where(step == 0, at::Scalar(1.0), step).to(x.scalar_type());
}

}  // namespace

at::Tensor int8_linear(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor t = prepared_steps(input), s = prepared_steps(weight);  // […,1] [O,1]
  const at::Tensor x = at::round(input * t.reciprocal()), w = at::round(weight / s);
  const at::Tensor sum = at::linear(x.to(at::kDouble), w.to(at::kDouble)).to(input.scalar_type());
  const at::Tensor y = sum * (s.squeeze(-1) * t);
  return bias.defined() ? y + bias : y;
}

}  // namespace attend::compose
