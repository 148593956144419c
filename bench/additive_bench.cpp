// Additive attention beside its composition in ATen, end to end through autograd.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>

#include "attend/ops/additive.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

/// One call on the projected inputs; `prepared` keys are made once, as a decoder does.
struct Problem {
  explicit Problem(const AdditiveCase& c) {
    query = at::randn({c.batch, c.queries, c.width}).set_requires_grad(true);
    key = at::randn({c.batch, c.keys, c.width}).set_requires_grad(true);
    value = at::randn({c.batch, c.keys, c.value_width}).set_requires_grad(true);
    score_weight = at::randn({c.width}).mul_(0.1).set_requires_grad(true);
    cotangent = at::randn({c.batch, c.queries, c.value_width});
    keys = c.prepared ? prepare_additive_keys(key) : AdditiveKeys{key, {}};
  }
  at::Tensor ours() const { return std::get<0>(additive(query, keys, value, score_weight)); }
  at::Tensor theirs() const {
    return std::get<0>(compose::additive(query, key, value, score_weight));
  }
  void backward(const at::Tensor& from) const {
    torch::autograd::grad({from}, {query, key, value, score_weight}, {cotangent},
                          /*retain_graph=*/true);
  }
  at::Tensor query, key, value, score_weight, cotangent;
  AdditiveKeys keys;
};

std::function<void()> one_side(const std::shared_ptr<Problem>& p, at::Tensor (Problem::*f)() const,
                               Direction direction) {
  switch (direction) {
    case Direction::kForward:
      return [p, f] {
        const at::NoGradGuard off;
        (p.get()->*f)();
      };
    case Direction::kBackward:
      return [p, kept = (p.get()->*f)()] { p->backward(kept); };
    default:
      return [p, f] { p->backward((p.get()->*f)()); };
  }
}

Case make_case(const AdditiveCase& c, Direction direction) {
  const double pairs = static_cast<double>(c.batch * c.queries * c.keys);
  const bool forward = direction != Direction::kBackward,
             backward = direction != Direction::kForward;
  Case row;
  row.op = "additive";
  row.direction = direction;
  row.shape = {
      {"B", c.batch}, {"Lq", c.queries}, {"Lk", c.keys}, {"A", c.width}, {"Dv", c.value_width}};
  if (c.prepared) row.shape.emplace_back("prepared", 1);
  row.peer = "composition";
  // Multiplications and additions of the separable form, a division counted as one operation: 4.5 for a tanh forward and
  // 8.5 backward; the products with the values beside them. So ms → G tanh/s is B Lq Lk A / ms / 1e6.
  const auto width = static_cast<double>(c.width), value = static_cast<double>(c.value_width);
  row.flops =
      pairs * ((forward ? 4.5 * width + 2 * value : 0) + (backward ? 8.5 * width + 4 * value : 0));
  const double inputs =
      static_cast<double>(c.batch) *
      static_cast<double>((c.queries + c.keys) * c.width + c.keys * c.value_width);
  row.bytes = 4 * inputs * ((forward ? 1 : 0) + (backward ? 2 : 0));
  row.prepare = [=] {
    const auto p = std::make_shared<Problem>(c);
    return Runs{one_side(p, &Problem::ours, direction), one_side(p, &Problem::theirs, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const AdditiveCase& c : kAdditiveCases)
    for (const Direction d :
         {Direction::kForward, Direction::kBackward, Direction::kForwardBackward})
      rows.push_back(make_case(c, d));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
