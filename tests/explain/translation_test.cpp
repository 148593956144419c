// What a translator looked at and needed, against the forced loss of shortened sources: a path through the model that
// explain_translation does not take.
// Mutations these tests kill: effects of a second batch of sources written over the first's; the sign of an effect turned; the
// same target token fed at every step; rows without effects compared; source weights in reverse order; τ summed instead of
// averaged over rows; entropy summed instead of averaged; effects written in the place of weights.
#include "attend/explain/translation.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/ops/machine.h"

namespace attend::explain {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<std::int64_t>;
using Rows = std::vector<std::vector<double>>;

std::unique_ptr<models::Translator> translator(models::Architecture architecture,
                                               bool attention = true) {
  models::TranslatorConfig c;
  c.architecture = architecture, c.attention = attention;
  if (architecture == models::Architecture::kLuong) c.score = nn::Score::kGeneral;
  c.source_vocabulary = 12, c.target_vocabulary = 11, c.max_length = 100;
  c.embedding_width = 6, c.hidden = 5, c.attention_width = 4, c.dropout = .3;
  auto model = models::make_translator(c, 3, at::kDouble);
  const at::NoGradGuard no_grad;
  // Weights that matter: as made they are so small that no token would change anything.
  for (auto& [name, x] : model->parameters()) x.mul_(name == "output.weight" ? 3 : 2);
  return model;
}

models::TranslationBatch batch_of(const Ids& source, Ids target) {
  target.insert(target.begin(), models::kBegin);
  const auto length = [](const Ids& x) {
    return at::tensor(Ids{static_cast<std::int64_t>(x.size())}, at::kLong);
  };
  return {at::tensor(source, at::kLong).unsqueeze(0), length(source),
          at::tensor(target, at::kLong).unsqueeze(0), length(target)};
}

/// log p(target | source) by the forced pass that training takes.
double log_probability(models::Translator& model, const Ids& source, const Ids& target) {
  if (target.empty()) return 0;
  const at::NoGradGuard no_grad;
  return -model.loss(batch_of(source, target), {}, 0).words.item<double>();
}

Ids shorter(Ids ids, std::size_t s) {
  ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(s));
  return ids;
}

const Ids kSource = {4, 7, 5, 11, 6, 4}, kTarget = {5, 9, 4, models::kEnd};

class Architectures : public ::testing::TestWithParam<models::Architecture> {};

TEST_P(Architectures, EffectsAreWhatDeletedTokensTakeFromEachTarget) {
  const auto model = translator(GetParam());
  const auto e = explain_translation(*model, kSource, kTarget);
  EXPECT_NEAR(e.log_probability, log_probability(*model, kSource, kTarget), 1e-11);
  ASSERT_EQ(e.effects.size(), kTarget.size());
  for (std::size_t s = 0; s < kSource.size(); ++s) {
    const Ids without = shorter(kSource, s);
    double total = 0;
    for (std::size_t t = 0; t < kTarget.size(); ++t) {
      const Ids before(kTarget.begin(), kTarget.begin() + static_cast<std::ptrdiff_t>(t)),
          with(kTarget.begin(), kTarget.begin() + static_cast<std::ptrdiff_t>(t) + 1);
      const double lost =
          log_probability(*model, kSource, with) - log_probability(*model, kSource, before) -
          log_probability(*model, without, with) + log_probability(*model, without, before);
      EXPECT_NEAR(e.effects[t][s], lost, 1e-11) << t << " " << s;
      EXPECT_GT(std::abs(lost), 1e-6);
      total += lost;
    }
    EXPECT_NEAR(e.leave_one_out[s], total, 1e-11);
  }
}

TEST_P(Architectures, WeightsAreTheForcedPasss) {
  const auto model = translator(GetParam());
  const auto e = explain_translation(*model, kSource, kTarget);
  const at::NoGradGuard no_grad;
  const at::Tensor w = model->alignment(batch_of(kSource, kTarget))[0].contiguous();
  ASSERT_EQ(e.weights.size(), kTarget.size());
  std::vector<double> sums(kSource.size(), 0.0);
  for (std::size_t t = 0; t < kTarget.size(); ++t) {
    ASSERT_EQ(e.weights[t].size(), kSource.size());
    for (std::size_t s = 0; s < kSource.size(); ++s) {
      EXPECT_NEAR(e.weights[t][s], w.const_data_ptr<double>()[t * kSource.size() + s], 1e-12);
      sums[s] += e.weights[t][s];
    }
  }
  for (std::size_t s = 0; s < kSource.size(); ++s) EXPECT_NEAR(e.attention[s], sums[s], 1e-12);
}

