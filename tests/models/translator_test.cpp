// Translators: Bahdanau's decoder's equations in loops of double, decoding against teacher forcing, gradients, padding.
#include "attend/models/translator.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/ops/machine.h"
#include "support/compare.h"
#include "support/gradcheck.h"
#include "support/message_of.h"

namespace attend::models {
namespace {

struct Variant {
  const char* name;
  Architecture architecture;
  bool attention = true;
  nn::Score score = nn::Score::kAdditive;
  nn::Span span = nn::Span::kGlobal;
  bool input_feeding = true, reverse_source = false;
  std::int64_t layers = 1;
  NormPlace norm = NormPlace::kFirst;
  SharedEmbeddings share = SharedEmbeddings::kNone;
  Choice choice = Choice::kSoft;
  Fusion fusion = Fusion::kDeep;
};

const std::vector<Variant> kVariants = {
    {"rnnenc", Architecture::kBahdanau, false},
    {"rnnsearch", Architecture::kBahdanau},
    {"bahdanau_general", Architecture::kBahdanau, true, nn::Score::kGeneral},
    {"bahdanau_concat", Architecture::kBahdanau, true, nn::Score::kConcat},
    {"bahdanau_location", Architecture::kBahdanau, true, nn::Score::kLocation},
    {"bahdanau_local_m", Architecture::kBahdanau, true, nn::Score::kAdditive, nn::Span::kLocalM},
    {"bahdanau_local_p", Architecture::kBahdanau, true, nn::Score::kGeneral, nn::Span::kLocalP},
    {"luong_plain", Architecture::kLuong, false, nn::Score::kDot, nn::Span::kGlobal, true, true, 2},
    {"luong_dot", Architecture::kLuong, true, nn::Score::kDot, nn::Span::kGlobal, true, false, 2},
    {"luong_dot_unfed", Architecture::kLuong, true, nn::Score::kDot, nn::Span::kGlobal, false, true,
     2},
    {"luong_general", Architecture::kLuong, true, nn::Score::kGeneral},
    {"luong_concat", Architecture::kLuong, true, nn::Score::kConcat},
    {"luong_location", Architecture::kLuong, true, nn::Score::kLocation, nn::Span::kGlobal, false},
    {"luong_scaled", Architecture::kLuong, true, nn::Score::kScaledDot},
    {"luong_cosine", Architecture::kLuong, true, nn::Score::kCosine},
    {"luong_additive", Architecture::kLuong, true, nn::Score::kAdditive},
    {"luong_local_m", Architecture::kLuong, true, nn::Score::kDot, nn::Span::kLocalM, false},
    {"luong_local_m_fed", Architecture::kLuong, true, nn::Score::kDot, nn::Span::kLocalM},
    {"luong_local_p", Architecture::kLuong, true, nn::Score::kGeneral, nn::Span::kLocalP},
    {"luong_local_p_concat", Architecture::kLuong, true, nn::Score::kConcat, nn::Span::kLocalP,
     false},
    {.name = "bahdanau_hard", .architecture = Architecture::kBahdanau, .choice = Choice::kHard},
    {.name = "bahdanau_gumbel", .architecture = Architecture::kBahdanau, .choice = Choice::kGumbel},
    {.name = "luong_hard",
     .architecture = Architecture::kLuong,
     .score = nn::Score::kDot,
     .layers = 2,
     .choice = Choice::kHard},
    {.name = "luong_hard_unfed_local_p",
     .architecture = Architecture::kLuong,
     .score = nn::Score::kGeneral,
     .span = nn::Span::kLocalP,
     .input_feeding = false,
     .choice = Choice::kHard},
    {.name = "lstmn_deep", .architecture = Architecture::kLstmn},
    {.name = "lstmn_shallow", .architecture = Architecture::kLstmn, .fusion = Fusion::kShallow},
    {.name = "lstmn_shallow_general_local_p_hard",
     .architecture = Architecture::kLstmn,
     .score = nn::Score::kGeneral,
     .span = nn::Span::kLocalP,
     .choice = Choice::kHard,
     .fusion = Fusion::kShallow},
    {.name = "transformer", .architecture = Architecture::kTransformer, .layers = 2},
    {.name = "transformer_one_layer", .architecture = Architecture::kTransformer},
    {.name = "transformer_post_norm",
     .architecture = Architecture::kTransformer,
     .layers = 2,
     .norm = NormPlace::kLast},
    {.name = "transformer_shared_target",
     .architecture = Architecture::kTransformer,
     .share = SharedEmbeddings::kTarget},
    {.name = "transformer_shared_all",
     .architecture = Architecture::kTransformer,
     .layers = 3,
     .norm = NormPlace::kLast,
     .share = SharedEmbeddings::kAll},
};

TranslatorConfig config_of(const Variant& v) {
  TranslatorConfig c;
  c.architecture = v.architecture, c.attention = v.attention, c.score = v.score, c.span = v.span;
  c.input_feeding = v.input_feeding, c.reverse_source = v.reverse_source, c.layers = v.layers;
  c.choice = v.choice, c.fusion = v.fusion;
  c.source_vocabulary = 9, c.target_vocabulary = 8, c.max_length = 10;
  c.embedding_width = 3, c.hidden = 4, c.attention_width = 5, c.window = 2, c.dropout = 0.3;
  if (v.architecture != Architecture::kTransformer) return c;
  c.embedding_width = 6, c.heads = 2, c.feed_forward = 5, c.norm = v.norm;
  c.share_embeddings = v.share;
  if (v.share == SharedEmbeddings::kAll) c.target_vocabulary = c.source_vocabulary;
  return c;
}

std::unique_ptr<Translator> model_of(const Variant& v) {
  auto model = make_translator(config_of(v), 3, at::kDouble);
  for (auto& [name, parameter] :
       model->parameters())  // initial biases are zero and weights small: make all of it count
    at::Tensor(parameter).data().add_(
        test::random_tensor(parameter.sizes(), std::hash<std::string>{}(name) % 1000, 0.5));
  return model;
}

/// Two sentences of different lengths on both sides.
TranslationBatch batch() {
  TranslationBatch b;
  b.source = at::tensor({4, 5, 6, 7, 8, 5, 4, 0, 0, 0}, at::kLong).view({2, 5});
  b.source_lengths = at::tensor({5, 2}, at::kLong);
  b.target = at::tensor({kBegin, std::int64_t{4}, std::int64_t{5}, std::int64_t{6}, kEnd, kBegin,
                         std::int64_t{7}, kEnd, std::int64_t{0}, std::int64_t{0}},
                        at::kLong)
                 .view({2, 5});
  b.target_lengths = at::tensor({5, 3}, at::kLong);
  return b;
}

TranslationBatch row(const TranslationBatch& b, std::int64_t i) {
  const std::int64_t s = b.source_lengths[i].item<std::int64_t>(),
                     t = b.target_lengths[i].item<std::int64_t>();
  return {b.source.narrow(0, i, 1).narrow(1, 0, s), b.source_lengths.narrow(0, i, 1),
          b.target.narrow(0, i, 1).narrow(1, 0, t), b.target_lengths.narrow(0, i, 1)};
}

class EveryVariant : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    use_threads(1);
  }  // sizes of 3 to 9: waking threads would cost more than all else
};
INSTANTIATE_TEST_SUITE_P(Translator, EveryVariant, ::testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

TEST_P(EveryVariant, DecodesWhatItWasTaught) {
  const auto model = model_of(GetParam());
  const TranslationBatch b = batch();
  const at::NoGradGuard off;
  const double taught = model->loss(b, Pass{}, 0).words.item<double>();
  Decoding d = model->begin(b.source, b.source_lengths);
  double sum = 0;
  std::vector<at::Tensor> weights;
  for (std::int64_t t = 0; t + 1 < b.target.size(1); ++t) {
    const DecodingStep step = model->step(d, b.target.narrow(1, t, 1));
    for (std::int64_t i = 0; i < 2; ++i)
      if (const auto next = b.target[i][t + 1].item<std::int64_t>(); next != kPadding)
        sum -= step.log_probabilities[i][0][next].item<double>();
    weights.push_back(step.weights);
  }
  EXPECT_EQ(d.position, b.target.size(1) - 1);
  EXPECT_NEAR(sum, taught, 1e-10 * taught);
  const at::Tensor alignment = model->alignment(b);
  ASSERT_EQ(alignment.defined(), GetParam().attention);
  for (std::size_t t = 0; t < weights.size() && alignment.defined(); ++t)
    EXPECT_LT(test::relative_error(weights[t].select(1, 0),
                                   alignment.select(1, static_cast<std::int64_t>(t))),
              1e-10)
        << t;
}

TEST_P(EveryVariant, PaddingChangesNothing) {
  const auto model = model_of(GetParam());
  const TranslationBatch b = batch();
  const double together = model->loss(b, Pass{}, 0.1).words.item<double>();
  double alone = 0;
  for (std::int64_t i = 0; i < 2; ++i)
    alone += model->loss(row(b, i), Pass{}, 0.1).words.item<double>();
  EXPECT_NEAR(together, alone, 1e-10 * alone);
  EXPECT_EQ(target_tokens(b), 6);
}

// Of a sampled place nothing goes back through the choice, and nothing comes forward: differences agree. Gumbel's softmax goes back
// where no difference goes forward, so it is checked where the likeliest place is taken.
TEST_P(EveryVariant, GradientsOfTheWholeModel) {
  const auto model = model_of(GetParam());
  const TranslationBatch b = batch();
  Pass pass;
  pass.training = GetParam().choice != Choice::kGumbel,
  pass.seed = 5;  // dropout masks are a function of seed and step: constants here
  test::expect_parameter_gradients([&] { return model->loss(b, pass, 0.1).words; },
                                   model->parameters(), {.may_be_unused = true});
}

TEST_P(EveryVariant, HypothesesOfOneSentenceAreIndependent) {
  const auto model = model_of(GetParam());
  const TranslationBatch b = batch();
  const at::NoGradGuard off;
  const auto run = [&](const std::vector<std::int64_t>& tokens, bool with_others) {
    Decoding d = model->begin(b.source, b.source_lengths);
    model->step(d, at::full({2, 1}, kBegin, at::kLong));
    if (with_others) reorder(d, at::tensor({0, 0, 0, 0, 0, 0}, at::kLong).view({2, 3}));
    at::Tensor last;
    for (const std::int64_t token : tokens) {
      at::Tensor next = at::full({2, with_others ? 3 : 1}, token, at::kLong);
      if (with_others) next.select(1, 0).fill_(kUnknown), next.select(1, 2).fill_(7);
      last = model->step(d, next).log_probabilities.select(1, with_others ? 1 : 0);
    }
    return last;
  };
  EXPECT_LT(test::relative_error(run({4, 5}, true), run({4, 5}, false)), 1e-10);
}

// Bahdanau et al. 2015, §A.1.2 and §A.2.2, one decoder step from given annotations, in loops.
TEST(Bahdanau, DecoderStepIsThePapers) {
  const Variant v{"rnnsearch", Architecture::kBahdanau};
  const auto model = model_of(v);
  const at::NoGradGuard off;
  const TranslationBatch b = row(batch(), 0);
  Decoding d = model->begin(b.source, b.source_lengths);
  std::map<std::string, at::Tensor> p;
  for (const auto& [name, x] : model->parameters()) p[name] = x;
  const auto at2 = [&](const std::string& name, std::int64_t i, std::int64_t j) {
    return p.at(name)[i][j].item<double>();
  };
  const auto at1 = [&](const std::string& name, std::int64_t i) {
    return p.at(name)[i].item<double>();
  };
  const std::int64_t H = 4, E = 3, A = 5, S = 5, token = kBegin;
  const at::Tensor annotations = d.memory[1][0], before = d.rows[0][0][0];
  const auto h = [&](std::int64_t j, std::int64_t c) { return annotations[j][c].item<double>(); };
  const auto s = [&](std::int64_t i) { return before[i].item<double>(); };
  const auto y = [&](std::int64_t i) { return at2("decoder.embedding.weight", token, i); };

  std::vector<double> score(S), context(2 * H, 0);
  double total = 0;
  for (std::int64_t j = 0; j < S; ++j) {
    for (std::int64_t a = 0; a < A; ++a) {
      double x = at1("attention.query.bias", a);
      for (std::int64_t i = 0; i < H; ++i) x += at2("attention.query.weight", a, i) * s(i);
      for (std::int64_t i = 0; i < 2 * H; ++i) x += at2("attention.key.weight", a, i) * h(j, i);
      score[j] += at1("attention.score.weight", a) * std::tanh(x);
    }
    total += std::exp(score[j]);
  }
  for (std::int64_t j = 0; j < S; ++j)
    for (std::int64_t c = 0; c < 2 * H; ++c) context[c] += std::exp(score[j]) / total * h(j, c);

  const auto gate = [&](std::int64_t row, bool with_state) {
    double x = at1("decoder.gru.bias", row);
    for (std::int64_t i = 0; i < E; ++i) x += at2("decoder.gru.weight_ih", row, i) * y(i);
    for (std::int64_t i = 0; i < 2 * H; ++i) x += at2("decoder.gru.weight_ch", row, i) * context[i];
    for (std::int64_t i = 0; with_state && i < H; ++i)
      x += at2("decoder.gru.weight_hh", row, i) * s(i);
    return x;
  };
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  std::vector<double> after(H);
  for (std::int64_t i = 0; i < H; ++i) {
    double proposal = gate(2 * H + i, false);
    for (std::int64_t k = 0; k < H; ++k)
      proposal += at2("decoder.gru.weight_hh", 2 * H + i, k) * sigmoid(gate(k, true)) * s(k);
    const double z = sigmoid(gate(H + i, true));
    after[i] = (1 - z) * s(i) + z * std::tanh(proposal);
  }
  std::vector<double> readout(E);
  for (std::int64_t e = 0; e < E; ++e) {
    double best = -1e300;
    for (std::int64_t row = 2 * e; row < 2 * e + 2; ++row) {
      double x = at1("readout.bias", row);
      for (std::int64_t i = 0; i < H; ++i) x += at2("readout.state.weight", row, i) * s(i);
      for (std::int64_t i = 0; i < E; ++i) x += at2("readout.token.weight", row, i) * y(i);
      for (std::int64_t i = 0; i < 2 * H; ++i)
        x += at2("readout.context.weight", row, i) * context[i];
      best = std::max(best, x);
    }
    readout[e] = best;
  }
  std::vector<double> logits(8);
  double sum = 0;
  for (std::int64_t w = 0; w < 8; ++w) {
    logits[w] = at1("output.bias", w);
    for (std::int64_t e = 0; e < E; ++e) logits[w] += at2("output.weight", w, e) * readout[e];
    sum += std::exp(logits[w]);
  }

  const DecodingStep step = model->step(d, at::full({1, 1}, token, at::kLong));
  for (std::int64_t j = 0; j < S; ++j)
    EXPECT_NEAR(step.weights[0][0][j].item<double>(), std::exp(score[j]) / total, 1e-12);
  for (std::int64_t i = 0; i < H; ++i)
    EXPECT_NEAR(d.rows[0][0][0][i].item<double>(), after[i], 1e-12);
  for (std::int64_t w = 0; w < 8; ++w)
    EXPECT_NEAR(step.log_probabilities[0][0][w].item<double>(), logits[w] - std::log(sum), 1e-12);
}

TEST(Translator, DropoutOnlyWhileTraining) {
  const auto model = model_of(kVariants[1]);
  const auto with = [&](bool training, std::int64_t step) {
    Pass pass;
    pass.training = training, pass.seed = 1, pass.step = step;
    return model->loss(batch(), pass, 0).words.item<double>();
  };
  EXPECT_EQ(with(false, 1), with(false, 2));
  EXPECT_NE(with(true, 1), with(true, 2));
  EXPECT_EQ(with(true, 1), with(true, 1));
}

void expect_refused(const std::function<void(TranslatorConfig&)>& change,
                    const std::string& message) {
  TranslatorConfig c = config_of(kVariants[1]);
  change(c);
  EXPECT_THAT(test::message_of([&] { make_translator(c, 1); }), ::testing::HasSubstr(message));
}

TEST(Translator, RefusesWhatMakesNoSense) {
  expect_refused([](auto& c) { c.hidden = 0; }, "model.hidden is 0: it must be in [1,");
  expect_refused([](auto& c) { c.target_vocabulary = 3; }, "model.target_vocabulary is 3");
  expect_refused([](auto& c) { c.layers = 2; }, "has one recurrent layer");
  expect_refused([](auto& c) { c.dropout = 1; }, "model.dropout");
  expect_refused([](auto& c) { c.score = nn::Score::kDot; },
                 "queries of width 4 by keys of width 8");
  expect_refused([](auto& c) { c.score = nn::Score::kLocation, c.span = nn::Span::kLocalP; },
                 "location score has no local");
  const auto model = model_of(kVariants[1]);
  try {
    model->begin(at::full({1, 11}, 4, at::kLong), at::full({1}, 11, at::kLong));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("11 tokens, more than model.max_length = 10"));
  }
}

}  // namespace
}  // namespace attend::models
