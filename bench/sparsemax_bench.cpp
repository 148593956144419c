// Sparsemax attention beside its composition in ATen (which sorts every row of scores), end to end through autograd.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>

#include "attend/ops/sparsemax.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

using Sparsemax = decltype(&sparsemax);

struct SparsemaxProblem {
  explicit SparsemaxProblem(const SparsemaxCase& c) {
    const auto make = [&] { return at::randn({c.batch, c.heads, c.length, c.width}); };
    query = make().set_requires_grad(true), key = make().set_requires_grad(true);
    value = make().set_requires_grad(true), cotangent = make();
  }
  at::Tensor output(Sparsemax f) const { return std::get<0>(f(query, key, value, {})); }
  void backward(const at::Tensor& from) const {
    torch::autograd::grad({from}, {query, key, value}, {cotangent}, /*retain_graph=*/true);
  }
  at::Tensor query, key, value, cotangent;
};

std::function<void()> one_side(const std::shared_ptr<SparsemaxProblem>& p, Sparsemax f,
                               Direction direction) {
  if (direction == Direction::kBackward) return [p, kept = p->output(f)] { p->backward(kept); };
  return [p, f] {
    const at::NoGradGuard off;
    p->output(f);
  };
}

Case make_case(const SparsemaxCase& c, Direction direction) {
  const double rows = static_cast<double>(c.batch * c.heads * c.length);
  Case row;
  row.op = "sparsemax";
  row.direction = direction;
  row.shape = {{"B", c.batch}, {"H", c.heads}, {"L", c.length}, {"D", c.width}};
  row.peer = "composition";
  // The scores alone: how many weights are above 0 is the data's affair.
  row.flops = 2 * rows * static_cast<double>(c.length * c.width);
  row.bytes = rows * static_cast<double>(c.width) * 4 * (direction == Direction::kForward ? 4 : 8);
  row.prepare = [=] {
    const auto p = std::make_shared<SparsemaxProblem>(c);
    return Runs{one_side(p, &sparsemax, direction), one_side(p, &compose::sparsemax, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const Direction d : {Direction::kForward, Direction::kBackward})
    for (const SparsemaxCase& c : kSparsemaxCases) rows.push_back(make_case(c, d));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
