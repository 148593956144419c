// DRAW's read and write beside their composition in ATen, end to end through autograd. Reading takes the image and the error
// image, as DRAW does: twice the channels.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>

#include "attend/ops/filterbank.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

using Read = decltype(&filterbank_read);
using Write = decltype(&filterbank_write);

struct FilterbankProblem {
  explicit FilterbankProblem(const FilterbankCase& c) : sizes(c) {
    const auto make = [](at::IntArrayRef shape, double scale) {
      return at::randn(shape).mul_(scale);
    };
    image = make({c.batch, 2 * c.channels, c.height, c.width}, 1).set_requires_grad(true);
    patch = make({c.batch, c.channels, c.filters, c.filters}, 1).set_requires_grad(true);
    window = make({c.batch, 5}, 0.3).set_requires_grad(true);
    grad_patch = make({c.batch, 2 * c.channels, c.filters, c.filters}, 1);
    grad_image = make({c.batch, c.channels, c.height, c.width}, 1);
  }
  at::Tensor run(Read f) const { return f(image, window, sizes.filters); }
  at::Tensor run(Write f) const { return f(patch, window, sizes.height, sizes.width); }
  void train(Read f) const { torch::autograd::grad({run(f)}, {image, window}, {grad_patch}); }
  void train(Write f) const { torch::autograd::grad({run(f)}, {patch, window}, {grad_image}); }

  FilterbankCase sizes;
  at::Tensor image, patch, window, grad_patch, grad_image;
};

template <class Op>
std::function<void()> one_side(const std::shared_ptr<FilterbankProblem>& p, Op f,
                               Direction direction) {
  if (direction == Direction::kForward)
    return [p, f] {
      const at::NoGradGuard off;
      p->run(f);
    };
  return [p, f] { p->train(f); };
}

template <class Op>
Case make_case(const char* name, Op ours, Op composed, const FilterbankCase& c,
               Direction direction) {
  Case row;
  row.op = name;
  row.direction = direction;
  row.shape = {{"B", c.batch},
               {"C", c.channels},
               {"height", c.height},
               {"width", c.width},
               {"N", c.filters}};
  row.peer = "composition";
  row.prepare = [=] {
    const auto p = std::make_shared<FilterbankProblem>(c);
    return Runs{one_side(p, ours, direction), one_side(p, composed, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const Direction d : {Direction::kForward, Direction::kForwardBackward})
    for (const FilterbankCase& c : kFilterbankCases) {
      rows.push_back(
          make_case<Read>("filterbank_read", &filterbank_read, &compose::filterbank_read, c, d));
      rows.push_back(make_case<Write>("filterbank_write", &filterbank_write,
                                      &compose::filterbank_write, c, d));
    }
  return rows;
}};

}  // namespace
}  // namespace attend::bench
