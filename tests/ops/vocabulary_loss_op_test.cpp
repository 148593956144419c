// attend::vocabulary_loss against compose::vocabulary_loss, against torch's cross_entropy and against itself.
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "attend/ops/vocabulary_loss.h"
#include "support/gradcheck.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend {
namespace {

using test::as_good_as;
using test::random_tensor;
using test::same_bits;
using Tensors = std::vector<at::Tensor>;

struct Case {
  std::int64_t rows, channels, words;
  bool bias;
  double smoothing;
  int ignore_every;  // 0: every row counts
  Reduction reduction;
  double scale;  // of the logits
};

const Case kCases[] = {
    {1, 1, 2, true, 0.1, 0, Reduction::kMean, 1},
    {4, 3, 1, true, 0, 0, Reduction::kSum, 1},
    {7, 5, 9, false, 0, 3, Reduction::kMean, 1},
    {50, 17, 63, true, 0.1, 4, Reduction::kSum, 1},
    {49, 31, 130, true, 0.2, 2, Reduction::kNone, 1},
    {33, 64, 200, false, 0.1, 0, Reduction::kNone, 1},
    {400, 20, 150, true, 0.1, 5, Reduction::kMean, 30},
    {97, 65, 1025, true, 0, 6, Reduction::kMean, 1},
};

struct Inputs {
  at::Tensor input, weight, bias, target;
  VocabularyLossOptions options;
  Inputs to(at::ScalarType dtype) const {
    return {input.to(dtype), weight.to(dtype), bias.defined() ? bias.to(dtype) : bias, target,
            options};
  }
};

Inputs make(const Case& c, std::uint64_t seed = 1) {
  // Values that float holds exactly, so that double and float see the same problem.
  const auto rounded = [](const at::Tensor& t) { return t.to(at::kFloat).to(at::kDouble); };
  Inputs in;
  in.input = rounded(random_tensor({c.rows, c.channels}, seed, 1.7));
  in.weight = rounded(random_tensor({c.words, c.channels}, seed + 1,
                                    1.7 * c.scale / std::sqrt(static_cast<double>(c.channels))));
  if (c.bias) in.bias = rounded(random_tensor({c.words}, seed + 2));
  in.options = {c.smoothing, c.ignore_every > 0 ? c.words / 2 : -100,
                c.reduction};  // a word of its own is ignored, like padding
  in.target = ((random_tensor({c.rows}, seed + 3) + 1) * (0.5 * static_cast<double>(c.words)))
                  .floor()
                  .to(at::kLong);
  if (c.ignore_every > 0)
    for (std::int64_t r = 0; r < c.rows; r += c.ignore_every)
      in.target[r] = in.options.ignore_index;
  return in;
}

using Loss = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                            const at::Tensor&, const VocabularyLossOptions&);

/// torch's own, without this project.
at::Tensor torchs(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                  const at::Tensor& target, const VocabularyLossOptions& o) {
  const auto reduction = o.reduction == Reduction::kMean  ? at::Reduction::Mean
                         : o.reduction == Reduction::kSum ? at::Reduction::Sum
                                                          : at::Reduction::None;
  return at::cross_entropy_loss(
      at::linear(input, weight, bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt),
      target, {}, reduction, o.ignore_index, o.label_smoothing);
}

/// (loss, dinput, dweight, dbias) of f for a cotangent that depends on the shapes only.
Tensors run(Loss f, const Inputs& in) {
  Tensors leaves;
  const auto leaf = [&](const at::Tensor& t) {
    if (!t.defined()) return t;
    leaves.push_back(t.detach().set_requires_grad(true));
    return leaves.back();
  };
  const at::Tensor input = leaf(in.input), weight = leaf(in.weight), bias = leaf(in.bias);
  const at::Tensor loss = f(input, weight, bias, in.target, in.options);
  Tensors result{loss.detach()};
  const at::Tensor cotangent = random_tensor(loss.sizes(), 11, 1, in.input.scalar_type()) + 0.5;
  for (const at::Tensor& g : torch::autograd::grad({loss}, leaves, {cotangent}))
    result.push_back(g);
  return result;
}

const char* const kNames[] = {"loss", "grad input", "grad weight", "grad bias"};

