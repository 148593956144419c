// What a language model looked back on and needed, against the losses of whole rows: a path through the model that
// explain_language does not take.
// Mutations these tests kill: the sign of an effect turned; weights read one column early; a batch's rows skipped; effects written
// a row late; maps summed, not averaged over all; the token before deleted; entropies measured against rows of full length.
#include "attend/explain/language.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "support/message_of.h"

namespace attend::explain {
namespace {

using models::LanguageArchitecture;
using ::testing::HasSubstr;
using Ids = std::vector<std::int64_t>;

std::unique_ptr<models::LanguageModel> language(LanguageArchitecture architecture) {
  models::LanguageConfig c;
  c.architecture = architecture, c.vocabulary = 12, c.max_length = 80;
  c.embedding_width = 8, c.hidden = 6, c.attention_width = 5, c.heads = 2, c.feed_forward = 12;
  c.layers = 2, c.dropout = .3;
  auto model = models::make_language_model(c, 3, at::kDouble);
  const at::NoGradGuard no_grad;
  // Weights that matter: as made they are so small that no token would change anything.
  for (auto& [name, x] : model->parameters())
    if (x.dim() > 1) x.mul_(2);
  return model;
}

/// log p(tokens) by the forced pass that training takes.
double log_probability(models::LanguageModel& model, Ids tokens) {
  if (tokens.empty()) return 0;
  const at::NoGradGuard no_grad;
  tokens.insert(tokens.begin(), models::kBegin);
  return -model.loss(at::tensor(tokens, at::kLong).unsqueeze(0), {}).item<double>();
}

Ids first(const Ids& ids, std::size_t n) {
  return Ids(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n));
}

Ids shorter(Ids ids, std::size_t s) {
  ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(s));
  return ids;
}

const Ids kText = {4, 7, 5, 11, 6, 4, 9};

class LanguageKinds : public ::testing::TestWithParam<LanguageArchitecture> {};

TEST_P(LanguageKinds, EffectsAreWhatDeletedTokensTakeFromTheNextGuess) {
  const auto model = language(GetParam());
  const LanguageExplanation e = explain_language(*model, kText);
  ASSERT_EQ(e.effects.size(), kText.size());
  double total = 0;
  for (std::size_t t = 0; t < kText.size(); ++t) {
    const Ids before = first(kText, t), with = first(kText, t + 1);
    EXPECT_NEAR(e.log_probabilities[t],
                log_probability(*model, with) - log_probability(*model, before), 1e-11);
    total += e.log_probabilities[t];
    ASSERT_EQ(e.effects[t].size(), kText.size());
    for (std::size_t s = 0; s < kText.size(); ++s) {
      const bool measured = t > 0 && t + 1 < kText.size() && s <= t;
      EXPECT_EQ(std::isnan(e.effects[t][s]), !measured) << t << " " << s;
      if (!measured) continue;
      const Ids next = first(kText, t + 2);
      const double lost = log_probability(*model, next) - log_probability(*model, with) -
                          log_probability(*model, shorter(next, s)) +
                          log_probability(*model, shorter(with, s));
      EXPECT_NEAR(e.effects[t][s], lost, 1e-11) << t << " " << s;
      EXPECT_GT(std::abs(lost), 1e-7);
    }
  }
  EXPECT_NEAR(total, log_probability(*model, kText), 1e-11);
}

TEST_P(LanguageKinds, GuessesAreTheLikeliestNextTokens) {
  const auto model = language(GetParam());
  const LanguageExplanation e = explain_language(*model, kText);
  ASSERT_EQ(e.guesses.size(), kText.size());
  for (std::size_t t = 0; t < kText.size(); ++t) {
    const double so_far = log_probability(*model, first(kText, t + 1));
    double best = -std::numeric_limits<double>::infinity();
    std::int64_t likeliest = -1;
    for (std::int64_t next = 0; next < 12; ++next) {
      if (next == models::kPadding || next == models::kBegin) continue;
      Ids longer = first(kText, t + 1);
      longer.push_back(next);
      const double p = log_probability(*model, longer) - so_far;
      if (p > best) best = p, likeliest = next;
    }
    EXPECT_EQ(e.guesses[t], likeliest) << t;
    EXPECT_NEAR(e.guess_log_probabilities[t], best, 1e-11) << t;
  }
}

TEST_P(LanguageKinds, LeaveOneOutIsWhatAllThatFollowsLoses) {
  const auto model = language(GetParam());
  const LanguageExplanation e = explain_language(*model, kText);
  const std::size_t n = kText.size();
  ASSERT_EQ(e.leave_one_out.size(), n);
  EXPECT_TRUE(std::isnan(e.leave_one_out[n - 1]));  // nothing follows
  for (std::size_t s = 0; s + 1 < n; ++s) {
    // By the chain rule, from the token behind s on; the second token's effects are not measured.
    const std::size_t from = std::max<std::size_t>(s, 1);
    const double with = log_probability(*model, kText) -
                        log_probability(*model, first(kText, from + 1)),
                 without = log_probability(*model, shorter(kText, s)) -
                           log_probability(*model, shorter(first(kText, from + 1), s));
    EXPECT_NEAR(e.leave_one_out[s], with - without, 1e-10) << s;
  }
}

