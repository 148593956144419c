// The measures on real models in double precision, beside direct loops and finite differences.
// Mutations these tests kill: the logit's sign left out for class 0; the gradient taken on all
// logits; padding positions counted as words; the back cut instead of the front; deletion that
// leaves a hole; the probability of class 1 used for class 0; a variant's result written to its
// neighbour; rows of one batch mixed at its border; uniform attention ignored; gradients left on
// the parameters; a seed's range without the first model; deciding words weighed with sign; of an LSTMN the first layer's look
// for the last one's; a step's own word among those it looked back on; rows of words left out not skipped.
#include "attend/explain/sentiment.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/base/threads.h"
#include "attend/explain/json.h"
#include "support/compare.h"

namespace attend::explain {
namespace {

using ::testing::HasSubstr;

// Hundreds of passes over one sentence each: waking threads would cost more than the work.
const bool kOneThread = (at::set_num_threads(1), set_threads(1), true);

std::unique_ptr<models::Classifier> model_of(models::ClassifierConfig config, std::uint64_t seed) {
  config.vocabulary = 20, config.embedding_width = 6, config.hidden = 5, config.max_length = 8;
  auto model = models::make_classifier(config, seed, at::kDouble);
  const at::NoGradGuard no_grad;  // weights large enough that words matter
  for (auto& [name, tensor] : model->parameters()) {
    Random random(seed, Purpose::kGenerate, static_cast<std::uint64_t>(tensor.numel()));
    double* p = tensor.mutable_data_ptr<double>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i) p[i] = .8 * random.normal();
  }
  return model;
}

models::ClassifierConfig pooling(bool mask, std::int64_t classes = 2) {
  models::ClassifierConfig c;
  c.attention = models::Attention::kPool, c.mask_padding = mask, c.classes = classes;
  return c;
}

Input input_of(const std::vector<std::int64_t>& ids, std::int64_t label = 0) {
  Input input;
  input.label = label;
  for (const std::int64_t id : ids)
    input.words.push_back({"w" + std::to_string(id), id, id == 0, false});
  return input;
}

// What the model says of exactly these ids, alone in a batch: probabilities, and the weights [T].
std::pair<std::vector<double>, std::vector<double>> direct(models::Classifier& model,
                                                           std::vector<std::int64_t> ids,
                                                           bool uniform = false) {
  const at::NoGradGuard no_grad;
  const auto n = static_cast<std::int64_t>(ids.size());
  ids.resize(8, 0);
  models::Pass pass;
  pass.uniform_attention = uniform;
  const auto out =
      model.forward({at::tensor(ids, at::kLong).unsqueeze(0), at::tensor({n}, at::kLong)}, pass);
  const at::Tensor p = models::probabilities(out).contiguous();
  std::vector<double> weights;
  if (out.weights.defined())
    weights.assign(out.weights.const_data_ptr<double>(),
                   out.weights.const_data_ptr<double>() + out.weights.numel());
  return {{p.const_data_ptr<double>(), p.const_data_ptr<double>() + p.numel()}, weights};
}

std::size_t best(const std::vector<double>& p) {
  return static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin());
}

std::vector<std::vector<std::int64_t>> texts() {
  std::vector<std::vector<std::int64_t>> all = {
      {3, 7, 1, 12, 9}, {5}, {4, 4, 2, 19, 20, 6, 11, 8}, {10, 2}};
  Random random(11, Purpose::kGenerate);
  while (all.size() < 30) {  // enough that answers differ from one sentence to the next
    std::vector<std::int64_t> ids(1 + random.below(8));
    for (auto& id : ids) id = 1 + static_cast<std::int64_t>(random.below(20));
    all.push_back(ids);
  }
  return all;
}
const auto kTexts = texts();

std::vector<Input> inputs() {
  std::vector<Input> all;
  for (const auto& ids : kTexts) all.push_back(input_of(ids));
  return all;
}

