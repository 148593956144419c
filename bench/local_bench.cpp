// Local attention beside PyTorch's scaled_dot_product_attention with the same window as a dense mask (local-m, whose weights are
// those of the masked softmax): ours grows with L, the peer with L².
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/le.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>

#include "attend/ops/local.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

struct Local {
  explicit Local(const LocalCase& c) {
    const auto make = [&] { return at::randn({1, c.length, c.width}).set_requires_grad(true); };
    query = make(), key = make(), value = make(), cotangent = at::randn({1, c.length, c.width});
    centre = at::arange(c.length, at::TensorOptions(at::kFloat)).unsqueeze(0);
    options.window = c.window, options.gaussian = false;
    const at::Tensor j = at::arange(c.length);
    mask = (j.unsqueeze(1) - j).abs().le(c.window);  // made once: not part of what is timed
  }
  at::Tensor ours() const { return std::get<0>(local(query, key, value, centre, options)); }
  at::Tensor peer() const {
    return at::scaled_dot_product_attention(query.unsqueeze(1), key.unsqueeze(1),
                                            value.unsqueeze(1), mask, 0.0, false, 1.0)
        .squeeze(1);
  }
  void backward(const at::Tensor& from) const {
    torch::autograd::grad({from}, {query, key, value}, {cotangent}, /*retain_graph=*/true);
  }
  at::Tensor query, key, value, cotangent, centre, mask;
  LocalOptions options;
};

std::function<void()> one_side(const std::shared_ptr<Local>& p, at::Tensor (Local::*f)() const,
                               Direction direction) {
  if (direction == Direction::kForward)
    return [p, f] {
      const at::NoGradGuard off;
      ((*p).*f)();
    };
  return [p, kept = ((*p).*f)()] { p->backward(kept); };
}

Case make_case(const LocalCase& c, Direction direction) {
  const bool forward = direction == Direction::kForward;
  const double pairs = static_cast<double>(c.length) * static_cast<double>(2 * c.window + 1),
               rows = static_cast<double>(c.length * c.width);
  Case row;
  row.op = "local";
  row.direction = direction;
  row.shape = {{"L", c.length}, {"D", c.width}, {"window", c.window}};
  row.peer = "libtorch";
  row.flops = pairs * static_cast<double>(c.width) * (forward ? 4 : 10);
  row.bytes = rows * 4 * (forward ? 4 : 8);
  row.prepare = [=] {
    const auto p = std::make_shared<Local>(c);
    return Runs{one_side(p, &Local::ours, direction), one_side(p, &Local::peer, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const Direction d : {Direction::kForward, Direction::kBackward})
    for (const LocalCase& c : kLocalCases) rows.push_back(make_case(c, d));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
