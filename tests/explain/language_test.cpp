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
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/viz/reading.h"
#include "support/message_of.h"

namespace attend::explain {
namespace {

using models::LanguageArchitecture;
using ::testing::HasSubstr;
using ::testing::Not;
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
  const auto d = nlohmann::json::parse(to_json(e, {"a", "b\xff", "c"}, "runs/x"));
  EXPECT_EQ(d["schema"], "attend.explain/1");
  EXPECT_EQ(d["input"][1], "b\xEF\xBF\xBD");
  EXPECT_EQ(d["attention"].size(), 2U);
  EXPECT_TRUE(d["attention"][1]["weights"][1][1].is_null());
  EXPECT_EQ(d["attention"][1]["weights"][1][0], e.maps[1].weights[1][0]);
  EXPECT_EQ(d["attribution"]["leave_one_out_by_token"][1][0], e.effects[1][0]);
  EXPECT_EQ(d["output"]["log_probability"][2], e.log_probabilities[2]);
}

TEST(Reading, RowsTableAndVerdict) {
  const double none = std::nan("");
  viz::Reading r;
  r.tokens = {"the", "cat", "\x1b[2Jsat"};
  r.log_probabilities = {std::log(.5), std::log(.25), std::log(.125)};
  r.weights = {{none, none, none}, {1, none, none}, {.25, .75, none}};
  r.effects = {{none, none, none}, {.5, .75, none}, {none, none, none}};
  r.verdict = viz::Verdict::kFewWords;
  const std::string plain = viz::terminal(r);
  EXPECT_THAT(plain, HasSubstr("[the]\n"));
  EXPECT_THAT(plain, HasSubstr("the█ [cat]\n"));
  EXPECT_THAT(plain, HasSubstr("the▂ cat█ [␛[2Jsat]\n"));
  EXPECT_THAT(plain, HasSubstr("Too few tokens to compare"));
  EXPECT_THAT(plain, testing::ContainsRegex("cat +\\.25  the +1\\.00  the +\\+\\.50\n"));
  EXPECT_THAT(plain, HasSubstr(".13  cat                 .75  –"));
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));
  viz::TerminalOptions colour;
  colour.colour = viz::Colour::kTrue;
  EXPECT_THAT(viz::terminal(r, colour), HasSubstr("\x1b["));
  r.characters = true, r.cut = 7;
  r.tokens = {"a", " ", "b"};
  EXPECT_THAT(viz::terminal(r), HasSubstr("a▂␣█[b]\n"));
  EXPECT_THAT(viz::terminal(r), HasSubstr("7 tokens in front were not read"));
  r.weights.pop_back();
  EXPECT_THAT(test::message_of([&] { viz::terminal(r); }), HasSubstr("not 3 × 3"));
}

}  // namespace
}  // namespace attend::explain