models::ClassifierConfig looking_back(bool mask, std::int64_t layers = 1) {
  models::ClassifierConfig c;
  c.cell = models::Cell::kLstmn, c.attention_width = 4, c.recurrent_dropout = 0;
  c.mask_padding = mask, c.layers = layers;
  return c;
}

class Models : public ::testing::TestWithParam<std::tuple<bool, std::int64_t, std::uint64_t>> {
 protected:
  std::unique_ptr<models::Classifier> model() const {
    const auto [mask, classes, seed] = GetParam();
    return model_of(pooling(mask, classes), seed);
  }
  bool masked() const { return std::get<0>(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(MaskClassesSeed, Models,
                         ::testing::Combine(::testing::Bool(), ::testing::Values(2, 4),
                                            ::testing::Values(1, 2, 3)));

TEST_P(Models, LeaveOneOutIsTheDirectLoop) {
  const auto m = model();
  Options options;
  options.batch = 3;  // borders fall inside a sentence
  const auto all = explain_sentences({m.get()}, inputs(), options);
  for (std::size_t n = 0; n < kTexts.size(); ++n) {
    const auto whole = direct(*m, kTexts[n]).first;
    ASSERT_EQ(all[n].predicted, static_cast<std::int64_t>(best(whole)));
    EXPECT_NEAR(all[n].probability, whole[best(whole)], 1e-12);
    for (std::size_t i = 0; i < kTexts[n].size(); ++i) {
      auto rest = kTexts[n];
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
      const auto without = direct(*m, rest).first;
      EXPECT_NEAR(all[n].what_if[i], without[best(whole)], 1e-12) << n << " " << i;
      EXPECT_NEAR(all[n].leave_one_out[i], whole[best(whole)] - without[best(whole)], 1e-12);
      EXPECT_EQ(all[n].what_if_label[i], static_cast<std::int64_t>(best(without)));
    }
  }
}

TEST_P(Models, AttentionIsTheModelsOwn) {
  const auto m = model();
  const auto all = explain_sentences({m.get()}, inputs());
  for (std::size_t n = 0; n < kTexts.size(); ++n) {
    const auto weights = direct(*m, kTexts[n]).second;
    double total = all[n].attention_on_padding;
    for (std::size_t i = 0; i < kTexts[n].size(); ++i) {
      EXPECT_NEAR(all[n].attention[i], weights[i], 1e-12);
      total += all[n].attention[i];
    }
    EXPECT_NEAR(total, 1, 1e-12);
    EXPECT_EQ(all[n].padding, masked() ? 0 : 8 - static_cast<std::int64_t>(kTexts[n].size()));
    if (masked())
      EXPECT_EQ(all[n].attention_on_padding, 0);
    else
      EXPECT_EQ(all[n].attention_on_padding > 0, kTexts[n].size() < 8);
  }
}

// z of the predicted class against the rest, with word i's embedding stretched by `scale`.
double stretched(models::Classifier& model, const std::vector<std::int64_t>& text, std::size_t word,
                 double scale, std::int64_t predicted) {
  const at::NoGradGuard no_grad;
  auto ids = text;
  ids.resize(8, 0);
  at::Tensor x = model.embed(at::tensor(ids, at::kLong).unsqueeze(0)).detach().clone();
  x.select(1, static_cast<std::int64_t>(word)).mul_(scale);
  const auto out = model.forward_embedded(
      x, at::tensor({static_cast<std::int64_t>(text.size())}, at::kLong), {});
  const at::Tensor p = models::probabilities(out).contiguous();
  const double chosen = p.const_data_ptr<double>()[predicted];
  return std::log(chosen / (1 - chosen));  // the logit against all other classes
}

TEST_P(Models, GradientTimesInputIsTheSlopeAlongTheInput) {
  const auto m = model();
  Options options;
  options.batch = 2;
  const auto all = explain_sentences({m.get()}, inputs(), options);
  constexpr double kStep = 1e-5;
  for (std::size_t n = 0; n < kTexts.size(); ++n) {
    for (std::size_t i = 0; i < kTexts[n].size(); ++i) {
      const double up = stretched(*m, kTexts[n], i, 1 + kStep, all[n].predicted);
      const double down = stretched(*m, kTexts[n], i, 1 - kStep, all[n].predicted);
      EXPECT_NEAR(all[n].gradient_x_input[i], (up - down) / (2 * kStep), 1e-7) << n << " " << i;
    }
  }
}

TEST_P(Models, LeavesNoGradientOnTheParameters) {
  const auto m = model();
  explain_sentences({m.get()}, inputs());
  for (const auto& [name, tensor] : m->parameters()) EXPECT_FALSE(tensor.grad().defined()) << name;
}

TEST_P(Models, UniformAttentionIsTheMeanOfTheStates) {
  const auto m = model();
  for (const auto& ids : kTexts) {
    const auto weights = direct(*m, ids, true).second;
    const std::size_t read = masked() ? ids.size() : 8;
    for (std::size_t t = 0; t < 8; ++t)
      EXPECT_NEAR(weights[t], t < read ? 1.0 / static_cast<double>(read) : 0, 1e-12);
  }
  auto all = inputs();
  std::int64_t right = 0, right_uniform = 0;
  for (std::size_t n = 0; n < all.size(); ++n) {
    all[n].label = n % 2;
    right += best(direct(*m, kTexts[n]).first) == n % 2;
    right_uniform += best(direct(*m, kTexts[n], true).first) == n % 2;
  }
  all.push_back(input_of({1, 2}, -1));  // without a label: not counted
  EXPECT_DOUBLE_EQ(accuracy(*m, all).value, static_cast<double>(right) / 30);
  EXPECT_DOUBLE_EQ(accuracy_with_uniform_attention(*m, all).value,
                   static_cast<double>(right_uniform) / 30);
}

TEST(Explain, WordsThatTheModelDoesNotSeeAreMarked) {
  const auto m = model_of(pooling(false), 4);
  Input input =
      input_of({9, 3, 0, 7, 1, 12, 9, 5, 6, 2, 4});  // ten ids for eight places, one dropped
  input.words[4].unknown = true;
  const auto e = explain_sentence(*m, input);
  using S = Seen;
  EXPECT_EQ(e.seen,
            (std::vector<Seen>{S::kCut, S::kCut, S::kDropped, S::kSeen, S::kUnknown, S::kSeen,
                               S::kSeen, S::kSeen, S::kSeen, S::kSeen, S::kSeen}));
  EXPECT_EQ(e.padding, 0);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(std::isnan(e.attention[i]));
    EXPECT_TRUE(std::isnan(e.leave_one_out[i]));
    EXPECT_TRUE(std::isnan(e.gradient_x_input[i]));
    EXPECT_EQ(e.what_if_label[i], -1);
  }
  // Deleting a seen word lets the nearest cut word (3) move in at the front.
  const auto p = static_cast<std::size_t>(e.predicted);
  EXPECT_NEAR(e.what_if[3], direct(*m, {3, 1, 12, 9, 5, 6, 2, 4}).first[p], 1e-12);
  Options back;
  back.truncate = Truncate::kBack;
  const auto b = explain_sentence(*m, input, back);
  EXPECT_EQ(b.seen[0], S::kSeen);
  EXPECT_EQ(b.seen[10], S::kCut);
  EXPECT_NEAR(b.what_if[0],
              direct(*m, {3, 7, 1, 12, 9, 5, 6, 2}).first[static_cast<std::size_t>(b.predicted)],
              1e-12);
}

TEST(Explain, PaddingMayStandInFront) {
  const auto m = model_of(pooling(false), 5);
  Options options;
  options.padding = Padding::kFront;
  const auto e = explain_sentence(*m, input_of({3, 7, 1}), options);
  const auto [p, weights] = direct(*m, {0, 0, 0, 0, 0, 3, 7, 1});
  EXPECT_NEAR(e.probability, p[static_cast<std::size_t>(e.predicted)], 1e-12);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(e.attention[i], weights[5 + i], 1e-12);
  EXPECT_NEAR(e.what_if[2],
              direct(*m, {0, 0, 0, 0, 0, 0, 3, 7}).first[static_cast<std::size_t>(e.predicted)],
              1e-12);
}

TEST(Explain, ASentenceWithoutASeenWordHasNoMeasures) {
  for (const bool mask : {false, true}) {
    const auto m = model_of(pooling(mask), 6);
    const auto e = explain_sentence(*m, input_of({0, 0}));
    EXPECT_EQ(e.verdict, Verdict::kNoAttention);
    EXPECT_GT(e.probability, 0);
    EXPECT_TRUE(std::isnan(e.attention[0]));
    EXPECT_TRUE(std::isnan(e.leave_one_out[1]));
    EXPECT_EQ(explain_sentence(*m, Input{}).words.size(), 0u);
  }
}

TEST(Explain, WithoutAttentionTheOtherMeasuresAreThere) {
  models::ClassifierConfig config;
  const auto m = model_of(config, 7);
  const auto e = explain_sentence(*m, inputs()[0]);
  EXPECT_TRUE(e.attention.empty());
  EXPECT_EQ(e.verdict, Verdict::kNoAttention);
  EXPECT_TRUE(std::isnan(e.attention_leave_one_out.tau));
  EXPECT_FALSE(std::isnan(e.leave_one_out_gradient.tau));
  EXPECT_TRUE(std::isnan(accuracy_with_uniform_attention(*m, inputs()).value));
  Options options;
  options.gradients = false;
  EXPECT_TRUE(explain_sentence(*m, inputs()[0], options).gradient_x_input.empty());
}

TEST(Explain, SeedsGiveARangeAndAnAgreement) {
  const auto a = model_of(pooling(true), 1), b = model_of(pooling(true), 2),
             c = model_of(pooling(true), 3), none = model_of({}, 4);
  const auto e = explain_sentences({a.get(), b.get(), none.get(), c.get()}, inputs())[0];
  std::vector<std::vector<double>> lists;
  for (const auto* m : {&a, &b, &c}) lists.push_back(direct(**m, kTexts[0]).second);
  for (auto& list : lists) list.resize(5);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(e.attention_low[i], std::min({lists[0][i], lists[1][i], lists[2][i]}), 1e-12);
    EXPECT_NEAR(e.attention_high[i], std::max({lists[0][i], lists[1][i], lists[2][i]}), 1e-12);
  }
  EXPECT_NEAR(e.seed_agreement, mean_pairwise_tau(lists), 1e-12);
  EXPECT_TRUE(explain_sentences({a.get()}, inputs())[0].attention_low.empty());
}

TEST(Explain, SaysWhatIsWrongWithItsArguments) {
  const auto m = model_of(pooling(true), 1);
  const auto message = [&](const std::vector<models::Classifier*>& models,
                           const std::vector<Input>& in, ErrorKind kind) -> std::string {
    try {
      explain_sentences(models, in);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind);
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(message({}, {}, ErrorKind::kUsage), HasSubstr("no model given"));
  EXPECT_THAT(message({nullptr}, {}, ErrorKind::kUsage), HasSubstr("a model is NULL"));
  EXPECT_THAT(message({m.get()}, {input_of({21})}, ErrorKind::kBadInput),
              HasSubstr("word 'w21' has id 21, outside 0…20"));
  EXPECT_THAT(message({m.get()}, {input_of({-1})}, ErrorKind::kBadInput), HasSubstr("id -1"));
}

TEST(Explain, AnswersAreThoseOfTheExplanation) {
  const auto m = model_of(pooling(true, 4), 9);
  const auto all = explain_sentences({m.get()}, inputs());
  const auto said = answers(*m, inputs());
  for (std::size_t n = 0; n < all.size(); ++n) {
    EXPECT_EQ(said[n].predicted, all[n].predicted);
    EXPECT_DOUBLE_EQ(said[n].probability, all[n].probability);
  }
}

SentenceExplanation with_truth(std::vector<double> attention, std::vector<double> loo,
                               std::vector<bool> deciding, double tau) {
  SentenceExplanation e;
  for (const bool d : deciding)
    e.words.push_back({"w", 1, false, d}), e.seen.push_back(Seen::kSeen);
  e.attention = std::move(attention), e.leave_one_out = std::move(loo);
  e.attention_leave_one_out.tau = tau;
  e.seed_agreement = std::nan("");
  return e;
}

TEST(Summary, ShareOfEachMeasureOnDecidingWords) {
  const double none = std::nan("");
  auto a = with_truth({.5, .1, .2}, {-.3, .1, 0}, {true, false, false},
                      .4);  // attention on words sums to .8
  a.attention_on_padding = .2;
  auto b = with_truth({.25, .75}, {.2, -.6}, {false, true}, -.2);
  auto c = with_truth({.9, .1}, {.1, .1}, {false, false}, none);  // nothing decides: not counted
  auto d =
      with_truth({none, 1}, {none, .5}, {true, false}, none);  // the deciding word was not seen
  d.seen[0] = Seen::kDropped;
  const Summary s = summarise({a, b, c, d});
  EXPECT_EQ(s.sentences, 4);
  EXPECT_EQ(s.with_truth, 2);
  EXPECT_NEAR(s.words, (1.0 / 3 + 1.0 / 2) / 2, 1e-15);
  EXPECT_NEAR(s.attention, (.625 + .75) / 2, 1e-15);
  EXPECT_NEAR(s.leave_one_out, (.75 + .75) / 2, 1e-15);
  EXPECT_TRUE(std::isnan(s.gradient_x_input));
  EXPECT_NEAR(s.median_tau, .1, 1e-15);
  EXPECT_NEAR(s.mean_attention_on_padding, .05, 1e-15);
  EXPECT_TRUE(std::isnan(s.median_seed_agreement));
  EXPECT_EQ(summarise({}).sentences, 0);
}

TEST(ToJson, FollowsTheSchema) {
  const auto a = model_of(pooling(false), 1), b = model_of(pooling(false), 2);
  Input input = inputs()[0];
  input.words[1].id = 0, input.words[1].text = "bad\xFF\"<";
  const auto e = explain_sentences({a.get(), b.get()}, {input})[0];
  const auto j = nlohmann::json::parse(to_json(e, "runs/x", {"negative", "positive"}));
  EXPECT_EQ(j["schema"], "attend.explain/1");
  EXPECT_EQ(j["run"], "runs/x");
  EXPECT_EQ(j["input"],
            nlohmann::json::parse("[\"w3\",\"bad\xEF\xBF\xBD\\\"<\",\"w1\",\"w12\",\"w9\"]"));
  EXPECT_EQ(j["seen"][1], "dropped");
  EXPECT_EQ(j["output"]["label"], e.predicted == 1 ? "positive" : "negative");
  EXPECT_EQ(j["truth"], "negative");
  EXPECT_EQ(j["attention"][0]["query"], nlohmann::json::array({"sentence"}));
  EXPECT_EQ(j["attention"][0]["key"], j["input"]);
  EXPECT_EQ(j["attention"][0]["weights"].size(), 1u);
  EXPECT_TRUE(j["attention"][0]["weights"][0][1].is_null());
  EXPECT_DOUBLE_EQ(j["attention"][0]["weights"][0][4].get<double>(), e.attention[4]);
  EXPECT_DOUBLE_EQ(j["attribution"]["leave_one_out"][0].get<double>(), e.leave_one_out[0]);
  EXPECT_DOUBLE_EQ(j["attribution"]["gradient_x_input"][0].get<double>(), e.gradient_x_input[0]);
  EXPECT_TRUE(j["attribution"]["rollout"].is_null());
  EXPECT_TRUE(j["what_if"][1].is_null());
  EXPECT_DOUBLE_EQ(j["what_if"][0]["probability"].get<double>(), e.what_if[0]);
  EXPECT_DOUBLE_EQ(j["seeds"]["low"][0].get<double>(), e.attention_low[0]);
  EXPECT_EQ(j["agreement"]["verdict"], "few_words");
  const auto plain = model_of({}, 3);
  const auto p =
      nlohmann::json::parse(to_json(explain_sentence(*plain, inputs()[0]), "r", {"n", "p"}));
  EXPECT_EQ(p["attention"], nlohmann::json::array());
  EXPECT_TRUE(p["seeds"].is_null());
  EXPECT_TRUE(p["agreement"]["attention_leave_one_out"].is_null());
}

/// What a step looked back on stands at its word; the last step's in the last layer is the sentence's attention.
TEST(SelfAttention, IsTheModelsAtTheWordsItRead) {
  for (const bool mask : {true, false}) {
    const auto model = model_of(looking_back(mask, 2), 3);
    const std::vector<std::int64_t> ids{3, 7, 1, 12, 9};
    Input input = input_of({3, 7, 0, 1, 12, 9});  // the word without id is not read
    const SentenceExplanation e = explain_sentence(*model, input);
    std::vector<std::int64_t> padded = ids;
    padded.resize(8, 0);
    const std::vector<models::SelfAttention> layers = model->self_attention(
        {at::tensor(padded, at::kLong).unsqueeze(0), at::tensor({5}, at::kLong)});
    ASSERT_EQ(e.self_attention.size(), 2U);
    const std::size_t places[] = {0, 1, 3, 4, 5};
    for (std::int64_t k = 0; k < 2; ++k) {
      const SelfAttention& map = e.self_attention[static_cast<std::size_t>(k)];
      EXPECT_EQ(map.layer, k);
      for (std::int64_t t = 0; t < 5; ++t)
        for (std::int64_t j = 0; j < 5; ++j) {
          const double shown = map.weights[places[t]][places[j]];
          if (j >= t)
            EXPECT_TRUE(std::isnan(shown));
          else
            EXPECT_NEAR(shown, layers[static_cast<std::size_t>(k)].weights[0][t][j].item<double>(),
                        1e-15);
        }
      for (const double w : map.weights[2]) EXPECT_TRUE(std::isnan(w));
    }
    const std::int64_t last = mask ? 4 : 7;
    double sum = e.attention_on_padding;
    for (std::int64_t j = 0; j < 5; ++j) {
      const double shown = e.attention[places[j]];
      if (j >= last) {
        EXPECT_TRUE(std::isnan(shown));
        continue;
      }
      EXPECT_NEAR(shown, layers[1].weights[0][last][j].item<double>(), 1e-15);
      sum += shown;
    }
    EXPECT_NEAR(sum, 1, 1e-12);
    EXPECT_EQ(e.attention_on_padding > 0, !mask);
    EXPECT_TRUE(std::isnan(e.attention[2]));
    EXPECT_FALSE(e.pools);
    const auto document = nlohmann::json::parse(to_json(e, "run", {"no", "yes"}));
    ASSERT_EQ(document["attention"].size(), 2U);
    EXPECT_EQ(document["attention"][1]["name"], "self");
    EXPECT_EQ(document["attention"][1]["layer"], 1);
    EXPECT_EQ(document["attention"][1]["weights"][1][0], e.self_attention[1].weights[1][0]);
    EXPECT_TRUE(document["attention"][1]["weights"][0][0].is_null());
  }
}

TEST(SelfAttention, OneWordAndNone) {
  const auto model = model_of(looking_back(true), 3);
  const SentenceExplanation one = explain_sentence(*model, input_of({4}));
  ASSERT_EQ(one.self_attention.size(), 1U);
  EXPECT_TRUE(std::isnan(one.self_attention[0].weights[0][0]));
  EXPECT_EQ(one.verdict, Verdict::kNoAttention);
  EXPECT_TRUE(explain_sentence(*model, input_of({0})).attention.empty());
}

TEST(SelfAttention, PoolingStaysTheSentencesAttention) {
  models::ClassifierConfig config = looking_back(true);
  config.attention = models::Attention::kPool;
  const auto model = model_of(config, 3);
  const SentenceExplanation e = explain_sentence(*model, input_of({3, 7, 1}));
  const std::vector<double> pooled = direct(*model, {3, 7, 1}).second;
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(e.attention[i], pooled[i], 1e-15);
  EXPECT_EQ(e.self_attention.size(), 1U);
  const auto document = nlohmann::json::parse(to_json(e, "run", {"no", "yes"}));
  EXPECT_EQ(document["attention"][0]["name"], "pool");
  EXPECT_EQ(document["attention"][1]["name"], "self");
}

/// BERT's words see each other: every head is shown, and no word carries one weight.
TEST(SelfAttention, OfBertIsThatOfEveryHead) {
  models::ClassifierConfig c;
  c.architecture = models::ClassifierArchitecture::kBert;
  c.bert.vocabulary = 20, c.bert.width = 8, c.bert.layers = 2, c.bert.heads = 2;
  c.bert.feed_forward = 12, c.bert.max_positions = 10, c.bert.dropout = 0;
  c.vocabulary = 19, c.embedding_width = 8, c.max_length = 8, c.dropout = 0;
  c.begin_id = 2, c.end_id = 3;
  const auto model = models::make_classifier(c, 5, at::kDouble);
  for (const auto& [name, x] : model->parameters())  // a new encoder knows nothing
    at::Tensor(x).data().add_(test::random_tensor(x.sizes(), std::hash<std::string>{}(name) % 99));
  const Input input = input_of({5, 0, 7, 11});
  const SentenceExplanation e = explain_sentence(*model, input);
  EXPECT_TRUE(e.attention.empty());
  EXPECT_EQ(e.verdict, Verdict::kNoAttention);
  ASSERT_EQ(e.self_attention.size(), 4U);
  const std::vector<models::SelfAttention> seen = model->self_attention(
      {at::tensor({5, 7, 11}, at::kLong).unsqueeze(0), at::tensor({3}, at::kLong)});
  const std::size_t places[] = {0, 2, 3};
  for (std::size_t m = 0; m < 4; ++m) {
    const SelfAttention& map = e.self_attention[m];
    EXPECT_EQ(map.layer, static_cast<std::int64_t>(m / 2));
    EXPECT_EQ(map.head, static_cast<std::int64_t>(m % 2));
    for (const double w : map.weights[1]) EXPECT_TRUE(std::isnan(w)) << "a word that was not read";
    for (std::int64_t t = 0; t < 3; ++t)
      for (std::int64_t j = 0; j < 3; ++j)
        EXPECT_NEAR(map.weights[places[t]][places[j]], seen[m].weights[0][t][j].item<double>(),
                    1e-12);
  }
  Options without;
  without.self_attention = false;
  SentenceExplanation later = explain_sentence(*model, input, without);
  EXPECT_TRUE(later.self_attention.empty());
  add_self_attention(later, *model, input, without);
  ASSERT_EQ(later.self_attention.size(), 4U);
  for (const std::size_t place : places)
    EXPECT_EQ(later.self_attention[3].weights[2][place], e.self_attention[3].weights[2][place]);
}

TEST(SelfAttention, RangesOverSeeds) {
  const auto one = model_of(looking_back(true), 3), other = model_of(looking_back(true), 4);
  const auto both = explain_sentences({one.get(), other.get()}, {input_of({3, 7, 1, 12})});
  ASSERT_EQ(both[0].attention_low.size(), 4U);
  EXPECT_LT(both[0].attention_low[0], both[0].attention_high[0]);
}

}  // namespace
}  // namespace attend::explain
