// Hard attention: how often each key is chosen, and whether the estimate of the gradient is right on average, against enumeration
// of all choices; helpers against the formulas written as loops.
//
// Mutations planted one at a time and caught: scale, or bias, left out; hidden keys keep their scores; the temperature left
// out; straight-through from scores without their noise; entropy's sign; the largest score taken instead of a sample; the seed
// ignored; the baseline added; a gradient into the reward; a row that sees nothing names a key; the penalty counts keys beyond
// the length.
#include <ATen/ops/full.h>
#include <ATen/ops/log.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "attend/base/error.h"
#include "attend/ops/hard.h"
#include "support/compare.h"
#include "support/gradcheck.h"

namespace attend {
namespace {

using test::random_tensor;

/// Many copies of one small problem, each sampled by itself: rows of the batch have noise of their own.
constexpr std::int64_t kSamples = 40000;
const std::vector<double> kScores = {0.3, -0.8, 1.1, 0.0};
const std::vector<double> kRewards = {2.0, -1.0, 0.5, 3.0};

at::Tensor many(const std::vector<double>& row) {
  return at::tensor(row, at::kDouble)
      .view({1, 1, -1})
      .expand({kSamples, 1, static_cast<std::int64_t>(row.size())});
}
at::Tensor rewards_as_values() {
  return at::tensor(kRewards, at::kDouble).view({1, -1, 1}).expand({kSamples, 4, 1});
}

std::vector<double> probabilities() {
  double total = 0;
  std::vector<double> p;
  for (const double s : kScores) p.push_back(std::exp(s)), total += p.back();
  for (double& x : p) x /= total;
  return p;
}

/// d/ds_k Σ_j p_j R_j + λ H(p), by enumeration: p_k (R_k − Σ p R) + λ · (−p_k (log p_k + H)).
std::vector<double> exact_gradient(double entropy_weight) {
  const auto p = probabilities();
  double mean = 0, entropy = 0;
  for (std::size_t j = 0; j < p.size(); ++j)
    mean += p[j] * kRewards[j], entropy -= p[j] * std::log(p[j]);
  std::vector<double> g;
  for (std::size_t k = 0; k < p.size(); ++k)
    g.push_back(p[k] * (kRewards[k] - mean) - entropy_weight * p[k] * (std::log(p[k]) + entropy));
  return g;
}

/// One estimate of the gradient per sample, [samples, keys].
at::Tensor estimates(double baseline, double entropy_weight, std::uint64_t seed) {
  const at::Tensor scores = many(kScores).contiguous().set_requires_grad(true);
  HardOptions o;
  o.attention.seed = seed;
  const HardResult r = hard(scores, rewards_as_values(), o);
  const at::Tensor reward = r.output.select(2, 0).select(1, 0);  // the value of a key is its reward
  const at::Tensor loss = reinforce_loss(r, reward, baseline, {1.0, entropy_weight});
  return -torch::autograd::grad({loss}, {scores})[0].squeeze(1) *
         kSamples;  // the loss is a mean, to be minimised
}

TEST(Hard, ChoosesAsOftenAsTheProbabilitySays) {
  HardOptions o;
  o.attention.seed = 5;
  const HardResult r = hard(many(kScores), rewards_as_values(), o);
  const auto p = probabilities();
  double chi_squared = 0;
  for (std::size_t j = 0; j < p.size(); ++j) {
    const double seen = r.choice.eq(static_cast<std::int64_t>(j)).sum().item<double>(),
                 wanted = p[j] * kSamples;
    chi_squared += (seen - wanted) * (seen - wanted) / wanted;
    EXPECT_NEAR(r.weights[0][0][static_cast<std::int64_t>(j)].item<double>(), p[j], 1e-15);
  }
  EXPECT_LT(chi_squared, 16.3);  // 3 degrees of freedom, one in a thousand; the seed is fixed
}

// Within four standard errors of the enumerated gradient for every key, with and without baseline and entropy.
TEST(Hard, TheGradientIsRightOnAverage) {
  for (const auto& [baseline, entropy_weight] :
       {std::pair{0.0, 0.0}, std::pair{1.2, 0.0}, std::pair{1.2, 0.3}}) {
    SCOPED_TRACE(testing::Message() << "baseline " << baseline << ", entropy " << entropy_weight);
    const at::Tensor each = estimates(baseline, entropy_weight, 11);
    const at::Tensor mean = each.mean(0), error = each.std(at::IntArrayRef{0}, true) /
                                                  std::sqrt(static_cast<double>(kSamples));
    const auto exact = exact_gradient(entropy_weight);
    for (std::int64_t k = 0; k < 4; ++k) {
      EXPECT_LT(error[k].item<double>(), 0.02);  // the bound says something
      EXPECT_NEAR(mean[k].item<double>(), exact[static_cast<std::size_t>(k)],
                  4 * error[k].item<double>())
          << k;
    }
  }
}

// What is chosen is a key of softmax(scale · scores + bias), by a loop.
TEST(Hard, ScaleAndBiasMakeTheProbabilities) {
  const at::Tensor scores = random_tensor({2, 3, 4}, 1), bias = random_tensor({2, 3, 4}, 2);
  HardOptions o;
  o.attention.scale = -1.7, o.attention.bias = bias;
  const HardResult r = hard(scores, random_tensor({2, 4, 2}, 3), o);
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t i = 0; i < 3; ++i) {
      double e[4], total = 0, entropy = 0;
      for (std::int64_t j = 0; j < 4; ++j)
        total += e[j] =
            std::exp(-1.7 * scores[b][i][j].item<double>() + bias[b][i][j].item<double>());
      for (std::int64_t j = 0; j < 4; ++j) {
        EXPECT_NEAR(r.weights[b][i][j].item<double>(), e[j] / total, 1e-14);
        entropy -= e[j] / total * std::log(e[j] / total);
      }
      EXPECT_NEAR(r.entropy[b][i].item<double>(), entropy, 1e-14);
      EXPECT_NEAR(r.log_probability[b][i].item<double>(),
                  std::log(e[r.choice[b][i].item<std::int64_t>()] / total), 1e-14);
    }
}

TEST(Hard, ABaselineMakesTheEstimateSteadier) {
  const double far_off = estimates(-8, 0, 3).var(at::IntArrayRef{0}, true).sum().item<double>(),
               near = estimates(1.2, 0, 3).var(at::IntArrayRef{0}, true).sum().item<double>();
  EXPECT_LT(near, far_off / 10);
}

TEST(Hard, TheRewardIsNoPathForGradients) {
  const at::Tensor scores = random_tensor({2, 3, 4}, 1).set_requires_grad(true),
                   reward = random_tensor({2}, 2).set_requires_grad(true);
  const HardResult r = hard(scores, random_tensor({2, 4, 2}, 3), {});
  const auto found = torch::autograd::grad({reinforce_loss(r, reward, 0.5)}, {scores, reward}, {},
                                           {}, false, /*allow_unused=*/true);
  EXPECT_TRUE(found[0].defined());
  EXPECT_FALSE(found[1].defined());
}

TEST(Hard, MovingBaselineFollowsTheReward) {
  MovingBaseline b;
  b.update(4);
  EXPECT_DOUBLE_EQ(b.value(), 4);
  b.update(2);
  EXPECT_DOUBLE_EQ(b.value(), 0.9 * 4 + 0.1 * 2);
}

TEST(Hard, OneSeedOneChoice) {
  const at::Tensor scores = random_tensor({3, 50, 7}, 1, 2), value = random_tensor({3, 7, 4}, 2);
  HardOptions o;
  o.attention.seed = 1;
  const HardResult a = hard(scores, value, o), b = hard(scores, value, o);
  EXPECT_TRUE(at::equal(a.choice, b.choice));
  EXPECT_TRUE(at::equal(
      a.choice, hard(scores.to(at::kFloat), value.to(at::kFloat), o).choice));  // near ties aside
  o.attention.seed = 2;
  EXPECT_FALSE(at::equal(a.choice, hard(scores, value, o).choice));
  for (int b2 = 0; b2 < 3; ++b2)
    for (int i = 0; i < 50; ++i)
      EXPECT_TRUE(at::equal(a.output[b2][i], value[b2][a.choice[b2][i].item<std::int64_t>()]));
}

// Forward is the choice itself; backward is that of the softmax with the same noise, which is found here from outside: the
// difference of two straight-through calls cannot be, so the noise is read off the limit of the definition p ∝ exp((s + g) / t).
TEST(Hard, StraightThroughKeepsTheChoiceAndHasASoftGradient) {
  const at::Tensor value = random_tensor({2, 6, 3}, 2);
  HardOptions o;
  o.attention.seed = 4;
  const at::Tensor scores = random_tensor({2, 5, 6}, 1, 1);
  const HardResult plain = hard(scores, value, o);
  o.gradient = HardGradient::kStraightThrough, o.temperature = 0.7;
  const at::Tensor s = scores.clone().set_requires_grad(true),
                   v = value.clone().set_requires_grad(true);
  const HardResult r = hard(s, v, o);
  EXPECT_TRUE(at::equal(r.choice, plain.choice));
  EXPECT_LT(test::relative_error(r.output, plain.output), 1e-15);
  const at::Tensor cotangent = random_tensor(r.output.sizes(), 3);
  const auto g = torch::autograd::grad({r.output}, {s, v}, {cotangent});
  // dv: the chosen rows, as the forward pass used them.
  at::Tensor want = at::zeros_like(value);
  for (int b = 0; b < 2; ++b)
    for (int i = 0; i < 5; ++i) want[b][r.choice[b][i].item<std::int64_t>()].add_(cotangent[b][i]);
  EXPECT_LT(test::relative_error(g[1], want), 1e-14);
  // ds = p ∘ (<dout, v> − Σ p <dout, v>) / t for some softmax p: it sums to 0 over keys and is not 0.
  EXPECT_LT(g[0].sum(-1).abs().max().item<double>(), 1e-14);
  EXPECT_GT(g[0].abs().sum().item<double>(), 0.1);
  // Twice the temperature and scores so far apart that noise does not matter: the gradient is that of a plain softmax.
  const at::Tensor far = (scores * 1e6).detach().set_requires_grad(true);
  o.temperature = 2e6;
  const auto soft = torch::autograd::grad({hard(far, value, o).output}, {far}, {cotangent})[0];
  const at::Tensor leaf = (scores * 1e6).detach().set_requires_grad(true);
  const auto plain_soft =
      torch::autograd::grad({at::matmul((leaf / 2e6).softmax(-1), value)}, {leaf}, {cotangent})[0];
  EXPECT_LT(test::relative_error(soft, plain_soft), 1e-5);
}

TEST(Hard, WhatIsHiddenIsNeverChosenNorTouched) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const auto gradient : {HardGradient::kReinforce, HardGradient::kStraightThrough}) {
    at::Tensor scores = random_tensor({2, 200, 6}, 1), value = random_tensor({2, 6, 3}, 2);
    scores.narrow(2, 4, 2).fill_(nan), value.narrow(1, 4, 2).fill_(nan);
    scores.set_requires_grad(true), value.set_requires_grad(true);
    HardOptions o;
    o.gradient = gradient;
    o.attention.key_lengths = at::tensor({4, 0}, at::kLong);
    const HardResult r = hard(scores, value, o);
    EXPECT_LT(r.choice[0].max().item<std::int64_t>(), 4);
    EXPECT_TRUE(r.choice[1].eq(-1).all().item<bool>());
    for (const at::Tensor& t : {r.output, r.log_probability, r.entropy, r.weights}) {
      EXPECT_FALSE(t.isnan().any().item<bool>());
      EXPECT_EQ(t[1].abs().sum().item<double>(), 0);
    }
    const at::Tensor loss =
        r.output.sum() + r.entropy.sum() + r.log_probability.sum() + r.weights.square().sum();
    for (const at::Tensor& g : torch::autograd::grad({loss}, {scores, value})) {
      EXPECT_FALSE(g.isnan().any().item<bool>());
      EXPECT_EQ(g[1].abs().sum().item<double>(), 0);
    }
  }
}

