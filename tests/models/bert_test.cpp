// The BERT encoder and the classifier around it: hidden states and attention of `transformers` (tests/golden/make_bert.py),
// gradients, sentences alone and in a batch.
//
// Planted faults that these tests kill:
//   positions that go on from sentence to sentence; token types not read; torch's eps in the layers' norms, in the embeddings'
//   norm; relu for gelu; [CLS] in place of [SEP]; a mean over the words' number; the state behind [CLS] for [CLS]'s
#include "attend/models/bert.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "attend/interop/bert.h"
#include "attend/interop/safetensors.h"
#include "attend/models/classifier.h"
#include "attend/models/summary.h"
#include "attend/nn/packed.h"
#include "support/compare.h"
#include "support/data.h"
#include "support/gradcheck.h"
#include "support/message_of.h"
#include "support/threads.h"

namespace attend::models {
namespace {

using test::message_of;
using ::testing::HasSubstr;

const std::string kFolder = std::string(ATTEND_GOLDEN) + "/bert";

std::map<std::string, at::Tensor> golden() {
  std::map<std::string, at::Tensor> out;
  for (const auto& [name, tensor] :
       interop::read_safetensors(std::string(ATTEND_GOLDEN) + "/bert.safetensors").tensors)
    out[name] = tensor;
  return out;
}

BertEncoder encoder_of(Activation activation, at::ScalarType dtype) {
  BertConfig config = interop::read_bert_config(kFolder);
  config.activation = activation;
  BertEncoder out(config, dtype);
  interop::load_bert(out, kFolder);
  return out;
}

BertBatch batch_of(const std::map<std::string, at::Tensor>& g) {
  return {g.at("ids"), g.at("lengths"), g.at("token_types")};
}

/// Some hundred roundings follow one another, so 50 eps of the norm is far below any wrong term.
TEST(Bert, HiddenStatesAndAttentionAreThoseOfTransformers) {
  const auto g = golden();
  for (const auto& [name, activation] :
       {std::pair{"plain", Activation::kGelu}, std::pair{"tanh", Activation::kGeluTanh}})
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      SCOPED_TRACE(std::string(name) + " " + toString(dtype));
      BertEncoder encoder = encoder_of(activation, dtype);
      nn::AttentionCapture seen;
      const at::Tensor hidden = encoder.forward(batch_of(g), {}, &seen);
      const double limit = 50 * test::epsilon_of(dtype);
      EXPECT_LT(test::relative_error(hidden, g.at(std::string(name) + "/hidden")), limit);
      ASSERT_EQ(seen.entries.size(), 2u);
      for (const auto& entry : seen.entries)
        EXPECT_LT(test::relative_error(entry.weights, g.at(std::string(name) + "/attention/" +
                                                           std::to_string(entry.layer))),
                  limit);
      const at::Tensor plain = encoder.forward(batch_of(g));
      EXPECT_LT(test::relative_error(plain, hidden), limit) << "without the weights";
    }
}

/// Real weights and sentences: the ids from the text, and hidden states to float32's roundings (of size 1: far below 1e-4).
TEST(Bert, MinilmIsThatOfTransformers) {
  ATTEND_SET_OR_SKIP("minilm");
  std::map<std::string, at::Tensor> g;
  for (const auto& [name, tensor] :
       interop::read_safetensors(std::string(ATTEND_GOLDEN) + "/minilm.safetensors").tensors)
    g[name] = tensor;
  const std::string folder = *data::find_folder(*data::find_set("minilm"));
  const BertConfig config = interop::read_bert_config(folder);
  const data::TextCodec codec = interop::read_bert_codec(folder, config);
  const char* sentences[] = {"Great phone, bad battery.",
                             "Café NAÏVE — 中文 and 😀: the unaffable waiter didn't smile!", ""};
  for (std::int64_t b = 0; b < 3; ++b) {
    std::vector<std::int64_t> ids = codec.encode(sentences[b]);
    ids.insert(ids.begin(), codec.bos());
    ids.push_back(codec.eos());
    EXPECT_TRUE(at::equal(at::tensor(ids, at::kLong),
                          g["ids"][b].narrow(0, 0, g["lengths"][b].item<std::int64_t>())));
  }
  BertEncoder encoder = interop::read_bert(folder, config);
  const at::Tensor hidden = encoder.forward({g["ids"], g["lengths"], {}}).slice(1, 0, 384, 48);
  EXPECT_LT((hidden.to(at::kDouble) - g["hidden"]).abs().max().item<double>(), 1e-5);
}

TEST(Bert, TokenTypesAreZeroUnlessGiven) {
  const auto g = golden();
  BertEncoder encoder = encoder_of(Activation::kGelu, at::kDouble);
  BertBatch batch = batch_of(g);
  batch.token_types = at::zeros_like(batch.ids);
  const at::Tensor zero = encoder.forward(batch);
  batch.token_types.reset();
  EXPECT_LT(test::relative_error(encoder.forward(batch), zero), 1e-14);
  EXPECT_GT(test::relative_error(encoder.forward(batch_of(g)), zero), 1e-2);
}

TEST(Bert, ASentenceAloneIsThatOfTheBatchAndPaddingIsNeverRead) {
  const auto g = golden();
  BertEncoder encoder = encoder_of(Activation::kGelu, at::kDouble);
  BertBatch batch = batch_of(g);
  const at::Tensor together = encoder.forward(batch);
  std::vector<at::Tensor> alone;
  for (std::int64_t b = 0; b < 3; ++b) {
    const auto length = batch.lengths[b].item<std::int64_t>();
    const auto part = [&](const at::Tensor& t) { return t.narrow(0, b, 1).narrow(1, 0, length); };
    alone.push_back(
        encoder.forward({part(batch.ids), batch.lengths.narrow(0, b, 1), part(batch.token_types)}));
  }
  EXPECT_LT(test::relative_error(at::cat(alone), together), 1e-13);
  const at::Tensor valid = nn::unpack(at::ones_like(together.narrow(1, 0, 1)), batch.lengths);
  batch.ids = batch.ids.masked_fill(valid.squeeze(2).eq(0), -7);  // no id of the vocabulary
  EXPECT_TRUE(at::equal(encoder.forward(batch), together));
  for (const int n : {1, 2, 3}) {
    const test::WithThreads threads(n);
    EXPECT_TRUE(at::equal(encoder.forward(batch), together)) << n << " threads";
  }
}

TEST(Bert, BadBatches) {
  BertEncoder encoder = encoder_of(Activation::kGelu, at::kFloat);
  const auto says = [&](const at::Tensor& ids, const at::Tensor& lengths,
                        const at::Tensor& types = {}) {
    return message_of([&] { encoder.forward({ids, lengths, types}); });
  };
  const at::Tensor ids = at::tensor({2, 5, 3, 2, 3, 0}, at::kLong).view({2, 3});
  const at::Tensor lengths = at::tensor({3, 2}, at::kLong);
  EXPECT_EQ(says(ids, lengths), "");
  EXPECT_EQ(says(ids, at::tensor({0, 0}, at::kLong)), "");
  EXPECT_THAT(says(ids.to(at::kInt), lengths), HasSubstr("ids must be [B,T] int64"));
  EXPECT_THAT(says(ids, lengths, ids.narrow(1, 0, 2)), HasSubstr("token_types must be [B,T]"));
  EXPECT_THAT(says(ids, at::tensor({3, 4}, at::kLong)), HasSubstr("lengths must be in 0…3"));
  EXPECT_THAT(says(ids, at::tensor({3, -1}, at::kLong)), HasSubstr("lengths must be in 0…3"));
  EXPECT_THAT(says(ids, at::tensor({3}, at::kLong)), HasSubstr("lengths must be [B]"));
  EXPECT_THAT(says(at::full_like(ids, 72), lengths), HasSubstr("id 72"));
  EXPECT_THAT(says(ids, lengths, at::full_like(ids, 2)), HasSubstr("id 2"));
  const at::Tensor long_ids = at::full_like(ids, 5).narrow(1, 0, 1).repeat({1, 41});
  EXPECT_THAT(says(long_ids, at::tensor({41, 1}, at::kLong)),
              HasSubstr("sentence 0 has 41 tokens, this encoder reads 0 to 40"));
  EXPECT_EQ(says(long_ids, at::tensor({40, 1}, at::kLong)), "");
}

TEST(Bert, ConfigsThatMakeNoSense) {
  const auto says = [](auto spoil) {
    BertConfig c = interop::read_bert_config(kFolder);
    spoil(c);
    return message_of([&] { BertEncoder encoder(c); });
  };
  EXPECT_THAT(says([](auto& c) { c.heads = 3; }), HasSubstr("a multiple of model.heads = 3"));
  EXPECT_THAT(says([](auto& c) { c.layers = 0; }), HasSubstr("model.layers is 0"));
  EXPECT_THAT(says([](auto& c) { c.vocabulary = 0; }), HasSubstr("model.vocabulary is 0"));
  EXPECT_THAT(says([](auto& c) { c.token_types = 0; }), HasSubstr("model.token_types is 0"));
  EXPECT_THAT(says([](auto& c) { c.max_positions = 0; }), HasSubstr("model.max_positions is 0"));
  EXPECT_THAT(says([](auto& c) { c.feed_forward = 0; }), HasSubstr("model.feed_forward is 0"));
  EXPECT_THAT(says([](auto& c) { c.dropout = 1; }), HasSubstr("model.dropout"));
  EXPECT_THAT(says([](auto& c) { c.layer_norm_eps = -1; }), HasSubstr("model.layer_norm_eps"));
}

// ---- the classifier

ClassifierConfig classifier_config(Pooling pooling = Pooling::kMean, std::int64_t classes = 2) {
  ClassifierConfig c;
  c.architecture = ClassifierArchitecture::kBert;
  c.bert = interop::read_bert_config(kFolder);
  c.dropout = c.bert.dropout = 0.2;
  c.vocabulary = c.bert.vocabulary - 1, c.embedding_width = c.bert.width;
  c.max_length = 6, c.classes = classes, c.pooling = pooling, c.begin_id = 2, c.end_id = 3;
  return c;
}

std::unique_ptr<Classifier> classifier_of(const ClassifierConfig& c) {
  BertEncoder encoder(c.bert, at::kDouble);
  interop::load_bert(encoder, kFolder);
  auto out = make_bert_classifier(c, std::move(encoder), 3);
  for (auto& [name, parameter] : out->parameters())  // a head of .02 would hide its part
    if (name.starts_with("dense."))
      at::Tensor(parameter).data().copy_(test::random_tensor(parameter.sizes(), 9, 1));
  return out;
}

ClassifierBatch sentences() {
  return {at::tensor({6, 9, 14, 0, 0, 0, 0, 0, 7, 7, 8, 30}, at::kLong).view({3, 4}),
          at::tensor({3, 0, 4}, at::kLong)};
}

TEST(BertClassifier, IsTheEncoderPooledAndMapped) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kFirst})
    for (const std::int64_t classes : {2, 3}) {
      const auto model = classifier_of(classifier_config(pooling, classes));
      BertEncoder encoder = encoder_of(Activation::kGelu, at::kDouble);
      const at::Tensor ids =
          at::tensor({2, 6, 9, 14, 3, 0, 2, 3, 0, 0, 0, 0, 2, 7, 7, 8, 30, 3}, at::kLong);
      const at::Tensor lengths = at::tensor({5, 2, 6}, at::kLong);
      const at::Tensor states =
          nn::unpack(encoder.forward({ids.view({3, 6}), lengths, {}}), lengths);
      at::Tensor expected = at::zeros({3, classes == 2 ? 1 : classes}, at::kDouble);
      const NamedTensors all = model->parameters();
      const at::Tensor weight = all[all.size() - 2].second, bias = all.back().second;
      for (std::int64_t b = 0; b < 3; ++b) {
        const at::Tensor own = states[b].narrow(0, 0, lengths[b].item<std::int64_t>());
        const at::Tensor sentence = pooling == Pooling::kMean ? own.mean(0) : own[0];
        expected[b].copy_((weight * sentence).sum(1) + bias);
      }
      EXPECT_LT(test::relative_error(model->forward(sentences(), {}).logits, expected), 1e-13);
    }
}

