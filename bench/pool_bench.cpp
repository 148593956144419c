// Attention pooling beside its composition in ATen, end to end through autograd.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>

#include "attend/ops/pool.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

using Pool = decltype(&pool);

/// Inputs, cotangents and, for the backward alone, a graph that is kept.
struct Problem {
  Problem(const PoolCase& c, at::ScalarType dtype) {
    const auto options = at::TensorOptions(dtype);
    value = at::randn({c.batch, c.time, c.channels}, options).set_requires_grad(true);
    weight = at::randn({c.channels}, options).mul_(0.1).set_requires_grad(true);
    bias = at::randn({c.time}, options).set_requires_grad(true);
    cotangent = at::randn({c.batch, c.channels}, options);
  }
  void forward(Pool f) const {
    const at::NoGradGuard off;
    f(value, weight, bias, {});
  }
  at::Tensor output(Pool f) const { return std::get<0>(f(value, weight, bias, {})); }
  void backward(const at::Tensor& from) const {
    torch::autograd::grad({from}, {value, weight, bias}, {cotangent}, /*retain_graph=*/true);
  }
  at::Tensor value, weight, bias, cotangent;
};

std::function<void()> one_side(const std::shared_ptr<Problem>& p, Pool f, Direction direction) {
  switch (direction) {
    case Direction::kForward:
      return [p, f] { p->forward(f); };
    case Direction::kBackward:
      return [p, kept = p->output(f)] { p->backward(kept); };
    default:
      return [p, f] { p->backward(p->output(f)); };
  }
}

Case make_case(const PoolCase& c, Direction direction, Dtype dtype) {
  const double elements = static_cast<double>(c.batch * c.time * c.channels);
  const double width = dtype == Dtype::kFloat ? 4 : 8;
  Case row;
  row.op = "pool";
  row.direction = direction;
  row.shape = {{"B", c.batch}, {"T", c.time}, {"C", c.channels}};
  row.dtype = dtype;
  row.peer = "composition";
  // Forward reads value; backward reads it and writes its gradient. Nothing of the size of value is
  // kept between them.
  const bool forward = direction != Direction::kBackward,
             backward = direction != Direction::kForward;
  row.flops = elements * ((forward ? 4 : 0) + (backward ? 10 : 0));
  row.bytes = elements * width * ((forward ? 1 : 0) + (backward ? 2 : 0));
  row.prepare = [=] {
    const auto p = std::make_shared<Problem>(c, dtype == Dtype::kFloat ? at::kFloat : at::kDouble);
    return Runs{one_side(p, &pool, direction), one_side(p, &compose::pool, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const PoolCase& c : kPoolCases)
    for (const Direction d :
         {Direction::kForward, Direction::kBackward, Direction::kForwardBackward})
      rows.push_back(make_case(c, d, Dtype::kFloat));
  rows.push_back(make_case(kPoolCases[0], Direction::kForwardBackward, Dtype::kDouble));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
