// The vocabulary loss beside torch's linear and cross_entropy, end to end through autograd.
#include <ATen/core/Reduction.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>

#include "attend/ops/vocabulary_loss.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

constexpr double kSmoothing = 0.1;

struct VocabularyProblem {
  explicit VocabularyProblem(const VocabularyCase& c) {
    input = at::randn({c.rows, c.channels}).set_requires_grad(true);
    weight = at::randn({c.words, c.channels})
                 .div_(std::sqrt(static_cast<double>(c.channels)))
                 .set_requires_grad(true);
    target = at::randint(c.words, {c.rows}, at::kLong);
  }
  at::Tensor ours() const {
    return vocabulary_loss(input, weight, {}, target, {.label_smoothing = kSmoothing});
  }
  at::Tensor theirs() const {
    return at::cross_entropy_loss(at::linear(input, weight), target, {}, at::Reduction::Mean, -100,
                                  kSmoothing);
  }
  at::Tensor input, weight, target;
};

using VocabularySide = at::Tensor (VocabularyProblem::*)() const;

std::function<void()> one_side(const std::shared_ptr<VocabularyProblem>& p, VocabularySide side,
                               Direction direction) {
  if (direction == Direction::kForward)
    return [p, side] {
      const at::NoGradGuard off;
      (p.get()->*side)();
    };
  return [p, side] { torch::autograd::grad({(p.get()->*side)()}, {p->input, p->weight}); };
}

Case make_case(const VocabularyCase& c, Direction direction) {
  const double products = static_cast<double>(c.rows * c.channels) * static_cast<double>(c.words);
  const bool forward = direction == Direction::kForward;
  Case row;
  row.op = "vocabulary_loss";
  row.direction = direction;
  row.shape = {{"N", c.rows}, {"C", c.channels}, {"V", c.words}};
  row.peer = "libtorch";
  row.flops = products * (forward ? 2 : 6);
  row.bytes = 4 * static_cast<double>((c.rows + c.words) * c.channels) * (forward ? 1 : 2);
  row.prepare = [=] {
    const auto p = std::make_shared<VocabularyProblem>(c);
    return Runs{one_side(p, &VocabularyProblem::ours, direction),
                one_side(p, &VocabularyProblem::theirs, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const Direction d : {Direction::kForward, Direction::kForwardBackward})
    for (const VocabularyCase& c : kVocabularyCases) rows.push_back(make_case(c, d));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
