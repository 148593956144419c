// A prepared Transformer beside the modules in float64: every step's log-probabilities and weights, with hypotheses that split, change
// places and end, and whole searches. In int8 the modules run on what its definition makes of weights and inputs cannot be had
// from outside, so there the products are tested alone (prepared_op_test) and here that the whole stays near.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <vector>

#include "attend/decode/search.h"
#include "attend/models/translator_steps.h"
#include "attend/ops/transformer_step.h"
#include "support/compare.h"
#include "support/message_of.h"
#include "support/threads.h"

namespace attend::models {
namespace {

struct Kind {
  const char* name;
  NormPlace norm = NormPlace::kFirst;
  SharedEmbeddings share = SharedEmbeddings::kNone;
  std::int64_t width = 24, layers = 2, heads = 3;
};

TranslatorConfig config_of(const Kind& kind) {
  TranslatorConfig c;
  c.architecture = Architecture::kTransformer;
  c.source_vocabulary = c.target_vocabulary = 67;
  c.embedding_width = kind.width, c.heads = kind.heads, c.layers = kind.layers, c.feed_forward = 37;
  c.norm = kind.norm, c.share_embeddings = kind.share, c.max_length = 40;
  return c;
}

/// The same numbers in any dtype, every parameter far from its first value.
std::unique_ptr<Translator> model_of(const Kind& kind, at::ScalarType dtype) {
  auto model = make_translator(config_of(kind), 3, dtype);
  std::uint64_t seed = 1;
  for (auto& [name, parameter] : model->parameters())
    at::Tensor(parameter).data().copy_(
        test::random_tensor(parameter.sizes(), ++seed, 0.4, at::kFloat));
  return model;
}

const at::Tensor kSource =
    at::tensor({4, 5, 6, 7, 8, 50, 4, 0, 0, 0, 9, 66, 33, 4, 0}, at::kLong).view({3, 5});
const at::Tensor kLengths = at::tensor({5, 2, 4}, at::kLong);

/// Steps in which hypotheses split from one to three, change places, and end: log-probabilities and weights of each.
std::vector<at::Tensor> walk(Translator& model) {
  const at::NoGradGuard off;
  std::vector<at::Tensor> out;
  Decoding d = model.begin(kSource, kLengths);
  const auto step = [&](const std::vector<std::int64_t>& tokens, std::int64_t hypotheses) {
    const DecodingStep s = model.step(d, at::tensor(tokens, at::kLong).view({3, hypotheses}));
    out.push_back(s.log_probabilities.clone());
    out.push_back(s.weights.clone());
  };
  step({2, 2, 2}, 1);
  reorder(d, at::tensor({0, 0, 0, 0, 0, 0, 0, 0, 0}, at::kLong).view({3, 3}));
  step({10, 11, 12, 20, 21, 22, 30, 31, 32}, 3);
  reorder(d, at::tensor({2, 0, 1, 1, 1, 0, 0, 1, 2}, at::kLong).view({3, 3}));
  step({13, 14, 15, 23, 24, 25, 33, 34, 35}, 3);
  reorder(d, at::tensor({1, 2, 0, 2, 2, 1}, at::kLong).view({3, 2}));
  step({4, 5, 6, 7, 8, 9}, 2);
  return out;
}

class EveryKind : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(
    PreparedTransformer, EveryKind,
    ::testing::Values(Kind{"norm_first"}, Kind{"norm_last", NormPlace::kLast},
                      Kind{"shared", NormPlace::kFirst, SharedEmbeddings::kAll, 16, 1, 1},
                      Kind{"shared_target", NormPlace::kLast, SharedEmbeddings::kTarget, 20, 3, 5}),
    [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(EveryKind, StepsAreAsGoodAsTheModules) {
  const auto truth = model_of(GetParam(), at::kDouble), model = model_of(GetParam(), at::kFloat);
  const auto wanted = walk(*truth), modules = walk(*model);
  model->prepare(Precision::kFloat32);
  for (const int n : {1, 2, 3}) {
    const test::WithThreads threads(n);
    const auto ours = walk(*model);
    ASSERT_EQ(ours.size(), wanted.size());
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_TRUE(test::as_good_as(ours[i], modules[i], wanted[i]))
          << (i % 2 ? "weights" : "log p") << " of step " << i / 2;
  }
}

TEST_P(EveryKind, InInt8StepsStayNear) {
  const auto truth = model_of(GetParam(), at::kDouble), model = model_of(GetParam(), at::kFloat);
  const auto wanted = walk(*truth);
  model->prepare(Precision::kInt8);
  const auto ours = walk(*model);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double off = test::relative_error(ours[i], wanted[i]);
    EXPECT_TRUE(off > 1e-5 && off < 0.05) << i << ": " << off;
  }
}

decode::Hypotheses found_by(Translator& model, const at::Tensor& source, const at::Tensor& lengths,
                            std::int64_t beam) {
  TranslatorSteps steps(model, source, lengths);
  decode::SearchOptions options;
  options.max_length = 12;
  return beam == 1 ? decode::greedy(steps, options)
                   : decode::beam_search(steps, options,
                                         {.beam = beam, .best = beam, .coverage_beta = 0.1});
}

TEST_P(EveryKind, SearchesFindWhatTheModulesFind) {
  const auto model = model_of(GetParam(), at::kFloat);
  for (const std::int64_t beam : {1, 4}) {
    const auto plain = model_of(GetParam(), at::kDouble);
    const auto wanted = found_by(*plain, kSource, kLengths, beam);
    model->prepare(Precision::kFloat32);
    const auto ours = found_by(*model, kSource, kLengths, beam);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_EQ(ours[i].size(), wanted[i].size());
      for (std::size_t k = 0; k < wanted[i].size(); ++k) {
        EXPECT_EQ(ours[i][k].tokens, wanted[i][k].tokens)
            << "sentence " << i << ", beam " << beam << ", place " << k;
        EXPECT_NEAR(ours[i][k].log_probability, wanted[i][k].log_probability, 1e-4);
      }
    }
  }
}

TEST_P(EveryKind, ASentenceAloneIsTheSameBits) {
  const auto model = model_of(GetParam(), at::kFloat);
  for (const Precision precision : {Precision::kFloat32, Precision::kInt8}) {
    model->prepare(precision);
    const auto together = found_by(*model, kSource, kLengths, 3);
    for (std::int64_t i = 0; i < 3; ++i) {
      const std::int64_t n = kLengths[i].item<std::int64_t>();
      const auto alone =
          found_by(*model, kSource.narrow(0, i, 1).narrow(1, 0, n), kLengths.narrow(0, i, 1), 3);
      ASSERT_EQ(alone[0].size(), together[static_cast<std::size_t>(i)].size());
      for (std::size_t k = 0; k < alone[0].size(); ++k) {
        EXPECT_EQ(alone[0][k].tokens, together[static_cast<std::size_t>(i)][k].tokens);
        EXPECT_NEAR(alone[0][k].log_probability,
                    together[static_cast<std::size_t>(i)][k].log_probability, 1e-4);
      }
    }
  }
}

TEST(PreparedTransformer, CopiesItsWeights) {
  const auto model = model_of({"x"}, at::kFloat);
  model->prepare(Precision::kFloat32);
  const auto before = walk(*model);
  {
    const at::NoGradGuard off;
    for (auto& [name, parameter] : model->parameters())
      if (name == "decoder.layers.0.linear1.weight") at::Tensor(parameter).zero_();
  }
  EXPECT_TRUE(test::same_bits(walk(*model)[0], before[0]));
  model->prepare(Precision::kFloat32);
  EXPECT_FALSE(test::same_bits(walk(*model)[0], before[0]));
}

TEST(PreparedTransformer, OthersHaveNothingToPrepare) {
  TranslatorConfig c = config_of({"x"});
  c.architecture = Architecture::kLuong;
  const auto model = make_translator(c, 1);
  model->prepare(Precision::kFloat32);
  EXPECT_EQ(test::message_of([&] { model->prepare(Precision::kInt8); }),
            "int8: only a Transformer in float can be prepared so; this model decodes in float32");
  EXPECT_NE(test::message_of([&] { model_of({"x"}, at::kDouble)->prepare(Precision::kInt8); }), "");
}

TEST(PreparedTransformer, IdsOutsideTheVocabularyAreTold) {
  const auto model = model_of({"x"}, at::kFloat);
  model->prepare(Precision::kFloat32);
  const at::Tensor lengths = at::tensor({std::int64_t{1}}, at::kLong);
  EXPECT_EQ(test::message_of([&] {
              model->begin(at::full({1, 1}, 67, at::kLong), lengths);
            }),
            "embed: id 67 is outside [0, 67): the vocabulary doesn't fit the model");
  EXPECT_NE(test::message_of([&] { model->begin(at::full({1, 41}, 4, at::kLong), lengths); }), "");
}

TEST(TransformerStep, SaysWhatIsWrong) {
  const auto of = [](at::IntArrayRef sizes) {
    return test::random_tensor(sizes, 1, 1, at::kFloat);
  };
  PreparedDecoder d;
  d.heads = 2;
  const auto map = [&](std::int64_t out, std::int64_t in) {
    return PreparedLinear(of({out, in}), {});
  };
  const PreparedNorm norm{of({4}), of({4})};
  d.layers.push_back(
      {map(12, 4), map(4, 4), map(4, 4), map(4, 4), map(6, 4), map(4, 6), {norm, norm, norm}});
  const auto known = [&] {
    return DecoderKnowledge{{of({2, 3, 8})},
                            at::tensor({3, 2}, at::kLong),
                            {},
                            at::tensor({0, 1, 2, 3}, at::kInt).view({4, 1})};
  };
  const auto message = [&](auto change, const at::Tensor& x) {
    DecoderKnowledge k = known();
    change(k);
    return test::message_of([&] { transformer_step(d, x, k); });
  };
  EXPECT_EQ(message([](auto&) {}, of({4, 4})), "");
  EXPECT_EQ(message([](auto&) {}, of({3, 4})),
            "attend::transformer_step: x has 3 rows, no multiple of the 2 sources");
  EXPECT_EQ(message([](auto& k) { k.memory.clear(); }, of({4, 4})),
            "attend::transformer_step: memory has 0 tensors for 1 layers");
  EXPECT_EQ(message([](auto& k) { k.places[1][0] = 4; }, of({4, 4})),
            "attend::transformer_step: places[1][0] is 4, no row of that step");
  EXPECT_EQ(message([](auto& k) { k.places = k.places.narrow(0, 0, 3); }, of({4, 4})),
            "attend::transformer_step: places must be dense [R,T] int32 with R=4 and T=1 steps, "
            "this one included");
  d.heads = 3;
  EXPECT_EQ(message([](auto&) {}, of({4, 4})),
            "attend::transformer_step: heads is 3: it must divide C=4");
}

}  // namespace
}  // namespace attend::models