TEST(VocabularyLoss, AsGoodAsTheCompositionAndAsTorch) {
  for (const Case& c : kCases) {
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      SCOPED_TRACE(::testing::Message()
                   << "N " << c.rows << " C " << c.channels << " V " << c.words << " " << dtype);
      const Inputs in = make(c);
      const Tensors ours = run(&vocabulary_loss, in.to(dtype));
      EXPECT_EQ(last_dispatch().path, Path::kFused);
      EXPECT_STREQ(last_dispatch().op, "attend::vocabulary_loss_training");
      const Tensors theirs = run(&compose::vocabulary_loss, in.to(at::kFloat)),
                    truth = run(&compose::vocabulary_loss, in);
      const Tensors torch_truth = run(&torchs, in);
      ASSERT_EQ(ours.size(), theirs.size());
      for (std::size_t i = 0; i < ours.size(); ++i) {
        ASSERT_EQ(ours[i].scalar_type(), dtype);
        if (c.words == 1) {  // exactly 0: relative errors mean nothing
          EXPECT_LE(ours[i].abs().max().item<double>(), 1e-6) << kNames[i];
          continue;
        }
        EXPECT_TRUE(as_good_as(ours[i], theirs[i], truth[i])) << kNames[i];
        EXPECT_TRUE(as_good_as(ours[i], theirs[i], torch_truth[i]))
            << kNames[i] << " against torch";
      }
      const at::NoGradGuard off;
      const at::Tensor alone =
          vocabulary_loss(in.input.to(dtype), in.weight.to(dtype),
                          c.bias ? in.bias.to(dtype) : at::Tensor(), in.target, in.options);
      EXPECT_STREQ(last_dispatch().op, "attend::vocabulary_loss");
      if (c.words > 1) {
        EXPECT_TRUE(as_good_as(alone, theirs[0], truth[0])) << "loss without gradients";
      }
    }
  }
}

TEST(VocabularyLoss, GradientsAreCentralDifferences) {
  for (const Case& c : {Case{5, 3, 7, true, 0.1, 2, Reduction::kMean, 1},
                        Case{4, 2, 5, false, 0, 0, Reduction::kSum, 1},
                        Case{6, 3, 70, true, 0.3, 3, Reduction::kNone, 1}}) {
    const Inputs in = make(c, 3);
    std::vector<test::Named> named{{"input", in.input}, {"weight", in.weight}};
    if (c.bias) named.push_back({"bias", in.bias});
    for (const Loss f :
         {static_cast<Loss>(&vocabulary_loss), static_cast<Loss>(&compose::vocabulary_loss)})
      test::expect_gradients(
          [&](const Tensors& x) {
            return Tensors{f(x[0], x[1], c.bias ? x[2] : at::Tensor(), in.target, in.options)};
          },
          named);
  }
}

TEST(VocabularyLoss, SecondDerivativesAreCentralDifferences) {
  for (const Reduction reduction : {Reduction::kMean, Reduction::kNone}) {
    const Inputs in = make({4, 2, 5, true, 0.1, 3, reduction, 1}, 4);
    test::expect_gradients(
        [&](const Tensors& x) {
          Tensors leaves;
          for (const at::Tensor& t : x)
            leaves.push_back(t.requires_grad() ? t : t.detach().set_requires_grad(true));
          const at::AutoGradMode on(true);
          const at::Tensor loss =
              vocabulary_loss(leaves[0], leaves[1], leaves[2], in.target, in.options);
          return torch::autograd::grad({loss}, leaves, {random_tensor(loss.sizes(), 8)}, true,
                                       true);
        },
        {{"input", in.input}, {"weight", in.weight}, {"bias", in.bias}});
  }
}

TEST(VocabularyLoss, WorkedExample) {
  // docs/mechanisms/vocabulary_loss.md works this out by hand.
  const at::Tensor input = at::tensor({1.0, 2.0}, at::kDouble).view({1, 2});
  const at::Tensor weight = at::tensor({1.0, 0.0, 0.0, 1.0, -1.0, 0.0}, at::kDouble).view({3, 2});
  const at::Tensor target = at::zeros({1}, at::kLong);
  const at::Tensor plain = vocabulary_loss(input, weight, {}, target);
  const at::Tensor smoothed = vocabulary_loss(input, weight, {}, target, {.label_smoothing = 0.3});
  EXPECT_NEAR(plain.item<double>(), 1.349012, 1e-6);
  EXPECT_NEAR(smoothed.item<double>(), 1.449012, 1e-6);
}

