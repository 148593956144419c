// Scores of captions beside COCO's own evaluation code (tests/golden/make_caption_scores.py).
//
// Killed mutations: the longer of two lengths as near; references' counts added up; counts not
// clipped; no 10⁻¹⁵; the brevity penalty for long captions too; n-grams as many as words;
// frequencies by caption instead of by image; a frequency below 1 for what no reference has;
// weights not clipped; σ = 5; the sum of references instead of their mean; a division by a norm of
// 0; words joined over a hyphen at their end; letters beyond ASCII left out; a full stop kept by
// one letter, and a stop between a letter and a digit (both lived through the first version).
#include "attend/train/caption_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "support/message_of.h"

namespace attend::train {
namespace {

using nlohmann::json;
using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

/// Both are sums of some hundred terms, in another order.
void expect_close(double got, double want, const std::string& what) {
  EXPECT_NEAR(got, want, 1e-12 * std::max(1.0, std::abs(want))) << what;
}

TEST(CaptionScores, AreThoseOfTheEvaluationCode) {
  const json all = json::parse(std::ifstream(ATTEND_GOLDEN "/caption_scores.json"));
  for (const json& given : all) {
    const auto name = given.at("name").get<std::string>();
    const CaptionScores scores =
        caption_scores(given.at("captions").get<std::vector<std::string>>(),
                       given.at("references").get<std::vector<References>>());
    for (std::size_t n = 0; n < 4; ++n) {
      const double want = given.at("bleu").at(n).get<double>();
      EXPECT_NEAR(scores.bleu[n], want, 1e-12 * want + 1e-300) << name << " BLEU-" << n + 1;
    }
    expect_close(scores.cider, given.at("cider").get<double>(), name + " CIDEr-D");
    const auto each = given.at("cider_each").get<std::vector<double>>();
    ASSERT_EQ(scores.cider_each.size(), each.size());
    for (std::size_t i = 0; i < each.size(); ++i)
      expect_close(scores.cider_each[i], each[i], name + " " + std::to_string(i));
  }
  EXPECT_GT(all.size(), 15U);
}

/// From the equations by hand: two images, one reference each, σ = 6.
TEST(CaptionScores, ByHand) {
  const CaptionScores scores = caption_scores({"red dog", "cat"}, {{"red dog runs"}, {"cat"}});
  // Of the first: all weights log 2; unigrams 2 of √2·√3, pairs 1 of 1·√2, none longer.
  const double penalty = std::exp(-1.0 / 72);
  expect_close(scores.cider_each[0], 10.0 / 4 * penalty * (2 / std::sqrt(6.0) + 1 / std::sqrt(2.0)),
               "first");
  expect_close(scores.cider_each[1], 10.0 / 4, "second");
  // Three words of four: r = 4, c = 3.
  EXPECT_NEAR(scores.bleu[0], std::exp(1 - 4.0 / 3), 1e-8);
  EXPECT_NEAR(scores.bleu[1], std::exp(1 - 4.0 / 3), 1e-8);
  EXPECT_LT(scores.bleu[3], 1e-3);
}

TEST(CaptionScores, Refusals) {
  EXPECT_THAT(message_of([] { caption_scores({}, {}); }), HasSubstr("nothing to score"));
  EXPECT_THAT(message_of([] { caption_scores({"a"}, {}); }),
              HasSubstr("1 captions for references of 0 images"));
  EXPECT_THAT(message_of([] {
                caption_scores({"a", "b"}, {{"a"}, {}});
              }),
              HasSubstr("image 1 has no reference"));
  EXPECT_THAT(message_of([] { caption_scores({"\xff"}, {{"a"}}); }), HasSubstr("not valid UTF-8"));
}

TEST(CaptionWords, AreThoseOfTheTreebank) {
  EXPECT_THAT(caption_words("A Dog, running."), ElementsAre("a", "dog", "running"));
  EXPECT_THAT(caption_words("He doesn't see the dog's T-shirt!"),
              ElementsAre("he", "does", "n't", "see", "the", "dog", "'s", "t-shirt"));
  EXPECT_THAT(caption_words("They're we've I'll I'm he'd"),
              ElementsAre("they", "'re", "we", "'ve", "i", "'ll", "i", "'m", "he", "'d"));
  EXPECT_THAT(caption_words("dogs' ball cannot 5 o'clock"),
              ElementsAre("dogs", "ball", "can", "not", "5", "o'clock"));
  EXPECT_THAT(caption_words("1,000 men at 10:30, 3.5 of 7."),
              ElementsAre("1,000", "men", "at", "10:30", "3.5", "of", "7"));
  EXPECT_THAT(caption_words("Mr. Smith in the U.S. flag on St. Mary's."),
              ElementsAre("mr.", "smith", "in", "the", "u.s.", "flag", "on", "st.", "mary", "'s"));
  EXPECT_THAT(
      caption_words("\"Stop\" (it says) -- and... go; a $5 & 20% sign #1"),
      ElementsAre("stop", "it", "says", "and", "go", "a", "$", "5", "20", "%", "sign", "#", "1"));
  EXPECT_THAT(caption_words("it’s a café"), ElementsAre("it", "'s", "a", "café"));
  EXPECT_THAT(caption_words(" . , \t"), ElementsAre());
  EXPECT_THAT(caption_words("a-"), ElementsAre("a"));
  EXPECT_THAT(caption_words("room.5 of plan a."), ElementsAre("room", "5", "of", "plan", "a"));
}

}  // namespace
}  // namespace attend::train
