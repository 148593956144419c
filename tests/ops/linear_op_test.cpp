// attend::linear beside libtorch's linear map and activations: values, gradients, second derivatives, strides, dispatch, messages.
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "attend/ops/linear.h"
#include "support/compare.h"
#include "support/gradcheck.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend {
namespace {

using test::as_good_as;
using test::random_tensor;

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kGelu,
                                       Activation::kGeluTanh};
using Linear = decltype(&linear);

struct Outcome {
  at::Tensor output;
  std::vector<at::Tensor> gradients;
};

Outcome run(Linear f, const std::vector<at::Tensor>& inputs, Activation a, at::ScalarType dtype) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& in : inputs)
    leaves.push_back(in.to(dtype).clone().set_requires_grad(true));
  leaves.resize(3);
  Outcome out;
  out.output = f(leaves[0], leaves[1], leaves[2], a);
  leaves.resize(inputs.size());
  out.gradients =
      torch::autograd::grad({out.output}, leaves, {random_tensor(out.output.sizes(), 5).to(dtype)});
  return out;
}

/// Leading dimensions of the input, I, O. The first are too few rows for the fused path, the others take it.
struct Shape {
  std::vector<std::int64_t> lead;
  std::int64_t in, out;
  bool fused;
};
const std::vector<Shape> kShapes = {
    {{}, 3, 2, false},         {{1}, 1, 1, false},     {{0}, 3, 4, false},
    {{2, 3}, 5, 4, false},     {{48}, 1, 1, true},     {{7, 9}, 33, 31, true},
    {{3, 5, 7}, 16, 48, true}, {{113}, 600, 65, true}, {{600}, 40, 100, true}};

TEST(LinearOp, IsLibtorchs) {
  for (const Shape& s : kShapes)
    for (const Activation a : kActivations)
      for (const bool with_bias : {true, false}) {
        auto shape = s.lead;
        shape.push_back(s.in);
        std::vector<at::Tensor> inputs{random_tensor(shape, 1), random_tensor({s.out, s.in}, 2)};
        if (with_bias) inputs.push_back(random_tensor({s.out}, 3));
        const Outcome truth = run(&compose::linear, inputs, a, at::kDouble),
                      rough = run(&compose::linear, inputs, a, at::kFloat);
        for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
          const Outcome ours = run(&linear, inputs, a, dtype);
          EXPECT_EQ(last_dispatch().path, s.fused ? Path::kFused : Path::kComposed);
          EXPECT_TRUE(as_good_as(ours.output, rough.output, truth.output))
              << at::IntArrayRef(shape) << static_cast<int>(a);
          for (std::size_t i = 0; i < inputs.size(); ++i)
            EXPECT_TRUE(as_good_as(ours.gradients[i], rough.gradients[i], truth.gradients[i]))
                << at::IntArrayRef(shape) << static_cast<int>(a) << ' ' << i;
        }
      }
}

TEST(LinearOp, Gradients) {
  for (const Activation a : kActivations)
    test::expect_gradients(
        [&](const std::vector<at::Tensor>& in) {
          return std::vector<at::Tensor>{attend::linear(in[0], in[1], in[2], a)};
        },
        {{"input", random_tensor({50, 3}, 1)},
         {"weight", random_tensor({4, 3}, 2)},
         {"bias", random_tensor({4}, 3)}});
}

TEST(LinearOp, OnlyTheGradientsThatAreWanted) {
  const at::Tensor x = random_tensor({60, 5}, 1), w = random_tensor({4, 5}, 2),
                   b = random_tensor({4}, 3);
  for (int wanted = 1; wanted < 8; ++wanted) {
    std::vector<at::Tensor> in{x.clone(), w.clone(), b.clone()}, leaves, expected_leaves,
        copy{x.clone(), w.clone(), b.clone()};
    for (int i = 0; i < 3; ++i)
      if ((wanted >> i) & 1)
        leaves.push_back(in[i].set_requires_grad(true)),
            expected_leaves.push_back(copy[i].set_requires_grad(true));
    const auto ours = torch::autograd::grad(
        {attend::linear(in[0], in[1], in[2], Activation::kRelu).square().sum()}, leaves);
    const auto theirs = torch::autograd::grad(
        {compose::linear(copy[0], copy[1], copy[2], Activation::kRelu).square().sum()},
        expected_leaves);
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_LT(test::relative_error(ours[i], theirs[i]), 1e-14);
  }
}