TEST(VocabularyLoss, StridedIsContiguousBitForBit) {
  const Inputs in = make({50, 33, 70, true, 0.1, 3, Reduction::kMean, 1}).to(at::kFloat);
  const Tensors plain = run(&vocabulary_loss, in);
  const auto expect_same = [&](const Inputs& other, const Tensors& wanted) {
    const Tensors now = run(&vocabulary_loss, other);
    for (std::size_t i = 0; i < wanted.size(); ++i)
      EXPECT_TRUE(same_bits(now[i], wanted[i])) << kNames[i];
  };
  Inputs other = in;
  other.input = in.input.transpose(0, 1).contiguous().transpose(0, 1);  // channels not innermost
  other.weight = in.weight.transpose(0, 1).contiguous().transpose(0, 1);
  ASSERT_FALSE(other.input.is_contiguous() || other.weight.is_contiguous());
  expect_same(other, plain);
  const auto slice_of_wider = [](const at::Tensor& t) {  // one element off, NaN around
    const at::Tensor wide =
        at::full({t.size(0), t.size(1) + 5}, std::numeric_limits<float>::quiet_NaN());
    wide.slice(1, 1, 1 + t.size(1)).copy_(t);
    return wide.slice(1, 1, 1 + t.size(1));
  };
  other.input = slice_of_wider(in.input), other.weight = slice_of_wider(in.weight);
  other.target = at::stack({in.target, in.target + 100}, 1).select(1, 0);
  expect_same(other, plain);
  Inputs same_row = in;  // stride 0, in input and weight
  same_row.input = in.input.select(0, 0).unsqueeze(0).expand({50, 33});
  same_row.weight = in.weight.select(0, 0).unsqueeze(0).expand({70, 33});
  Inputs copied = same_row;
  copied.input = copied.input.contiguous(), copied.weight = copied.weight.contiguous();
  expect_same(same_row, run(&vocabulary_loss, copied));
}

TEST(VocabularyLoss, RowsThatDoNotCountMatterNothing) {
  for (const Reduction reduction : {Reduction::kMean, Reduction::kSum, Reduction::kNone}) {
    const Inputs in = make({50, 21, 70, true, 0.1, 3, reduction, 1}).to(at::kFloat);
    const at::Tensor ignored = in.target.eq(in.options.ignore_index);
    for (const Loss f :
         {static_cast<Loss>(&vocabulary_loss), static_cast<Loss>(&compose::vocabulary_loss)}) {
      const Tensors clean = run(f, in);
      EXPECT_EQ(clean[1].masked_select(ignored.unsqueeze(1)).count_nonzero().item<std::int64_t>(),
                0)
          << "gradient of an ignored row";
      for (const double junk : {std::numeric_limits<double>::quiet_NaN(),
                                std::numeric_limits<double>::infinity(), 1e38}) {
        Inputs dirty = in;
        dirty.input = in.input.masked_fill(ignored.unsqueeze(1), junk);
        const Tensors now = run(f, dirty);
        for (std::size_t i = 0; i < now.size(); ++i)
          EXPECT_TRUE(same_bits(now[i], clean[i])) << kNames[i] << " " << junk;
      }
    }
  }
}

TEST(VocabularyLoss, NoRowCountsOrThereIsNone) {
  for (const Reduction reduction : {Reduction::kMean, Reduction::kSum, Reduction::kNone})
    for (const std::int64_t rows : {0, 5}) {
      Inputs in = make({rows, 3, 4, true, 0.1, 0, reduction, 1});
      in.target = at::full({rows}, in.options.ignore_index, at::kLong);
      for (const Loss f :
           {static_cast<Loss>(&vocabulary_loss), static_cast<Loss>(&compose::vocabulary_loss)})
        for (const at::Tensor& t : run(f, in)) EXPECT_TRUE(same_bits(t, at::zeros_like(t))) << t;
    }
}

TEST(VocabularyLoss, NoChannelsIsABiasAlone) {
  const Inputs in = make({6, 0, 5, true, 0.1, 0, Reduction::kMean, 1});
  const Tensors ours = run(&vocabulary_loss, in), truth = run(&compose::vocabulary_loss, in);
  EXPECT_LE(test::relative_error(ours[0], truth[0]), 1e-15);
  EXPECT_LE(test::relative_error(ours[3], truth[3]), 1e-15);
}

TEST(VocabularyLoss, AWordWithBiasMinusInfinityNeverComes) {
  Inputs in = make({20, 6, 140, true, 0, 0, Reduction::kMean, 1});
  in.target = in.target.clamp_max(60);
  Inputs without = in;
  without.weight = in.weight.slice(0, 0, 61), without.bias = in.bias.slice(0, 0, 61);
  in.bias = in.bias.clone();
  in.bias.slice(0, 61).fill_(
      -std::numeric_limits<double>::infinity());  // whole slices of the vocabulary among them
  const Tensors ours = run(&vocabulary_loss, in), wanted = run(&vocabulary_loss, without);
  EXPECT_LE(test::relative_error(ours[0], wanted[0]), 1e-15);
  EXPECT_LE(test::relative_error(ours[1], wanted[1]), 1e-14);
  EXPECT_LE(test::relative_error(ours[2].slice(0, 0, 61), wanted[2]), 1e-14);
  EXPECT_EQ(ours[2].slice(0, 61).count_nonzero().item<std::int64_t>(), 0);
}