TEST(BertClassifier, SelfAttentionIsTheEncodersAmongWords) {
  const auto model = classifier_of(classifier_config());
  const std::vector<SelfAttention> seen = model->self_attention(sentences());
  BertEncoder encoder = encoder_of(Activation::kGelu, at::kDouble);
  const BertConfig& c = encoder.config();
  ASSERT_EQ(static_cast<std::int64_t>(seen.size()), c.layers * c.heads);
  const std::vector<std::vector<std::int64_t>> rows{{2, 6, 9, 14, 3}, {2, 3}, {2, 7, 7, 8, 30, 3}};
  for (std::int64_t b = 0; b < 3; ++b) {
    const std::vector<std::int64_t>& ids = rows[static_cast<std::size_t>(b)];
    const auto all = static_cast<std::int64_t>(ids.size()), words = all - 2;
    nn::AttentionCapture alone;
    encoder.forward({at::tensor(ids, at::kLong).unsqueeze(0), at::tensor({all}, at::kLong), {}}, {},
                    &alone);
    for (std::size_t m = 0; m < seen.size(); ++m) {
      const auto layer = static_cast<std::int64_t>(m) / c.heads,
                 head = static_cast<std::int64_t>(m) % c.heads;
      EXPECT_EQ(seen[m].layer, layer);
      EXPECT_EQ(seen[m].head, head);
      at::Tensor shown = seen[m].weights[b].clone();  // [4,4]
      const at::Tensor expected =
          alone.head("self", layer, head)[0].narrow(0, 1, words).narrow(1, 1, words);
      const at::Tensor own = shown.narrow(0, 0, words).narrow(1, 0, words);
      if (words > 0) {
        EXPECT_LT((own - expected).abs().max().item<double>(), 1e-13) << b << ", " << m;
        EXPECT_LT(own.sum(1).max().item<double>(), 1) << "[CLS] and [SEP] have their share";
      }
      own.zero_();
      EXPECT_EQ(shown.abs().max().item<double>(), 0) << "padding";
    }
  }
}