TEST_P(LanguageKinds, WeightsAreTheModels) {
  const auto model = language(GetParam());
  const LanguageExplanation e = explain_language(*model, kText);
  if (GetParam() == LanguageArchitecture::kLstm) {
    EXPECT_TRUE(e.maps.empty());
    EXPECT_TRUE(e.weights.empty());
    EXPECT_EQ(e.verdict, Verdict::kNoAttention);
    EXPECT_EQ(e.compared, 0);
    return;
  }
  Ids read = kText;
  read.insert(read.begin(), models::kBegin);
  const at::NoGradGuard no_grad;
  const auto all = model->attention(at::tensor(read, at::kLong).unsqueeze(0));
  const bool itself = GetParam() == LanguageArchitecture::kTransformer;
  ASSERT_EQ(e.maps.size(), all.size());
  ASSERT_EQ(e.maps.size(), itself ? 4U : 2U);
  for (std::size_t t = 0; t < kText.size(); ++t) {
    for (std::size_t s = 0; s < kText.size(); ++s) {
      double mean = 0;
      for (std::size_t m = 0; m < all.size(); ++m) {
        EXPECT_EQ(e.maps[m].layer, all[m].layer);
        EXPECT_EQ(e.maps[m].head, all[m].head);
        const double w = e.maps[m].weights[t][s];
        ASSERT_EQ(std::isnan(w), s > t || (s == t && !itself)) << t << " " << s;
        if (std::isnan(w)) continue;
        EXPECT_NEAR(
            w,
            all[m]
                .weights[0][static_cast<std::int64_t>(t) + 1][static_cast<std::int64_t>(s) + 1]
                .item<double>(),
            1e-12);
        mean += w / static_cast<double>(all.size());
      }
      if (!std::isnan(e.weights[t][s])) {
        EXPECT_NEAR(e.weights[t][s], mean, 1e-12);
      }
    }
  }
  // Of every token with a known next one and two before it at least, a largest weight and a largest effect.
  EXPECT_EQ(e.compared, static_cast<std::int64_t>(kText.size()) - 2);
  EXPECT_LE(e.same_token, e.compared);
}

TEST_P(LanguageKinds, MoreVariantsThanABatch) {
  const auto model = language(GetParam());
  Ids text;
  for (std::int64_t i = 0; i < 70; ++i) text.push_back(4 + i * 5 % 8);
  const LanguageExplanation e = explain_language(*model, text);
  for (const std::size_t s : {0U, 63U, 64U, 68U}) {
    const Ids with = first(text, 69);
    EXPECT_NEAR(e.effects[68][s],
                log_probability(*model, text) - log_probability(*model, with) -
                    log_probability(*model, shorter(text, s)) +
                    log_probability(*model, shorter(with, s)),
                1e-10)
        << s;
  }
}

TEST_P(LanguageKinds, OneTokenAndNoToken) {
  const auto model = language(GetParam());
  const LanguageExplanation e = explain_language(*model, {5});
  EXPECT_NEAR(e.log_probabilities.at(0), log_probability(*model, {5}), 1e-11);
  EXPECT_TRUE(std::isnan(e.effects[0][0]));
  EXPECT_EQ(e.compared, 0);
  EXPECT_THAT(test::message_of([&] { explain_language(*model, {}); }), HasSubstr("of 0 tokens"));
  EXPECT_THAT(test::message_of([&] { explain_language(*model, Ids(80, 5)); }),
              HasSubstr("fewer than max_length = 80"));
}

INSTANTIATE_TEST_SUITE_P(All, LanguageKinds,
                         ::testing::Values(LanguageArchitecture::kLstm,
                                           LanguageArchitecture::kLstmn,
                                           LanguageArchitecture::kTransformer));

TEST(LanguageExplanation, VerdictOfRowsThatMayNotLookAhead) {
  const double none = std::nan("");
  const Agreement good{.8, .01, -.2, .2};
  std::vector<std::vector<double>> equal(6, std::vector<double>(6, none)), sharp = equal;
  for (std::size_t t = 0; t < 6; ++t)
    for (std::size_t s = 0; s <= t; ++s)
      equal[t][s] = 1.0 / static_cast<double>(t + 1), sharp[t][s] = s == 0 ? 1.0 : 0.0;
  EXPECT_EQ(verdict_of_rows(equal, good), Verdict::kAllEqual);
  EXPECT_EQ(verdict_of_rows(sharp, good), Verdict::kWell);
}

TEST(LanguageExplanation, Document) {
  const auto model = language(LanguageArchitecture::kLstmn);
  const LanguageExplanation e = explain_language(*model, {4, 5, 6});
  const auto d =
      nlohmann::json::parse(to_json(e, {{"a", "b\xff", "c"}, {"x", "y", "z"}}, "runs/x"));
  EXPECT_EQ(d["schema"], "attend.explain/1");
  EXPECT_EQ(d["input"][1], "b\xEF\xBF\xBD");
  EXPECT_EQ(d["attention"].size(), 2U);
  EXPECT_TRUE(d["attention"][1]["weights"][1][1].is_null());
  EXPECT_EQ(d["attention"][1]["weights"][1][0], e.maps[1].weights[1][0]);
  EXPECT_EQ(d["attribution"]["leave_one_out_by_token"][1][0], e.effects[1][0]);
  EXPECT_EQ(d["output"]["log_probability"][2], e.log_probabilities[2]);
  EXPECT_EQ(d["output"]["guess"][2], "z");
  EXPECT_EQ(d["output"]["guess_log_probability"][2], e.guess_log_probabilities[2]);
  EXPECT_EQ(d["attribution"]["leave_one_out"][0], e.leave_one_out[0]);
  EXPECT_TRUE(d["attribution"]["leave_one_out"][2].is_null());
}

}  // namespace
}  // namespace attend::explain