TEST_P(Architectures, SourcesLongerThanABatch) {
  const auto model = translator(GetParam());
  Ids source;
  for (std::int64_t i = 0; i < 67; ++i) source.push_back(4 + i * 5 % 8);
  const auto e = explain_translation(*model, source, kTarget);
  for (const std::size_t s : {0u, 63u, 64u, 66u})
    EXPECT_NEAR(e.leave_one_out[s],
                log_probability(*model, source, kTarget) -
                    log_probability(*model, shorter(source, s), kTarget),
                1e-11);
}

INSTANTIATE_TEST_SUITE_P(Translators, Architectures,
                         ::testing::Values(models::Architecture::kBahdanau,
                                           models::Architecture::kLuong));

TEST(ExplainTranslation, CountsRowsThatNameTheSameToken) {
  const auto model = translator(models::Architecture::kBahdanau);
  const auto e = explain_translation(*model, kSource, kTarget);
  std::int64_t same = 0;
  const auto top = [](const std::vector<double>& v) {
    return std::max_element(v.begin(), v.end()) - v.begin();
  };
  for (std::size_t t = 0; t < kTarget.size(); ++t) same += top(e.weights[t]) == top(e.effects[t]);
  EXPECT_EQ(e.same_token, same);
  EXPECT_EQ(e.compared, 4);
}

TEST(ExplainTranslation, OneTokenHasNothingToBeComparedWith) {
  const auto model = translator(models::Architecture::kLuong);
  const auto e = explain_translation(*model, {5}, kTarget);
  EXPECT_NEAR(e.weights[0][0], 1, 1e-12);
  EXPECT_TRUE(std::isnan(e.effects[0][0]) && std::isnan(e.leave_one_out[0]));
  EXPECT_TRUE(std::isnan(e.attention_leave_one_out.tau));
  EXPECT_EQ(e.verdict, Verdict::kOneWord);
  EXPECT_EQ(e.compared, 0);
}

TEST(ExplainTranslation, AModelWithoutAttentionIsMeasuredAllTheSame) {
  const auto model = translator(models::Architecture::kBahdanau, false);
  const auto e = explain_translation(*model, kSource, kTarget);
  EXPECT_TRUE(e.weights.empty() && e.attention.empty());
  EXPECT_EQ(e.verdict, Verdict::kNoAttention);
  EXPECT_NEAR(e.leave_one_out[2],
              log_probability(*model, kSource, kTarget) -
                  log_probability(*model, shorter(kSource, 2), kTarget),
              1e-11);
}

TEST(ExplainTranslation, EmptyInputIsRefused) {
  const auto model = translator(models::Architecture::kBahdanau);
  try {
    explain_translation(*model, {}, kTarget);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), HasSubstr("explain_translation of 0 source and 4 target tokens"));
  }
  EXPECT_THROW(explain_translation(*model, kSource, {}), Error);
}

TEST(ExplainTranslation, SameBitsWithAnyNumberOfThreads) {
  const auto model = translator(models::Architecture::kBahdanau);
  use_threads(1);
  const auto one = explain_translation(*model, kSource, kTarget);
  for (const int n : {2, 3}) {
    use_threads(n);
    const auto many = explain_translation(*model, kSource, kTarget);
    EXPECT_EQ(one.effects, many.effects);
    EXPECT_EQ(one.weights, many.weights);
    EXPECT_EQ(one.attention_leave_one_out.chance, many.attention_leave_one_out.chance);
  }
}

