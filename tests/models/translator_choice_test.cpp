// A translator that looks at one place: what is sampled while training, and what teaches it. (REINFORCE itself, its baseline and
// its expectation against enumeration: captioner_test and hard_op_test, which share the code.)
// Planted and seen to fail here: places sampled outside training; the same sample in every step; the mean where the likeliest
// place should be; Gumbel's gradient left out; places drawn from the softmax of the weights.
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "attend/base/error.h"
#include "attend/models/translator.h"
#include "attend/ops/machine.h"
#include "support/compare.h"
#include "support/message_of.h"

namespace attend::models {
namespace {

TranslatorConfig choosing(Architecture architecture, Choice choice) {
  use_threads(1);
  TranslatorConfig c;
  c.architecture = architecture, c.choice = choice;
  c.source_vocabulary = 9, c.target_vocabulary = 8, c.max_length = 10;
  c.embedding_width = 3, c.hidden = 4, c.attention_width = 5, c.dropout = 0;
  c.expected_share = 0;
  return c;
}

std::unique_ptr<Translator> stirred(const TranslatorConfig& config) {
  auto model = make_translator(config, 3, at::kDouble);
  for (const auto& [name, x] : model->parameters())
    if (x.requires_grad())
      at::Tensor(x).data().add_(
          test::random_tensor(x.sizes(), std::hash<std::string>{}(name) % 1000, 0.7));
  return model;
}

/// One sentence of `words` source words.
TranslationBatch sentence(std::int64_t words) {
  TranslationBatch b;
  b.source = at::tensor({4, 5, 6, 7, 8}, at::kLong).view({1, 5}).narrow(1, 0, words);
  b.source_lengths = at::full({1}, words, at::kLong);
  b.target =
      at::tensor({kBegin, std::int64_t{4}, std::int64_t{5}, std::int64_t{6}, kEnd}, at::kLong)
          .view({1, 5});
  b.target_lengths = at::full({1}, 5, at::kLong);
  return b;
}

Pass training(std::int64_t step) {
  Pass pass;
  pass.training = true, pass.seed = 7, pass.step = step;
  return pass;
}

class Chooses : public ::testing::TestWithParam<std::tuple<Architecture, Choice>> {
 protected:
  TranslatorConfig config() const {
    return choosing(std::get<0>(GetParam()), std::get<1>(GetParam()));
  }
};
INSTANTIATE_TEST_SUITE_P(
    Choice, Chooses,
    ::testing::Combine(::testing::Values(Architecture::kBahdanau, Architecture::kLuong),
                       ::testing::Values(Choice::kHard, Choice::kGumbel)),
    [](const auto& p) {
      return std::string(std::get<0>(p.param) == Architecture::kBahdanau ? "bahdanau" : "luong") +
             (std::get<1>(p.param) == Choice::kHard ? "_hard" : "_gumbel");
    });

TEST_P(Chooses, TheOnlyPlaceIsTheMean) {
  TranslatorConfig soft = config();
  soft.choice = Choice::kSoft;
  const double mean = stirred(soft)->loss(sentence(1), training(1), 0).words.item<double>();
  const auto model = stirred(config());
  const TranslationLoss loss = model->loss(sentence(1), training(1), 0);
  EXPECT_NEAR(loss.words.item<double>(), mean, 1e-12);
  EXPECT_NEAR(loss.penalty.item<double>(), 0, 1e-12)
      << "a sure choice has neither surprise nor entropy";
  EXPECT_NEAR(model->loss(sentence(1), Pass{}, 0).words.item<double>(), mean, 1e-12);
}

TEST_P(Chooses, AnotherSampleInEachStepAndTheSameAgain) {
  const auto model = stirred(config());
  const at::NoGradGuard off;
  std::set<double> seen;
  for (std::int64_t step = 0; step < 20; ++step) {
    const double loss = model->loss(sentence(5), training(step), 0).words.item<double>();
    EXPECT_EQ(model->loss(sentence(5), training(step), 0).words.item<double>(), loss);
    seen.insert(loss);
  }
  EXPECT_GT(seen.size(), 10u);  // of up to 5⁴ ways to look
  EXPECT_EQ(model->loss(sentence(5), Pass{}, 0).words.item<double>(),
            model->loss(sentence(5), Pass{}, 0).words.item<double>());
}

TEST_P(Chooses, TheScoreLearns) {
  const auto model = stirred(config());
  model->loss(sentence(5), training(0), 0);  // REINFORCE finds its baseline
  std::vector<at::Tensor> leaves;
  for (const auto& [name, x] : model->parameters())
    if (name.starts_with("attention.") && x.requires_grad()) leaves.push_back(x);
  ASSERT_GE(leaves.size(), 3u);
  const TranslationLoss loss = model->loss(sentence(5), training(1), 0);
  const auto gradients =
      torch::autograd::grad({loss.words + loss.penalty}, leaves, {}, false, false, true);
  for (const at::Tensor& g : gradients) {
    ASSERT_TRUE(g.defined());
    EXPECT_GT(g.abs().sum().item<double>(), 1e-8);
  }
}

// Over many samples the mean loss is Σ p(place) loss(place): with one target word there are as many ways as places.
TEST(Choice, SamplesFollowTheWeights) {
  const auto model = stirred(choosing(Architecture::kBahdanau, Choice::kHard));
  const at::NoGradGuard off;
  TranslationBatch b = sentence(3);
  b.target = at::tensor({kBegin, kEnd}, at::kLong).view({1, 2});
  b.target_lengths = at::full({1}, 2, at::kLong);
  const at::Tensor p = model->alignment(b)[0][0];  // [3]
  std::map<double, int> counted;
  constexpr int kSamples = 3000;
  for (int step = 0; step < kSamples; ++step)
    ++counted[model->loss(b, training(step), 0).words.item<double>()];
  ASSERT_EQ(counted.size(), 3u);
  const auto likeliest = std::max_element(counted.begin(), counted.end(),
                                          [](auto& l, auto& r) { return l.second < r.second; });
  EXPECT_NEAR(model->loss(b, Pass{}, 0).words.item<double>(), likeliest->first, 1e-12);
  std::vector<double> found, wanted;
  for (const auto& [loss, n] : counted) found.push_back(static_cast<double>(n) / kSamples);
  for (std::int64_t s = 0; s < 3; ++s) wanted.push_back(p[s].item<double>());
  std::sort(found.begin(), found.end()), std::sort(wanted.begin(), wanted.end());
  for (std::size_t s = 0; s < 3; ++s)
    EXPECT_NEAR(found[s], wanted[s], 4 * std::sqrt(wanted[s] * (1 - wanted[s]) / kSamples));
}

TEST(Choice, ThePenaltyIsOfTrainingAlone) {
  const auto model = stirred(choosing(Architecture::kLuong, Choice::kHard));
  EXPECT_EQ(model->loss(sentence(5), Pass{}, 0).penalty.item<double>(), 0);
  EXPECT_NE(model->loss(sentence(5), training(1), 0).penalty.item<double>(), 0);
  const auto gumbel = stirred(choosing(Architecture::kLuong, Choice::kGumbel));
  EXPECT_EQ(gumbel->loss(sentence(5), training(1), 0).penalty.item<double>(), 0);
}

void expect_refused(const std::function<void(TranslatorConfig&)>& change,
                    const std::string& message) {
  TranslatorConfig c = choosing(Architecture::kBahdanau, Choice::kHard);
  change(c);
  EXPECT_THAT(test::message_of([&] { make_translator(c, 1); }), ::testing::HasSubstr(message));
}

TEST(Choice, RefusesWhatMakesNoSense) {
  expect_refused(
      [](auto& c) { c.architecture = Architecture::kTransformer, c.embedding_width = 4; },
      "a Transformer's heads take the mean");
  expect_refused([](auto& c) { c.attention = false; }, "nothing to choose");
  expect_refused([](auto& c) { c.architecture = Architecture::kLstmn; },
                 "deep fusion takes the mean");
  expect_refused([](auto& c) { c.temperature = 0; }, "model.attention.temperature is 0");
  expect_refused([](auto& c) { c.expected_share = 1; }, "train.expected_share is 1");
  expect_refused([](auto& c) { c.reward_weight = -1; }, "train.reward_weight is -1");
}

}  // namespace
}  // namespace attend::models