TEST(VocabularyLoss, PermutingWordsAndShiftingLogitsChangeNothing) {
  const Inputs in = make({30, 12, 99, true, 0.1, 4, Reduction::kMean, 1});
  Inputs reversed = in;
  reversed.weight = in.weight.flip({0}), reversed.bias = in.bias.flip({0});
  reversed.target = 98 - in.target;
  reversed.options.ignore_index = 98 - in.options.ignore_index;
  const Tensors a = run(&vocabulary_loss, in), b = run(&vocabulary_loss, reversed);
  EXPECT_LE(test::relative_error(b[0], a[0]), 1e-14);
  EXPECT_LE(test::relative_error(b[1], a[1]), 1e-13);
  EXPECT_LE(test::relative_error(b[2].flip({0}), a[2]), 1e-13);
  Inputs shifted = in;
  shifted.bias = in.bias + 1000;
  EXPECT_LE(test::relative_error(run(&vocabulary_loss, shifted)[0], a[0]), 1e-12);
}

TEST(VocabularyLoss, EveryTargetAgreesThroughTheOp) {
  const Inputs in = make({60, 37, 133, true, 0.1, 5, Reduction::kMean, 1});
  const Tensors truth = run(&compose::vocabulary_loss, in),
                theirs = run(&compose::vocabulary_loss, in.to(at::kFloat));
  test::for_each_target([&] {
    const test::WithThreads one(1);
    const Tensors ours = run(&vocabulary_loss, in.to(at::kFloat));
    EXPECT_STREQ(last_dispatch().target, kernels::last_simd_target_name());
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_TRUE(as_good_as(ours[i], theirs[i], truth[i])) << kNames[i];
  });
}

TEST(VocabularyLoss, TheSameBitsOnEveryRunAndNumberOfThreads) {
  for (const Reduction reduction : {Reduction::kMean, Reduction::kNone}) {
    const Inputs in = make({450, 32, 700, true, 0.1, 7, reduction, 1}).to(at::kFloat);
    Tensors first;
    for (const int n : {1, 2, 3, 2}) {
      const test::WithThreads with(n);
      const Tensors now = run(&vocabulary_loss, in);
      if (first.empty()) first = now;
      for (std::size_t i = 0; i < now.size(); ++i)
        EXPECT_TRUE(same_bits(now[i], first[i])) << kNames[i] << ", threads " << n;
    }
  }
}

TEST(VocabularyLoss, OtherDtypesRunTheComposition) {
  const Inputs in = make({8, 4, 9, true, 0.1, 3, Reduction::kMean, 1});
  const Tensors out = run(&vocabulary_loss, in.to(at::kBFloat16));
  EXPECT_EQ(last_dispatch().path, Path::kComposed);
  EXPECT_STREQ(last_dispatch().reason, "dtype is not float or double");
  EXPECT_LE(test::relative_error(out[0], run(&compose::vocabulary_loss, in)[0]), 0.02);
}

TEST(VocabularyLoss, OnlyWhatWasAskedForGetsAGradient) {
  const Inputs in = make({8, 4, 9, true, 0.1, 3, Reduction::kMean, 1});
  for (int which = 0; which < 3; ++which) {
    Tensors x{in.input.clone(), in.weight.clone(), in.bias.clone()};
    x[static_cast<std::size_t>(which)].set_requires_grad(true);
    vocabulary_loss(x[0], x[1], x[2], in.target, in.options).backward();
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(x[static_cast<std::size_t>(i)].grad().defined(), i == which);
    EXPECT_LE(test::relative_error(
                  x[static_cast<std::size_t>(which)].grad(),
                  run(&compose::vocabulary_loss, in)[static_cast<std::size_t>(which + 1)] /
                      (random_tensor({}, 11) + 0.5)),
              1e-14);
  }
  EXPECT_FALSE(
      vocabulary_loss(in.input, in.weight, in.bias, in.target, in.options).requires_grad());
}