TEST(Hard, LogProbabilityAndEntropyHaveTheirGradients) {
  HardOptions o;
  o.attention.key_lengths = at::tensor({5, 3}, at::kLong), o.attention.scale = 0.7;
  const at::Tensor value = random_tensor({2, 5, 2}, 2), bias = random_tensor({3, 5}, 8);
  test::expect_gradients(
      [&](const std::vector<at::Tensor>& x) {
        HardOptions with = o;
        with.attention.bias = x[1];
        const HardResult r = hard(x[0], value, with);
        return std::vector<at::Tensor>{r.log_probability, r.entropy, r.weights};
      },
      {{"scores", random_tensor({2, 3, 5}, 1)}, {"bias", bias}});
  const HardResult r = hard(random_tensor({2, 3, 5}, 1), value, {});
  EXPECT_LT(test::relative_error(r.log_probability,
                                 r.weights.gather(-1, r.choice.unsqueeze(-1)).squeeze(-1).log()),
            1e-14);
  EXPECT_LT(test::relative_error(r.entropy, -(r.weights * r.weights.log()).sum(-1)), 1e-14);
}

TEST(Hard, PenaltyAndGateAreTheirFormulas) {
  const at::Tensor w = random_tensor({2, 3, 4}, 1).abs(), h = random_tensor({2, 3, 5}, 2),
                   beta = random_tensor({5}, 3);
  const at::Tensor lengths = at::tensor({4, 2}, at::kLong),
                   bias = at::scalar_tensor(0.3, at::kDouble);
  const at::Tensor penalty = doubly_stochastic_penalty(w, lengths),
                   gate = context_gate(h, beta, bias);
  for (int b = 0; b < 2; ++b) {
    double want = 0;
    for (int j = 0; j < (b == 0 ? 4 : 2); ++j) {
      double looked = 0;
      for (int i = 0; i < 3; ++i) looked += w[b][i][j].item<double>();
      want += (1 - looked) * (1 - looked);
    }
    EXPECT_NEAR(penalty[b].item<double>(), want, 1e-14);
    for (int i = 0; i < 3; ++i) {
      double x = 0.3;
      for (int c = 0; c < 5; ++c) x += h[b][i][c].item<double>() * beta[c].item<double>();
      EXPECT_NEAR(gate[b][i][0].item<double>(), 1 / (1 + std::exp(-x)), 1e-14);
    }
  }
  test::expect_gradients(
      [&](const std::vector<at::Tensor>& x) {
        return std::vector<at::Tensor>{doubly_stochastic_penalty(x[0], lengths),
                                       context_gate(x[1], x[2], x[3])};
      },
      {{"weights", w}, {"hidden", h}, {"weight", beta}, {"bias", bias}});
}