TEST(BertClassifier, FromEmbeddingsIsFromIds) {
  const auto model = classifier_of(classifier_config());
  const ClassifierBatch batch = sentences();
  at::Tensor embedded = model->embed(batch.ids).detach();
  embedded[0][3].fill_(std::numeric_limits<double>::quiet_NaN());  // padding
  EXPECT_LT(test::relative_error(model->forward_embedded(embedded, batch.lengths, {}).logits,
                                 model->forward(batch, {}).logits),
            1e-14);
}

TEST(BertClassifier, GradientsAreThoseOfTheLoss) {
  for (const auto& [pooling, classes] :
       {std::pair{Pooling::kMean, std::int64_t{2}}, std::pair{Pooling::kFirst, std::int64_t{3}}}) {
    const auto model = classifier_of(classifier_config(pooling, classes));
    const at::Tensor labels = at::tensor(std::vector<std::int64_t>{1, 0, classes - 1}, at::kLong);
    const Pass pass{true, 5, 2};
    test::expect_parameter_gradients(
        [&] { return model->loss(model->forward(sentences(), pass), labels); }, model->parameters(),
        {.most = 16, .absolute = 1e-8, .relative = 1e-6});
  }
}

TEST(BertClassifier, AFrozenTableHasNoGradientAndTheOthersHave) {
  ClassifierConfig c = classifier_config();
  c.freeze_embedding = true;
  const auto model = classifier_of(c);
  const at::Tensor labels = at::tensor({1, 0, 1}, at::kLong);
  model->loss(model->forward(sentences(), {true, 5, 2}), labels).backward();
  for (const auto& [name, parameter] : model->parameters())
    EXPECT_EQ(parameter.grad().defined(), name != "embeddings.word.weight") << name;
}

