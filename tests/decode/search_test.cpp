#include "attend/decode/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attend/base/error.h"
#include "support/message_of.h"
#include "table_model.h"

namespace attend::decode {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Search, ASentenceAloneAndInABatch) {
  std::vector<std::uint64_t> ids;
  for (std::uint64_t i = 0; i < 17; ++i) ids.push_back(i * 7 + 1);
  SearchOptions o;
  o.max_length = 10;
  BeamOptions beam;
  beam.beam = 4, beam.best = 3, beam.length_alpha = 0.6, beam.coverage_beta = 0.2;
  SampleOptions draw;
  draw.samples = 3, draw.top_k = 6, draw.top_p = 0.9, draw.temperature = 1.3, draw.seed = 11;
  TableModel all(ids, 10);
  const auto beams = beam_search(all, o, beam);
  const auto firsts = greedy(all, o);
  const auto drawn = sample(all, o, draw);
  for (std::size_t b = 0; b < ids.size(); ++b) {
    TableModel one({ids[b]}, 10);
    draw.first_source = b;
    const auto alone = beam_search(one, o, beam)[0];
    const auto alone_drawn = sample(one, o, draw)[0];
    ASSERT_EQ(alone.size(), beams[b].size());
    for (std::size_t i = 0; i < alone.size(); ++i) expect_same(alone[i], beams[b][i]);
    for (std::size_t i = 0; i < 3; ++i) expect_same(alone_drawn[i], drawn[b][i]);
    expect_same(greedy(one, o)[0][0], firsts[b][0]);
  }
}

TEST(Search, AnEndedSentenceTakesNoMoreRows) {
  TableModel model({1, 2, 3, 4}, 8);
  SearchOptions o;
  o.max_length = 20;
  std::int64_t tokens = 0;
  for (const auto& found : greedy(model, o))
    tokens += static_cast<std::int64_t>(found[0].tokens.size()) + 1;
  EXPECT_EQ(model.rows, tokens);
}

TEST(Search, LengthsPrefixesAndForbiddenTokens) {
  TableModel model({1, 2}, 8);
  model.eos_weight = 50;
  SearchOptions o;
  o.max_length = 6;
  o.min_length = 3;
  o.prefixes = {{5, 6}, {}};
  o.forbidden = {0, 2, 1, 7};
  BeamOptions beam;
  beam.beam = beam.best = 4;
  for (const Hypotheses& all : {greedy(model, o), beam_search(model, o, beam), sample(model, o)})
    for (std::size_t b = 0; b < 2; ++b)
      for (const Hypothesis& h : all[b]) {
        EXPECT_GE(h.tokens.size(), 3U);
        EXPECT_LE(h.tokens.size(), 6U);
        if (b == 0) {
          EXPECT_THAT(Tokens(h.tokens.begin(), h.tokens.begin() + 2), ElementsAre(5, 6));
        }
        for (std::size_t t = b == 0 ? 2 : 0; t < h.tokens.size(); ++t)
          EXPECT_THAT(h.tokens[t], testing::AnyOf(4, 5, 6));
        double log_p = 0;  // the forced tokens count as well
        Tokens history = {2};
        for (const std::int64_t token : h.tokens) {
          log_p += model.log_p(b + 1, history)[static_cast<std::size_t>(token)];
          history.push_back(token);
        }
        log_p += model.log_p(b + 1, history)[kEos];
        EXPECT_NEAR(h.log_probability, log_p, 1e-12);
        EXPECT_EQ(h.attention.size(), h.tokens.size());
      }
  o.max_lengths = {3, 4};
  o.min_length = 0;
  model.eos_weight = 1e-9;
  const auto cut = greedy(model, o);
  EXPECT_EQ(cut[0][0].tokens.size(), 3U);
  EXPECT_EQ(cut[1][0].tokens.size(), 4U);
  EXPECT_TRUE(cut[1][0].ended);  // its eos is forced and counted
}

TEST(Search, NothingPossibleIsSaidNotInvented) {
  TableModel model({1}, 8);
  model.eos_weight = 0;
  SearchOptions o;
  o.max_length = 3;
  for (const Hypotheses& all : {greedy(model, o), beam_search(model, o), sample(model, o)}) {
    ASSERT_EQ(all[0].size(), 1U);
    EXPECT_FALSE(all[0][0].ended);
    EXPECT_EQ(all[0][0].tokens.size(), 3U);
  }
  TableModel none({}, 8);
  EXPECT_TRUE(greedy(none).empty());
  EXPECT_TRUE(beam_search(none).empty());
}

TEST(Search, WithoutAttention) {
  TableModel model({1, 2}, 8, 0);
  SearchOptions o;
  o.max_length = 5;
  EXPECT_TRUE(beam_search(model, o)[0][0].attention.empty());
  EXPECT_TRUE(hard_alignment(greedy(model, o)[0][0]).empty());
}

TEST(Alignment, UnknownWordsBecomeTheirSource) {
  Hypothesis h;
  h.tokens = {5, 1, 1, 6};
  h.attention = {{0.5F, 0.2F, 0.3F}, {0.1F, 0.8F, 0.1F}, {0.1F, 0.1F, 0.8F}, {0.4F, 0.4F, 0.2F}};
  EXPECT_THAT(hard_alignment(h), ElementsAre(0, 1, 2, 0));
  const std::vector<std::string> source = {"ein", "Zebra"};
  EXPECT_THAT(replace_unknown(h, {"a", "<unk>", "<unk>", "b"}, source, 1),
              ElementsAre("a", "Zebra", "<unk>", "b"));  // place 2 is behind the words: eos
  EXPECT_THROW(replace_unknown(h, {"a"}, source, 1), Error);
  h.attention.clear();
  EXPECT_THAT(replace_unknown(h, {"a", "<unk>", "c", "d"}, source, 1),
              ElementsAre("a", "<unk>", "c", "d"));
}