TEST(LinearOp, SecondDerivativeIsTheDefinitions) {
  for (const Activation a : kActivations) {
    const auto second = [&](Linear f) {
      const at::Tensor x = random_tensor({50, 3}, 1).set_requires_grad(true),
                       w = random_tensor({4, 3}, 2).set_requires_grad(true);
      const auto first =
          torch::autograd::grad({f(x, w, {}, a).pow(3).sum()}, {x, w}, {}, true, true);
      return torch::autograd::grad({first[0].square().sum() + first[1].square().sum()}, {x, w});
    };
    const auto ours = second(&linear), theirs = second(&compose::linear);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_LT(test::relative_error(ours[i], theirs[i]), 1e-13);
  }
}

TEST(LinearOp, StridesChangeNothing) {
  const at::Tensor x = random_tensor({70, 20}, 1, 1, at::kFloat),
                   w = random_tensor({30, 20}, 2, 1, at::kFloat);
  const at::Tensor plain = attend::linear(x, w);
  EXPECT_TRUE(at::equal(attend::linear(x.t().contiguous().t(), w), plain));
  EXPECT_TRUE(at::equal(attend::linear(x, w.t().contiguous().t()), plain));
  EXPECT_TRUE(at::equal(attend::linear(x.repeat({1, 2}).as_strided({70, 20}, {40, 1}), w), plain));
  const at::Tensor spread = at::zeros({140, 40}, at::kFloat);
  const at::Tensor every_other = spread.as_strided({70, 20}, {80, 2});  // no stride of 1
  every_other.copy_(x);
  EXPECT_TRUE(at::equal(attend::linear(every_other, w), plain));
  EXPECT_EQ(last_dispatch().path, Path::kFused);
}

TEST(LinearOp, ExpandedCotangentAndManyThreads) {
  const at::Tensor x = random_tensor({400, 200}, 1, 1, at::kFloat),
                   w = random_tensor({300, 200}, 2, 1, at::kFloat);
  std::vector<at::Tensor> results;
  for (const int n : {1, 2, 3}) {
    const test::WithThreads threads(n);
    const at::Tensor leaf = w.clone().set_requires_grad(true);
    results.push_back(
        torch::autograd::grad({attend::linear(x, leaf, {}, Activation::kRelu).sum()}, {leaf})[0]);
  }
  EXPECT_TRUE(at::equal(results[0], results[1]));
  EXPECT_TRUE(at::equal(results[0], results[2]));
}

TEST(LinearOp, EveryTarget) {
  const at::Tensor x = random_tensor({61, 70}, 1), w = random_tensor({33, 70}, 2),
                   truth = compose::linear(x, w, {}, Activation::kRelu);
  const at::Tensor rough =
      compose::linear(x.to(at::kFloat), w.to(at::kFloat), {}, Activation::kRelu);
  test::for_each_target([&] {
    EXPECT_TRUE(as_good_as(
        attend::linear(x.to(at::kFloat), w.to(at::kFloat), {}, Activation::kRelu), rough, truth));
  });
}

TEST(LinearOp, SaysWhatIsWrongAndWhyItWasNotFused) {
  const auto says = [](const std::string& part, const std::function<void()>& f) {
    try {
      f();
      ADD_FAILURE() << "accepted: " << part;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  const at::Tensor x = random_tensor({2, 5}, 1), w = random_tensor({4, 6}, 2);
  says("attend::linear: input has I=5 (shape [2, 5]) but weight set I=6",
       [&] { attend::linear(x, w); });
  says("bias has O=5 (shape [5]) but weight set O=4", [&] {
    attend::linear(x, random_tensor({4, 5}, 1), x[0]);
  });
  says("weight", [&] { attend::linear(x, x[0]); });
  says("not a scalar", [&] { attend::linear(x[0][0], w); });
  says("input", [&] { attend::linear({}, w); });
  says("input", [&] { attend::linear(x.to(at::kFloat), random_tensor({4, 5}, 1)); });
  attend::linear(x, random_tensor({4, 5}, 1));
  EXPECT_STREQ(last_dispatch().reason, "there are too few rows");
  attend::linear(at::zeros({100, 5}, at::kBFloat16), at::zeros({4, 5}, at::kBFloat16));
  EXPECT_EQ(last_dispatch().path, Path::kComposed);
}

}  // namespace
}  // namespace attend