TEST(BertClassifier, DropoutIsForTrainingAloneAndAFunctionOfTheStep) {
  const auto model = classifier_of(classifier_config());
  const auto logits = [&](const Pass& pass) { return model->forward(sentences(), pass).logits; };
  EXPECT_TRUE(at::equal(logits({}), logits({false, 8, 3})));
  const at::Tensor dropped = logits({true, 5, 2});
  EXPECT_FALSE(at::equal(dropped, logits({})));
  EXPECT_TRUE(at::equal(dropped, logits({true, 5, 2})));
  EXPECT_FALSE(at::equal(dropped, logits({true, 5, 3})));
  EXPECT_FALSE(at::equal(dropped, logits({true, 6, 2})));
}

TEST(BertClassifier, WithoutDropoutTrainingIsInference) {
  ClassifierConfig c = classifier_config();
  c.dropout = c.bert.dropout = 0;
  const auto model = classifier_of(c);
  EXPECT_TRUE(at::equal(model->forward(sentences(), {true, 5, 2}).logits,
                        model->forward(sentences(), {}).logits));
}

TEST(BertClassifier, TheSummaryCountsWhatIsThere) {
  for (const std::int64_t classes : {2, 3}) {
    const ClassifierConfig c = classifier_config(Pooling::kMean, classes);
    std::int64_t there = 0, told = 0;
    for (const auto& [name, parameter] : classifier_of(c)->parameters()) there += parameter.numel();
    for (const LayerSummary& row : summarize(c)) told += row.parameters;
    EXPECT_EQ(told, there);
    EXPECT_EQ(parameters_of(c.bert) + (c.bert.width + 1) * (classes == 2 ? 1 : classes), there);
  }
}