TEST(Hard, EmptySizes) {
  const auto run = [](std::int64_t B, std::int64_t Lq, std::int64_t Lk) {
    return hard(at::ones({B, Lq, Lk}), at::ones({B, Lk, 2}));
  };
  EXPECT_EQ(run(0, 3, 4).output.sizes(), at::IntArrayRef({0, 3, 2}));
  EXPECT_EQ(run(1, 0, 4).choice.sizes(), at::IntArrayRef({1, 0}));
  EXPECT_TRUE(run(1, 3, 0).choice.eq(-1).all().item<bool>());
  EXPECT_EQ(run(1, 3, 0).output.abs().sum().item<float>(), 0);
}

void expect_refused(const std::function<void()>& call, const std::string& message) {
  try {
    call();
    FAIL() << "not refused: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), message);
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  }
}

TEST(Hard, EveryCheckSaysWhatIsWrong) {
  const at::Tensor s = at::ones({2, 3, 5}), v = at::ones({2, 5, 4});
  HardOptions cold, dropping;
  cold.temperature = 0, dropping.attention.dropout = 0.5;
  expect_refused(
      [&] {
        hard(s, at::ones({2, 4, 4}));
      },
      "attend::hard: value has Lk=4 (shape [2, 4, 4]) but scores set Lk=5");
  expect_refused([&] { hard({}, v); }, "attend::hard: scores is undefined but must be [B, Lq, Lk]");
  expect_refused([&] { hard(s, v, cold); },
                 "attend::hard: temperature is 0.000000 but must be finite and above 0");
  expect_refused([&] { hard(s, v, dropping); },
                 "attend::hard: dropout is 0.500000 but a choice has none: must be 0");
  expect_refused([&] { reinforce_loss(hard(s, v), at::ones({3}), 0); },
                 "attend::reinforce_loss: reward has B=3 (shape [3]) but log_probability set B=2");
  expect_refused([&] { reinforce_loss(hard(s, v), at::ones({2}), std::nan("")); },
                 "attend::reinforce_loss: baseline is nan but must be finite");
  expect_refused([&] { doubly_stochastic_penalty(s, at::full({2}, 6, at::kLong)); },
                 "attend::doubly_stochastic_penalty: key_lengths[0] is 6 but must be in [0, Lk=5]");
  expect_refused([&] { context_gate(s, at::ones({4})); },
                 "attend::context_gate: weight has C=4 (shape [4]) but hidden set C=5");
}

}  // namespace
}  // namespace attend
