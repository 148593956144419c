// Language models: an LSTM's equations in loops of double, prediction against the loss, who may see whom, gradients, what
// is forgotten.
//
// Planted faults that these tests kill:
//   padding is predicted; the last tokens are forgotten instead of the first; a Transformer's tokens see later ones; the
//   prompt is not read; states are not reordered with their rows; all of a full row is read again but its first token; what groups of
//   rows say is not put back where they stand; a long prompt's beginning is kept; every token stands at position 0 when a reading
//   goes on; h and c change places in an LSTM's state; an LSTMN's summary is not carried on
#include "attend/models/language_model.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/decode/search.h"
#include "attend/ops/machine.h"
#include "support/compare.h"
#include "support/gradcheck.h"
#include "support/message_of.h"

namespace attend::models {
namespace {

struct Variant {
  const char* name;
  LanguageArchitecture architecture;
  std::int64_t layers = 1;
  bool share = false;
  NormPlace norm = NormPlace::kFirst;
};

const std::vector<Variant> kVariants = {
    {"lstm", LanguageArchitecture::kLstm},
    {"lstm_two_layers", LanguageArchitecture::kLstm, 2},
    {"lstm_shared", LanguageArchitecture::kLstm, 1, true},
    {"lstmn", LanguageArchitecture::kLstmn},
    {"lstmn_two_layers", LanguageArchitecture::kLstmn, 2},
    {"transformer", LanguageArchitecture::kTransformer, 2},
    {"transformer_shared", LanguageArchitecture::kTransformer, 1, true},
    {"transformer_post_norm", LanguageArchitecture::kTransformer, 2, false, NormPlace::kLast},
};

LanguageConfig config_of(const Variant& v) {
  LanguageConfig c;
  c.architecture = v.architecture, c.layers = v.layers, c.share_embeddings = v.share;
  c.norm = v.norm;
  c.vocabulary = 8, c.max_length = 5, c.embedding_width = 4, c.hidden = v.share ? 4 : 3;
  c.attention_width = 5, c.heads = 2, c.feed_forward = 6, c.dropout = 0.3;
  return c;
}

/// Initial biases are zero and weights small: this makes all of them count.
std::unique_ptr<LanguageModel> model_of(const Variant& v) {
  auto model = make_language_model(config_of(v), 3, at::kDouble);
  for (auto& [name, parameter] : model->parameters())
    at::Tensor(parameter).data().add_(
        test::random_tensor(parameter.sizes(), std::hash<std::string>{}(name) % 1000, 0.5));
  return model;
}

/// A full row and one of three tokens.
at::Tensor rows() {
  return at::tensor({2, 4, 5, 6, 7, 5, 2, 6, 4, 7, 0, 0}, at::kLong).view({2, 6});
}

class EveryLanguageModel : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override { use_threads(1); }
};
INSTANTIATE_TEST_SUITE_P(Language, EveryLanguageModel, ::testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

TEST_P(EveryLanguageModel, TheLossIsWhatNextPredicts) {
  const auto model = model_of(GetParam());
  const at::Tensor tokens = rows();
  double sum = 0;
  for (std::int64_t b = 0; b < 2; ++b)
    for (std::int64_t t = 0; t < 5; ++t) {
      const auto wanted = tokens[b][t + 1].item<std::int64_t>();
      if (wanted == kPadding) continue;
      const at::Tensor said = model->next(tokens.narrow(0, b, 1).narrow(1, 0, t + 1));  // [1,V]
      EXPECT_NEAR(said.exp().sum().item<double>(), 1, 1e-12);
      sum -= said[0][wanted].item<double>();
    }
  EXPECT_NEAR(model->loss(tokens, Pass{}).item<double>(), sum, 1e-10 * sum);
}

TEST_P(EveryLanguageModel, WhatComesLaterAndPaddingDontCount) {
  const auto model = model_of(GetParam());
  at::Tensor tokens = rows();
  const double both = model->loss(tokens, Pass{}).item<double>();
  const double first = model->loss(tokens.narrow(0, 0, 1), Pass{}).item<double>();
  const double second = model->loss(tokens.narrow(0, 1, 1).narrow(1, 0, 4), Pass{}).item<double>();
  EXPECT_NEAR(both, first + second, 1e-10 * both);
}

TEST_P(EveryLanguageModel, AttentionSeesWhatItMay) {
  const auto model = model_of(GetParam());
  const bool lstmn = GetParam().architecture == LanguageArchitecture::kLstmn;
  const auto seen = model->attention(rows().narrow(1, 0, 5));
  if (GetParam().architecture == LanguageArchitecture::kLstm) {
    EXPECT_TRUE(seen.empty());
    return;
  }
  ASSERT_EQ(static_cast<std::int64_t>(seen.size()),
            GetParam().layers * (lstmn ? 1 : model->config().heads));
  EXPECT_EQ(seen.back().layer, GetParam().layers - 1);
  for (const LanguageAttention& map : seen) {
    ASSERT_EQ(map.weights.sizes(), (at::IntArrayRef{2, 5, 5}));
    for (std::int64_t t = 0; t < 5; ++t) {
      const at::Tensor row = map.weights[0][t];
      const std::int64_t visible = lstmn ? t : t + 1;
      EXPECT_NEAR(row.narrow(0, 0, visible).sum().item<double>(), visible > 0 ? 1 : 0, 1e-12);
      EXPECT_EQ(row.abs().sum().item<double>(),
                row.narrow(0, 0, visible).abs().sum().item<double>());
    }
  }
}

/// Every parameter against central differences, with dropout (a function of the pass) on.
TEST_P(EveryLanguageModel, GradientsAreThoseOfTheLoss) {
  const auto model = model_of(GetParam());
  const at::Tensor tokens = rows();
  Pass pass;
  pass.training = true, pass.seed = 5, pass.step = 2;
  test::expect_parameter_gradients([&] { return model->loss(tokens, pass); }, model->parameters(),
                                   {.most = 0, .absolute = 1e-6, .relative = 0});
}

TEST_P(EveryLanguageModel, DropoutIsOnlyForTrainingAndAFunctionOfTheStep) {
  const auto model = model_of(GetParam());
  Pass pass;
  pass.training = true, pass.seed = 5, pass.step = 2;
  const double plain = model->loss(rows(), Pass{}).item<double>();
  const double dropped = model->loss(rows(), pass).item<double>();
  EXPECT_NE(plain, dropped);
  EXPECT_EQ(model->loss(rows(), pass).item<double>(), dropped);
  pass.step = 3;
  EXPECT_NE(model->loss(rows(), pass).item<double>(), dropped);
}

/// However a row is cut into pieces, and whatever rows stand beside it.
TEST_P(EveryLanguageModel, ReadOnFromAStateItSaysTheSame) {
  const auto model = model_of(GetParam());
  const at::Tensor tokens = rows().narrow(1, 0, 5);
  for (const std::vector<std::int64_t>& pieces :
       std::vector<std::vector<std::int64_t>>{{1, 1, 1, 1, 1}, {3, 1, 1}, {2, 3}, {5}}) {
    LanguageState state;
    for (const std::int64_t piece : pieces) {
      const at::Tensor said = model->next(tokens.narrow(1, state.length, piece), state);
      EXPECT_LT(test::relative_error(said, model->next(tokens.narrow(1, 0, state.length))), 1e-12);
    }
    EXPECT_EQ(state.length, 5);
  }
}

/// Rows that are left out, come twice and change places, as beams do.
TEST_P(EveryLanguageModel, ReorderedStatesGoOnAsTheirRows) {
  const auto model = model_of(GetParam());
  LanguageState state;
  at::Tensor read = at::tensor({2, 4, 5, 2, 6, 4, 2, 7, 7}, at::kLong).view({3, 3});
  model->next(read, state);
  for (const std::vector<std::int64_t>& parents :
       std::vector<std::vector<std::int64_t>>{{2, 0, 2, 1}, {3, 1}}) {
    const at::Tensor from = at::tensor(parents, at::kLong);
    const at::Tensor more = at::tensor({4, 5, 6, 7}, at::kLong).narrow(0, 0, from.size(0));
    reorder(state, from);
    read = at::cat({read.index_select(0, from), more.unsqueeze(1)}, 1);
    EXPECT_LT(test::relative_error(model->next(more.unsqueeze(1), state), model->next(read)),
              1e-12);
  }
}

/// Without cache: what was read is read again at each step.
std::vector<std::int64_t> continued(LanguageModel& model, const std::vector<std::int64_t>& prompt,
                                    std::int64_t tokens) {
  std::vector<std::int64_t> row{kBegin}, out;
  row.insert(row.end(), prompt.begin(), prompt.end());
  const std::int64_t most = model.config().max_length;
  if (static_cast<std::int64_t>(row.size()) > most) row.erase(row.begin(), row.end() - most);
  for (std::int64_t i = 0; i < tokens; ++i) {
    if (static_cast<std::int64_t>(row.size()) > most)
      row.erase(row.begin(), row.end() - (most + 1) / 2);
    at::Tensor said = model.next(at::tensor(row, at::kLong).unsqueeze(0))[0];
    for (const std::int64_t never : {kPadding, kBegin, kEnd}) said[never] = -1e9;
    out.push_back(said.argmax().item<std::int64_t>());
    row.push_back(out.back());
  }
  return out;
}

TEST_P(EveryLanguageModel, ContinuesWithTheLikeliestAndForgetsWhatIsFarBack) {
  const auto model = model_of(GetParam());
  const std::vector<std::vector<std::int64_t>> prompts{
      {4, 6}, {}, {5, 5, 5, 7, 6, 4, 4}, {7, 4}, {4, 6, 5, 7}};
  LanguageSteps steps(*model, prompts);
  decode::SearchOptions options;
  options.max_length = 9, options.min_length = 9;
  for (int again = 0; again < 2; ++again) {  // start() forgets
    const decode::Hypotheses found = decode::greedy(steps, options);
    ASSERT_EQ(found.size(), prompts.size());
    for (std::size_t b = 0; b < prompts.size(); ++b)
      EXPECT_EQ(found[b].front().tokens, continued(*model, prompts[b], 9)) << "prompt " << b;
  }
}

/// Beams split, end and cross between prompts of different lengths: each one's log-probability is that of its tokens.
TEST_P(EveryLanguageModel, BeamsAreWorthWhatTheirTokensAre) {
  const auto model = model_of(GetParam());
  const std::vector<std::vector<std::int64_t>> prompts{{4}, {}, {6}};
  LanguageSteps steps(*model, prompts);
  decode::SearchOptions options;
  options.max_length = 3, options.max_lengths = {3, 2, 1};
  decode::BeamOptions beam;
  beam.beam = 4, beam.best = 4;
  const decode::Hypotheses found = decode::beam_search(steps, options, beam);
  for (std::size_t b = 0; b < prompts.size(); ++b)
    for (const decode::Hypothesis& h : found[b]) {
      std::vector<std::int64_t> row{kBegin};
      row.insert(row.end(), prompts[b].begin(), prompts[b].end());
      double sum = 0;
      std::vector<std::int64_t> written = h.tokens;
      written.push_back(kEnd);
      for (const std::int64_t token : written) {
        sum += model->next(at::tensor(row, at::kLong).unsqueeze(0))[0][token].item<double>();
        row.push_back(token);
      }
      EXPECT_NEAR(h.log_probability, sum, 1e-10);
    }
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Parameters of a model as nested vectors, by name.
class Weights {
 public:
  explicit Weights(LanguageModel& model) : all_(model.parameters()) {}
  double operator()(const char* name, std::int64_t i, std::int64_t j = -1) const {
    for (const auto& [n, x] : all_)
      if (n == name) return j < 0 ? x[i].item<double>() : x[i][j].item<double>();
    ADD_FAILURE() << "no parameter " << name;
    return 0;
  }

 private:
  NamedTensors all_;
};

TEST(Language, AnLstmPredictsAsItsEquationsSay) {
  const auto model = model_of(kVariants[0]);
  const Weights w(*model);
  const at::Tensor tokens = rows();
  std::vector<double> h(3), c(3);
  double loss = 0;
  for (std::int64_t t = 0; t < 5; ++t) {
    const auto id = tokens[0][t].item<std::int64_t>(),
               wanted = tokens[0][t + 1].item<std::int64_t>();
    std::vector<double> gate(12);
    for (std::int64_t g = 0; g < 12; ++g) {
      gate[static_cast<std::size_t>(g)] = w("lstm.bias_l0", g);
      for (std::int64_t e = 0; e < 4; ++e)
        gate[static_cast<std::size_t>(g)] +=
            w("lstm.weight_ih_l0", g, e) * w("embedding.weight", id, e);
      for (std::int64_t u = 0; u < 3; ++u)
        gate[static_cast<std::size_t>(g)] +=
            w("lstm.weight_hh_l0", g, u) * h[static_cast<std::size_t>(u)];
    }
    for (std::size_t u = 0; u < 3; ++u) {
      c[u] = sigmoid(gate[3 + u]) * c[u] + sigmoid(gate[u]) * std::tanh(gate[6 + u]);
      h[u] = sigmoid(gate[9 + u]) * std::tanh(c[u]);
    }
    double total = 0, right = 0;
    for (std::int64_t v = 0; v < 8; ++v) {
      double score = w("output.bias", v);
      for (std::int64_t u = 0; u < 3; ++u)
        score += w("output.weight", v, u) * h[static_cast<std::size_t>(u)];
      total += std::exp(score);
      if (v == wanted) right = score;
    }
    loss += std::log(total) - right;
  }
  EXPECT_NEAR(model->loss(tokens.narrow(0, 0, 1), Pass{}).item<double>(), loss, 1e-10);
}

TEST(Language, TheSeedDecidesTheWeights) {
  for (const Variant& v : kVariants) {
    const auto one = make_language_model(config_of(v), 3),
               same = make_language_model(config_of(v), 3),
               other = make_language_model(config_of(v), 4);
    bool differs = false;
    for (std::size_t i = 0; i < one->parameters().size(); ++i) {
      EXPECT_TRUE(at::equal(one->parameters()[i].second, same->parameters()[i].second));
      differs |= !at::equal(one->parameters()[i].second, other->parameters()[i].second);
    }
    EXPECT_TRUE(differs) << v.name;
  }
}

TEST(Language, SizesThatMakeNoSenseAreNamed) {
  const auto message = [](auto change) {
    LanguageConfig c = config_of(kVariants[0]);
    change(c);
    return test::message_of([&] { make_language_model(c, 1); });
  };
  EXPECT_THAT(message([](auto& c) { c.vocabulary = 3; }),
              testing::HasSubstr("model.vocabulary is 3"));
  EXPECT_THAT(message([](auto& c) { c.hidden = 0; }), testing::HasSubstr("model.hidden is 0"));
  EXPECT_THAT(message([](auto& c) { c.share_embeddings = true; }),
              testing::HasSubstr("model.share_embeddings needs"));
  EXPECT_THAT(
      message([](auto& c) { c.architecture = LanguageArchitecture::kTransformer, c.heads = 3; }),
      testing::HasSubstr("multiple of model.heads = 3"));
  const auto model = model_of(kVariants[0]);
  EXPECT_THAT(test::message_of([&] {
                model->next(at::tensor({2, 4, 4, 4, 4, 4}, at::kLong).view({1, 6}));
              }),
              testing::HasSubstr("have 6 tokens, and model.max_length allows 5"));
  LanguageState state;
  model->next(rows().narrow(1, 0, 3), state);
  EXPECT_THAT(test::message_of([&] { model->next(rows().narrow(1, 0, 3), state); }),
              testing::HasSubstr("have 3 tokens, and model.max_length allows 2"));
  EXPECT_THAT(test::message_of([&] { model->next(rows().narrow(0, 0, 1).narrow(1, 3, 1), state); }),
              testing::HasSubstr("1 rows go on from 2"));
}

}  // namespace
}  // namespace attend::models
