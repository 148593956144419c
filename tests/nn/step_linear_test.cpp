// nn::StepLinear beside at::linear at every step: values, gradients, what is refused.
//
// Mutations planted one at a time and caught: inputs of one pass left for the next; the gradients of the last step alone, or
// doubled; dx by the packed transpose; steps counted though W was not asked for; a second derivative let through.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "attend/base/error.h"
#include "attend/nn/step_linear.h"
#include "support/compare.h"
#include "support/gradcheck.h"
#include "support/message_of.h"
#include "support/threads.h"

namespace attend::nn {
namespace {

using test::random_tensor;
using Tensors = std::vector<at::Tensor>;

/// A small recurrence of four steps that uses a map of all of W and one of some of its rows.
template <class Map>
at::Tensor recurrence(const Tensors& x, const Map& all, const Map& some) {
  at::Tensor state = x[0], out = state.sum();  // [B,1,H]
  for (int t = 0; t < 4; ++t) {
    state = at::tanh(all(state).narrow(-1, 0, state.size(-1)) + some(state * state));
    out = out + (state * (t + 1)).sum();
  }
  return out;
}

at::Tensor with_steps(const Tensors& x) {
  return recurrence(x, StepLinear(x[1]), StepLinear(x[1].narrow(0, 1, x[0].size(-1))));
}

at::Tensor plain(const Tensors& x) {
  const auto map = [](const at::Tensor& w) {
    return std::function<at::Tensor(const at::Tensor&)>(
        [w](const at::Tensor& v) { return at::linear(v, w); });
  };
  return recurrence(x, map(x[1]), map(x[1].narrow(0, 1, x[0].size(-1))));
}

Tensors problem(std::int64_t batch, std::int64_t hidden, at::ScalarType dtype = at::kDouble) {
  return {random_tensor({batch, 1, hidden}, 1, 0.5, dtype).set_requires_grad(true),
          random_tensor({hidden + 3, hidden}, 2, 0.5, dtype).set_requires_grad(true)};
}

TEST(StepLinear, IsLinearWithItsGradients) {
  for (const auto& [batch, hidden] : {std::pair{1, 1}, {3, 5}, {65, 40}, {120, 33}}) {
    const Tensors x = problem(batch, hidden, at::kFloat);
    const Tensors wide = {x[0].detach().to(at::kDouble).set_requires_grad(true),
                          x[1].detach().to(at::kDouble).set_requires_grad(true)};
    const at::Tensor ours = with_steps(x), theirs = plain(x), truth = plain(wide);
    EXPECT_TRUE(test::as_good_as(ours, theirs, truth));
    const auto a = torch::autograd::grad({ours}, x), b = torch::autograd::grad({theirs}, x),
               c = torch::autograd::grad({truth}, wide);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(test::as_good_as(a[i], b[i], c[i])) << i;
  }
}

TEST(StepLinear, GradientsAreTheDifferences) {
  const Tensors x = problem(2, 4);
  test::expect_gradients([](const Tensors& t) { return Tensors{with_steps(t)}; },
                         {{"x", x[0].detach()}, {"weight", x[1].detach()}});
}

TEST(StepLinear, OneOfTheGradientsAlone) {
  Tensors x = problem(3, 5);
  const auto both = torch::autograd::grad({plain(x)}, x);
  for (const std::size_t i : {0, 1})
    EXPECT_LT(test::relative_error(torch::autograd::grad({with_steps(x)}, {x[i]})[0], both[i]),
              1e-14);
  x[0] = x[0].detach();  // the first step's input has no gradient
  EXPECT_LT(test::relative_error(torch::autograd::grad({with_steps(x)}, {x[1]})[0], both[1]),
            1e-14);
}

// What one pass left must not be added to the next.
TEST(StepLinear, AGraphThatIsKeptGivesTheSameTwice) {
  const Tensors x = problem(3, 5);
  const at::Tensor out = with_steps(x);
  torch::autograd::grad({out}, {x[0]}, {}, /*retain_graph=*/true);  // nor of one that left W out
  const auto once = torch::autograd::grad({out}, x, {}, /*retain_graph=*/true),
             twice = torch::autograd::grad({out}, x);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(test::same_bits(once[i], twice[i])) << i;
  const auto fresh = torch::autograd::grad({with_steps(x)}, x);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(test::same_bits(once[i], fresh[i])) << i;
}

TEST(StepLinear, AStepWithoutAPartInTheResultCountsNothing) {
  const Tensors x = problem(3, 5);
  const StepLinear map(x[1]);
  const at::Tensor unused = map(x[0] * 3), used = map(x[0]);
  const auto ours = torch::autograd::grad({(used * used).sum()}, x);
  const at::Tensor y = at::linear(x[0], x[1]);
  const auto theirs = torch::autograd::grad({(y * y).sum()}, x);
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_LT(test::relative_error(ours[i], theirs[i]), 1e-14) << i;
}

TEST(StepLinear, AnyNumberOfThreadsGivesTheSameBits) {
  const Tensors x = problem(65, 40, at::kFloat);
  Tensors first;
  for (const int threads : {1, 2, 3}) {
    const test::WithThreads with(threads);
    Tensors now = torch::autograd::grad({with_steps(x)}, x);
    if (first.empty()) first = now;
    for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(test::same_bits(first[i], now[i])) << threads;
  }
}

TEST(StepLinear, WithoutGradientsItIsLinearItself) {
  const Tensors x = problem(3, 5, at::kFloat);
  const at::NoGradGuard off;
  EXPECT_TRUE(test::same_bits(StepLinear(x[1])(x[0]), at::linear(x[0], x[1])));
  const Tensors half = {x[0].to(at::kHalf), x[1].to(at::kHalf)};
  EXPECT_TRUE(test::same_bits(StepLinear(half[1])(half[0]), at::linear(half[0], half[1])));
}

TEST(StepLinear, EmptyInputs) {
  const Tensors x = problem(3, 5);
  const at::Tensor none = x[0].narrow(0, 0, 0), out = StepLinear(x[1])(none);
  EXPECT_EQ(out.sizes(), at::IntArrayRef({0, 1, 8}));
  EXPECT_EQ(torch::autograd::grad({out.sum()}, {x[1]})[0].abs().sum().item<double>(), 0);
}

TEST(StepLinear, WhatDoesNotFitIsNamed) {
  const Tensors x = problem(3, 5);
  const StepLinear map(x[1]);
  EXPECT_EQ(test::message_of([&] {
              map(random_tensor({3, 4}, 1));
            }),
            "StepLinear: x [..., 4] Double does not fit weight [8, 5] Double");
  EXPECT_EQ(test::message_of([&] {
              map(random_tensor({3, 5}, 1, 1, at::kFloat));
            }),
            "StepLinear: x [..., 5] Float does not fit weight [8, 5] Double");
  EXPECT_EQ(test::message_of([&] {
              torch::autograd::grad({with_steps(x)}, x, {}, true, /*create_graph=*/true);
            }),
            "StepLinear: has no second derivative");
}

}  // namespace
}  // namespace attend::nn
