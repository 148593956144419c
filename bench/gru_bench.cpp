// The GRU layer beside libtorch's, end to end through autograd; in Cho's form, with masks, beside its composition.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/gru.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>

#include "attend/ops/gru.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

enum class GruSide { kOurs, kTorch, kComposition };

struct GruProblem {
  GruProblem(const LstmCase& c, bool cho) {
    const auto options = at::TensorOptions(at::kFloat);
    const double scale = 1 / std::sqrt(static_cast<double>(c.hidden));
    const auto leaf = [](at::Tensor t) { return t.set_requires_grad(true); };
    inputs = {leaf(at::randn({c.batch, c.time, c.input}, options)),
              leaf(at::randn({3 * c.hidden, c.input}, options).mul_(scale)),
              leaf(at::randn({3 * c.hidden, c.hidden}, options).mul_(scale)),
              leaf(at::randn({3 * c.hidden}, options)), leaf(at::randn({3 * c.hidden}, options))};
    state = at::zeros({1, c.batch, c.hidden}, options);
    cotangent = at::randn({c.batch, c.time, c.hidden}, options);
    if (!cho) return;
    with.form = GruForm::kResetBefore;
    with.input_mask = at::rand({c.batch, c.input}, options).gt(0.3).to(at::kFloat).div_(0.7);
    with.recurrent_mask = at::rand({c.batch, c.hidden}, options).gt(0.2).to(at::kFloat).div_(0.8);
  }

  at::Tensor output(GruSide side) const {
    const auto& p = inputs;
    if (side == GruSide::kTorch)
      return std::get<0>(
          at::gru(p[0], state, {p[1], p[2], p[3], p[4]}, true, 1, 0.0, true, false, true));
    const auto f = side == GruSide::kOurs ? &gru : &compose::gru;
    return std::get<0>(f(p[0], p[1], p[2], p[3], p[4], with));
  }
  void backward(const at::Tensor& from) const {
    torch::autograd::grad({from}, inputs, {cotangent}, /*retain_graph=*/true);
  }

  std::vector<at::Tensor> inputs;
  at::Tensor state, cotangent;
  GruOptions with;
};

std::function<void()> gru_side(const std::shared_ptr<GruProblem>& p, GruSide side,
                               Direction direction) {
  if (direction == Direction::kForwardBackward) return [p, side] { p->backward(p->output(side)); };
  if (direction == Direction::kBackward) return [p, kept = p->output(side)] { p->backward(kept); };
  return [p, side] {
    const at::NoGradGuard off;
    p->output(side);
  };
}

Case gru_case(const LstmCase& c, Direction direction, bool cho = false) {
  Case row;
  row.op = cho ? "gru_reset_before" : "gru";
  row.direction = direction;
  row.shape = {{"B", c.batch}, {"T", c.time}, {"I", c.input}, {"H", c.hidden}};
  row.peer = cho ? "composition" : "libtorch";
  const double forward =
      6.0 * static_cast<double>(c.batch * c.time * c.hidden * (c.input + c.hidden));
  row.flops = forward * (direction == Direction::kForward    ? 1
                         : direction == Direction::kBackward ? 2
                                                             : 3);
  row.prepare = [=] {
    const auto p = std::make_shared<GruProblem>(c, cho);
    return Runs{gru_side(p, GruSide::kOurs, direction),
                gru_side(p, cho ? GruSide::kComposition : GruSide::kTorch, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const LstmCase& c : kLstmCases)
    for (const Direction d :
         {Direction::kForward, Direction::kBackward, Direction::kForwardBackward})
      rows.push_back(gru_case(c, d));
  for (const std::size_t i : {0, 1})
    rows.push_back(gru_case(kLstmCases[i], Direction::kForwardBackward, /*cho=*/true));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