TEST(MeanRankAgreement, IsTheMeanOfTheRowsTaus) {
  const Rows a = {{.7, .2, .1}, {.1, .2, .7}}, b = {{3, 2, -1}, {3, 2, 1}};  // τ = 1 and −1
  EXPECT_NEAR(mean_rank_agreement(a, b).tau, 0, 1e-15);
  const Rows rows = {{.5, .3, .2}, {.6, .3, .1}}, c = {{1, 2, 3}, {1, 3, 2}};  // τ = −1 and −1/3
  EXPECT_NEAR(mean_rank_agreement(rows, c).tau, -2. / 3, 1e-15);
  const double nan = std::nan("");
  EXPECT_NEAR(mean_rank_agreement({{.5, .3, .2}, {1, 1, 1}, {nan, 1, nan}},
                                  {{3, 2, 1}, {1, 2, 3}, {1, 2, 3}})
                  .tau,
              1, 1e-15);  // rows without a τ are left out
  EXPECT_TRUE(std::isnan(mean_rank_agreement({}, {}).tau));
}

TEST(MeanRankAgreement, TheBandOfManyRowsIsNarrowerThanThatOfOne) {
  Rows a(9, {.5, .2, .15, .1, .05}), b(9, {5, 4, 3, 2, 1});
  const Agreement one = rank_agreement(a[0], b[0]), nine = mean_rank_agreement(a, b);
  EXPECT_NEAR(one.tau, 1, 1e-15);
  EXPECT_NEAR(nine.tau, 1, 1e-15);
  EXPECT_LT(nine.band_high, one.band_high / 2);  // by √9, as far as the quantiles tell
  EXPECT_GT(nine.band_high, 0);
  EXPECT_NEAR(nine.chance, 1. / 1001, 1e-15);
}

TEST(MeanRankAgreement, RowsMustPair) {
  EXPECT_THROW(mean_rank_agreement({{1, 2}}, {}), Error);
  EXPECT_THROW(mean_rank_agreement({{1, 2}}, {{1, 2, 3}}), Error);
}

TEST(VerdictOfRows, AOneToOneAlignmentIsNotFlat) {
  const Agreement good{.9, .001, -.2, .2};
  Rows sharp(5, std::vector<double>(5, .075));
  for (std::size_t i = 0; i < 5; ++i) sharp[i][i] = .7;  // summed over rows all are equal
  EXPECT_EQ(verdict_of_rows(sharp, good), Verdict::kWell);
  EXPECT_EQ(verdict_of_rows(Rows(5, std::vector<double>(5, .2)), good), Verdict::kAllEqual);
  EXPECT_EQ(verdict_of_rows(Rows{}, good), Verdict::kNoAttention);
}

TEST(ExplainTranslation, TheDocumentHoldsItAll) {
  const auto model = translator(models::Architecture::kBahdanau);
  const auto e = explain_translation(*model, kSource, kTarget);
  const TranslatedText texts{"x y z",
                             -1.5,
                             {"a", "b", "c", "d", "e", "f"},
                             {"x", "y", "z", "</s>"},
                             {{0, 0}, {2, 1}, {4, 2}}};
  const auto d = nlohmann::json::parse(to_json(e, texts, "runs/x"));
  EXPECT_EQ(d["schema"], "attend.explain/1");
  EXPECT_EQ(d["output"]["translation"], "x y z");
  EXPECT_EQ(d["output"]["score"], -1.5);
  EXPECT_EQ(d["output"]["alignment"], (std::vector<std::vector<int>>{{0, 0}, {2, 1}, {4, 2}}));
  const auto& map = d["attention"][0];
  EXPECT_EQ(map["name"], "cross");
  EXPECT_EQ(map["query"], texts.target);
  EXPECT_EQ(map["key"], texts.source);
  EXPECT_EQ(map["weights"].get<Rows>(), e.weights);
  EXPECT_EQ(d["attribution"]["leave_one_out"].get<std::vector<double>>(), e.leave_one_out);
  EXPECT_EQ(d["attribution"]["leave_one_out_by_target"].get<Rows>(), e.effects);
  EXPECT_EQ(d["agreement"]["attention_leave_one_out"]["tau"], e.attention_leave_one_out.tau);
  EXPECT_EQ(d["agreement"]["compared"], 4);
  const auto one = nlohmann::json::parse(
      to_json(explain_translation(*model, {5}, kTarget), {"", 0, {"a"}, texts.target, {}}, "r"));
  EXPECT_TRUE(one["attribution"]["leave_one_out"][0].is_null());
  EXPECT_TRUE(one["agreement"]["attention_leave_one_out"].is_null());
  EXPECT_EQ(one["agreement"]["verdict"], "one_word");
}

}  // namespace
}  // namespace attend::explain