TEST(VocabularyLoss, BackwardTwiceThroughAKeptGraphIsTheSame) {
  const Inputs in = make({8, 4, 9, true, 0.1, 3, Reduction::kMean, 1});
  const at::Tensor weight = in.weight.clone().set_requires_grad(true);
  const at::Tensor loss = vocabulary_loss(in.input, weight, in.bias, in.target, in.options);
  const at::Tensor first = torch::autograd::grad({loss}, {weight}, {}, true)[0].clone();
  torch::autograd::grad({loss}, {weight}, {}, true)[0].mul_(
      0);  // what was handed out is the caller's
  EXPECT_TRUE(same_bits(torch::autograd::grad({loss}, {weight})[0], first));
}

TEST(VocabularyLoss, LogProbabilitiesAreTheLoss) {
  const Inputs in = make({8, 4, 9, true, 0, 0, Reduction::kNone, 1});
  const at::Tensor log_probabilities =
      vocabulary_log_probabilities(in.input, in.weight, in.bias);  // [N,V]
  const at::Tensor chosen = log_probabilities.gather(1, in.target.unsqueeze(1)).squeeze(1);
  EXPECT_LE(test::relative_error(
                -chosen, vocabulary_loss(in.input, in.weight, in.bias, in.target, in.options)),
            1e-14);
  EXPECT_NEAR(log_probabilities.exp().sum().item<double>(), 8, 1e-13);
}

void expect_message(const std::function<void()>& act, const std::string& message) {
  try {
    act();
    ADD_FAILURE() << "no error; wanted: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), message);
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  }
}

TEST(VocabularyLoss, EveryCheckSaysWhatIsWrong) {
  const auto zeros = [](at::IntArrayRef sizes, at::ScalarType dtype = at::kFloat) {
    return at::zeros(sizes, at::TensorOptions(dtype));
  };
  const at::Tensor input = zeros({2, 4}), weight = zeros({3, 4}), target = zeros({2}, at::kLong);
  for (const Loss f :
       {static_cast<Loss>(&vocabulary_loss), static_cast<Loss>(&compose::vocabulary_loss)}) {
    expect_message([&] { f({}, weight, {}, target, {}); },
                   "attend::vocabulary_loss: input is undefined but must be [N, C]");
    expect_message([&] { f(input, {}, {}, target, {}); },
                   "attend::vocabulary_loss: weight is undefined but must be [V, C]");
    expect_message([&] { f(input, weight, {}, {}, {}); },
                   "attend::vocabulary_loss: target is undefined but must be [N]");
    expect_message([&] { f(zeros({4}), weight, {}, target, {}); },
                   "attend::vocabulary_loss: input must be [N, C] but has shape [4]");
    expect_message(
        [&] {
          f(input, zeros({3, 5}), {}, target, {});
        },
        "attend::vocabulary_loss: weight has C=5 (shape [3, 5]) but input set C=4");
    expect_message([&] { f(input, weight, zeros({4}), target, {}); },
                   "attend::vocabulary_loss: bias has V=4 (shape [4]) but weight set V=3");
    expect_message(
        [&] {
          f(input, zeros({3, 4}, at::kDouble), {}, target, {});
        },
        "attend::vocabulary_loss: weight has dtype Double but input has Float");
    expect_message([&] { f(input, weight, {}, zeros({2}, at::kInt), {}); },
                   "attend::vocabulary_loss: target has dtype Int but must be int64");
    expect_message([&] { f(input, weight, {}, zeros({3}, at::kLong), {}); },
                   "attend::vocabulary_loss: target has N=3 (shape [3]) but input set N=2");
    expect_message(
        [&] { f(input, weight, {}, at::full({2}, 3, at::kLong), {}); },
        "attend::vocabulary_loss: target[0] is 3 but must be in [0, V=3) or ignore_index=-100");
    expect_message(
        [&] { f(input, weight, {}, at::full({2}, -1, at::kLong), {}); },
        "attend::vocabulary_loss: target[0] is -1 but must be in [0, V=3) or ignore_index=-100");
    expect_message(
        [&] {
          f(input, zeros({0, 4}), {}, at::full({2}, -100, at::kLong), {});
        },
        "attend::vocabulary_loss: V is 0 but must be at least 1");
    for (const double bad : {-0.5, 1.5})
      expect_message([&] { f(input, weight, {}, target, {.label_smoothing = bad}); },
                     "attend::vocabulary_loss: label_smoothing is " + std::to_string(bad) +
                         " but must be in [0, 1]");
    EXPECT_THROW(
        f(input, weight, {}, target, {.label_smoothing = std::numeric_limits<double>::quiet_NaN()}),
        Error);
  }
  expect_message(
      [&] {
        vocabulary_log_probabilities(input, zeros({3, 5}));
      },
      "attend::vocabulary_log_probabilities: weight has C=5 (shape [3, 5]) but input set C=4");
}

}  // namespace
}  // namespace attend