TEST(BertClassifier, ConfigsAndBatchesThatMakeNoSense) {
  const auto says = [](auto spoil) {
    ClassifierConfig c = classifier_config();
    spoil(c);
    return message_of([&] { make_classifier(c, 1); });
  };
  EXPECT_EQ(says([](auto&) {}), "");
  EXPECT_THAT(says([](auto& c) { c.max_length = 39; }),
              HasSubstr("model.max_length is 39: it must be in [1, 38]"));
  EXPECT_THAT(says([](auto& c) { c.end_id = 72; }), HasSubstr("model.end_id is 72"));
  EXPECT_THAT(says([](auto& c) { c.begin_id = 0; }), HasSubstr("model.begin_id is 0"));
  EXPECT_THAT(says([](auto& c) { c.vocabulary = 72; }), HasSubstr("model.vocabulary is 72"));
  EXPECT_THAT(says([](auto& c) { c.classes = 1; }), HasSubstr("model.classes is 1"));
  EXPECT_THAT(says([](auto& c) { c.dropout = 0.5; }), HasSubstr("differ"));
  EXPECT_THAT(says([](auto& c) { c.mask_padding = false; }), HasSubstr("mask_padding"));
  EXPECT_THAT(says([](auto& c) { c.attention = Attention::kPool; }), HasSubstr("attention"));
  EXPECT_THAT(says([](auto& c) { c.bert.heads = 5; }), HasSubstr("heads = 5"));
  const auto model = classifier_of(classifier_config());
  const ClassifierBatch batch = sentences();
  EXPECT_THAT(message_of([&] {
                model->forward({batch.ids, at::tensor({1}, at::kLong)}, {});
              }),
              HasSubstr("lengths must be [B] int64"));
  EXPECT_THAT(message_of([&] {
                model->forward({batch.ids.repeat({1, 2}), batch.lengths}, {});
              }),
              HasSubstr("8 positions, more than max_length = 6"));
  EXPECT_THAT(message_of([&] {
                model->forward({batch.ids.view({-1}), batch.lengths}, {});
              }),
              HasSubstr("ids must be [B,T]"));
  EXPECT_THAT(message_of([&] { model->forward_embedded(batch.ids, batch.lengths, {}); }),
              HasSubstr("embedded must be [B,T,C] with C=8"));
}

}  // namespace
}  // namespace attend::models