TEST(Search, Messages) {
  TableModel model({1, 2}, 8);
  const auto search = [&](const SearchOptions& o) { return message_of([&] { greedy(model, o); }); };
  SearchOptions o;
  o.max_length = 0;
  EXPECT_EQ(search(o), "greedy: max_length is 0; give 1 or more");
  o = {}, o.max_lengths = {1, 2, 3};
  EXPECT_THAT(search(o), HasSubstr("max_lengths has 3 values for 2 sources"));
  o = {}, o.max_lengths = {1, -2};
  EXPECT_THAT(search(o), HasSubstr("max_length is -2"));
  o = {}, o.min_length = -1;
  EXPECT_THAT(search(o), HasSubstr("min_length is -1"));
  o = {}, o.min_length = 5, o.max_length = 4;
  EXPECT_THAT(search(o), HasSubstr("min_length 5 is above max_length 4"));
  o = {}, o.prefixes = {{4}};
  EXPECT_THAT(search(o), HasSubstr("prefixes has 1 lists for 2 sources"));
  o = {}, o.prefixes = {{4}, {9}};
  EXPECT_THAT(search(o), HasSubstr("prefix token 9 is no id of the vocabulary 0…7"));
  o = {}, o.prefixes = {{4}, {3}};
  EXPECT_THAT(search(o), HasSubstr("the prefix of source 1 holds eos"));
  o = {}, o.prefixes = {{4, 4}, {}}, o.max_length = 1;
  EXPECT_THAT(search(o), HasSubstr("the prefix of source 0 has 2 tokens, more than max_length 1"));
  o = {}, o.forbidden = {3};
  EXPECT_THAT(search(o), HasSubstr("eos is among the forbidden tokens"));
  o = {}, o.eos = 8;
  EXPECT_THAT(search(o), HasSubstr("eos 8 is no id"));
  const auto beam = [&](BeamOptions b) { return message_of([&] { beam_search(model, {}, b); }); };
  EXPECT_THAT(beam({0, 1}), HasSubstr("beam is 0; give 1…1000"));
  EXPECT_THAT(beam({1'000'000'000, 1}), HasSubstr("beam is 1000000000"));
  EXPECT_THAT(beam({4, 5}), HasSubstr("best is 5; give 1…beam (4)"));
  EXPECT_THAT(beam({4, 1, -1}), HasSubstr("length_alpha is -1"));
  EXPECT_THAT(beam({4, 1, std::nan("")}), HasSubstr("length_alpha is nan"));
  EXPECT_THAT(beam({4, 1, 0, -1}), HasSubstr("coverage_beta is -1"));
  const auto draw = [&](SampleOptions s) { return message_of([&] { sample(model, {}, s); }); };
  EXPECT_THAT(draw({0}), HasSubstr("samples is 0"));
  EXPECT_THAT(draw({1, 0}), HasSubstr("temperature is 0"));
  EXPECT_THAT(draw({1, 1, -1}), HasSubstr("top_k is -1"));
  EXPECT_THAT(draw({1, 1, 0, 0}), HasSubstr("top_p is 0"));
  EXPECT_THAT(draw({1, 1, 0, 1.1}), HasSubstr("top_p is 1.1"));
  TableModel blind({1}, 8, 0);
  EXPECT_THAT(message_of([&] {
                beam_search(blind, {}, {4, 1, 0, 1});
              }),
              HasSubstr("coverage_beta needs a model"));
}

/// A model that gives what it was told to.
class Broken : public models::StepModel {
 public:
  explicit Broken(models::StepResult result) : result_(std::move(result)) {}
  std::int64_t sources() const override { return 1; }
  std::int64_t vocabulary() const override { return 5; }
  void start() override {}
  models::StepResult step(const at::Tensor&, const at::Tensor&) override { return result_; }

 private:
  models::StepResult result_;
};

TEST(Search, AModelThatGivesNonsense) {
  const auto told = [](models::StepResult result) {
    Broken model(std::move(result));
    return message_of([&] { beam_search(model); });
  };
  EXPECT_THAT(told({}), HasSubstr("step 1: the model gave log_probabilities of shape none"));
  at::Tensor log_p = at::empty({1, 5}, at::kFloat).fill_(-1.6F);
  EXPECT_THAT(told({log_p.t(), {}}), HasSubstr("shape [5, 1]; expected [1, 5]"));
  EXPECT_THAT(told({log_p, at::empty({2, 3})}),
              HasSubstr("attention of shape [2, 3]; expected [1, Lk]"));
  log_p.mutable_data_ptr<float>()[2] = std::nanf("");
  EXPECT_THAT(told({log_p, {}}), HasSubstr("step 1: the model gave NaN for source 0"));
}

TEST(Search, ALongSentenceNeedsNoDeepStack) {
  TableModel model({1}, 5);
  model.eos_weight = 1e-9;
  SearchOptions o;
  o.max_length = 1500;
  EXPECT_EQ(greedy(model, o)[0][0].tokens.size(), 1500U);
}

}  // namespace
}  // namespace attend::decode
