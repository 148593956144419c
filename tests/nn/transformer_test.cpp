// Transformer layers against libtorch's own modules, value and every gradient, in float and double; and what those lack:
// decoding with a cache, captured weights, packed batches, dropout by mode.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/transformerlayer.h>

#include <algorithm>
#include <limits>
#include <map>

#include "attend/base/error.h"
#include "attend/nn/packed.h"
#include "attend/nn/state_dict.h"
#include "attend/nn/transformer.h"
#include "support/compare.h"

namespace attend::nn {
namespace {

using test::as_good_as;
using test::random_tensor;

constexpr std::int64_t kC = 12, kH = 3, kF = 10, kB = 2, kLq = 5, kLk = 4;
constexpr double kRounding = 1e-13;  // layers deep, sums in another order, in float64

at::Tensor lengths_of(const std::vector<std::int64_t>& l) { return at::tensor(l, at::kLong); }

TransformerLayerOptions small() {
  return TransformerLayerOptions(kC, kH).dim_feedforward(kF).dropout(0);
}

/// Every parameter random, biases and norms too.
template <class Module>
void randomise(const Module& m, std::uint64_t seed = 1) {
  const at::NoGradGuard off;
  for (auto& item : m->named_parameters())
    item.value().copy_(random_tensor(item.value().sizes(), ++seed, 0.6));
}

struct Outcome {
  at::Tensor output;
  std::map<std::string, at::Tensor> gradients;
};

/// Runs a module of either library on `inputs` (made leaves) and differentiates <output, cotangent>.
template <class Module, class Run>
Outcome differentiate(Module m, const std::vector<at::Tensor>& inputs, const Run& run) {
  m->zero_grad();
  std::vector<at::Tensor> leaves;
  const at::ScalarType dtype = m->parameters()[0].scalar_type();
  for (const at::Tensor& in : inputs)
    leaves.push_back(in.to(dtype).clone().set_requires_grad(true));
  Outcome out;
  out.output = run(leaves);
  (out.output * random_tensor(out.output.sizes(), 77).to(dtype)).sum().backward();
  for (const auto& item : m->named_parameters())
    out.gradients[item.key()] = item.value().grad().clone();
  for (std::size_t i = 0; i < leaves.size(); ++i)
    out.gradients["input " + std::to_string(i)] = leaves[i].grad();
  return out;
}

/// Ours in float and double beside libtorch's in both, in training mode and in evaluation.
template <class Ours, class Theirs, class RunOurs, class RunTheirs>
void compare(Ours ours, Theirs theirs, const std::vector<at::Tensor>& inputs,
             const RunOurs& run_ours, const RunTheirs& run_theirs) {
  randomise(theirs);
  for (const bool training : {true, false}) {
    ours->train(training);
    theirs->train(training);
    const auto outcome = [&](auto& module, const auto& run, at::ScalarType dtype) {
      module->to(dtype);
      return differentiate(module, inputs, run);
    };
    const Outcome rough = outcome(theirs, run_theirs, at::kFloat),
                  truth = outcome(theirs, run_theirs, at::kDouble);
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
      ours->to(dtype);
      load_state_dict(*ours, state_dict(*theirs));
      const Outcome found = differentiate(ours, inputs, run_ours);
      EXPECT_TRUE(as_good_as(found.output, rough.output, truth.output)) << toString(dtype);
      ASSERT_EQ(found.gradients.size(), truth.gradients.size());
      for (const auto& [name, gradient] : found.gradients)
        EXPECT_TRUE(as_good_as(gradient, rough.gradients.at(name), truth.gradients.at(name)))
            << name << ' ' << toString(dtype);
    }
  }
}

at::Tensor hidden(const at::Tensor& lengths, std::int64_t keys) {
  return at::arange(keys).ge(lengths.unsqueeze(1));
}

TEST(Transformer, EncoderLayerIsLibtorchs) {
  const at::Tensor lengths = lengths_of({kLq, 3});
  for (const bool gelu : {false, true}) {
    torch::nn::TransformerEncoderLayerOptions theirs(kC, kH);
    theirs.dim_feedforward(kF).dropout(0);
    if (gelu) theirs.activation(torch::kGELU);
    TransformerEncoderLayer ours(small().activation(gelu ? Activation::kGelu : Activation::kRelu));
    torch::nn::TransformerEncoderLayer peer(theirs);
    compare(
        ours, peer, {random_tensor({kB, kLq, kC}, 3)},
        [&](const std::vector<at::Tensor>& in) {
          EncoderPass pass;
          pass.self.key_lengths = lengths;
          return ours->forward(in[0], pass);
        },
        [&](const std::vector<at::Tensor>& in) {
          return peer->forward(in[0].transpose(0, 1), {}, hidden(lengths, kLq)).transpose(0, 1);
        });
  }
}

TEST(Transformer, DecoderLayerIsLibtorchs) {
  const at::Tensor lengths = lengths_of({2, kLk});
  TransformerDecoderLayer ours(small());
  torch::nn::TransformerDecoderLayer peer(
      torch::nn::TransformerDecoderLayerOptions(kC, kH).dim_feedforward(kF).dropout(0));
  // Additive: libtorch's C++ module adds a boolean mask as it is, 1 for every hidden key.
  const at::Tensor future = at::zeros({kLq, kLq})
                                .masked_fill(at::arange(kLq).gt(at::arange(kLq).unsqueeze(1)),
                                             -std::numeric_limits<double>::infinity());
  compare(
      ours, peer, {random_tensor({kB, kLq, kC}, 3), random_tensor({kB, kLk, kC}, 4)},
      [&](const std::vector<at::Tensor>& in) {
        DecoderPass pass;
        pass.cross.key_lengths = lengths;
        return ours->forward(in[0], in[1], pass);
      },
      [&](const std::vector<at::Tensor>& in) {
        return peer
            ->forward(in[0].transpose(0, 1), in[1].transpose(0, 1), future, {}, {},
                      hidden(lengths, kLk))
            .transpose(0, 1);
      });
}

/// Step by step, with growing steps, beside one pass; pre- and post-norm, with rotary positions and grouped heads.
TEST(Transformer, DecodingWithACacheIsOnePass) {
  const at::NoGradGuard off;
  for (const bool norm_first : {false, true}) {
    const auto layer = TransformerLayerOptions(kC, 6)
                           .dim_feedforward(kF)
                           .norm_first(norm_first)
                           .num_kv_heads(2)
                           .rotary(Rotary::kHalves);
    TransformerDecoder decoder(TransformerDecoderOptions(layer, 2));
    decoder->to(at::kDouble);
    randomise(decoder);
    decoder->eval();
    EXPECT_EQ(static_cast<bool>(decoder->norm), norm_first);
    const at::Tensor target = random_tensor({kB, 9, kC}, 1),
                     memory = random_tensor({kB, kLk, kC}, 2);
    DecoderPass pass;
    pass.cross.key_lengths = lengths_of({2, kLk});
    const at::Tensor all = decoder->forward(target, memory, pass);
    DecoderCache cache;
    for (std::int64_t t = 0, n = 1; t < 9; t += n, n = t % 3 + 1) {
      n = std::min<std::int64_t>(n, 9 - t);
      const at::Tensor step =
          decoder->forward(target.narrow(1, t, n), t == 0 ? memory : at::Tensor(), pass, &cache);
      EXPECT_LT(test::relative_error(step, all.narrow(1, t, n)), kRounding);
      EXPECT_EQ(cache.length(), t + n);
    }
  }
}

TEST(Transformer, BeamsCarryTheirStates) {
  const at::NoGradGuard off;
  TransformerDecoder decoder(TransformerDecoderOptions(small(), 2));
  decoder->to(at::kDouble);
  randomise(decoder);
  const at::Tensor target = random_tensor({2, 3, kC}, 1), memory = random_tensor({2, kLk, kC}, 2),
                   next = random_tensor({3, 1, kC}, 3);
  const at::Tensor rows = lengths_of({1, 0, 1});
  DecoderCache cache;
  decoder->forward(target, memory, {}, &cache);
  cache.reorder(rows);
  const at::Tensor ours = decoder->forward(next, {}, {}, &cache);
  const at::Tensor whole = at::cat({target.index_select(0, rows), next}, 1);
  EXPECT_LT(test::relative_error(
                ours, decoder->forward(whole, memory.index_select(0, rows)).narrow(1, 3, 1)),
            kRounding);
}

TEST(Transformer, AnEncoderWithACacheIsALanguageModel) {
  const at::NoGradGuard off;
  TransformerEncoder encoder(TransformerEncoderOptions(small().norm_first(true), 3));
  encoder->to(at::kDouble);
  randomise(encoder);
  const at::Tensor x = random_tensor({kB, 6, kC}, 1);
  EncoderPass pass;
  pass.self.causal = true;
  const at::Tensor all = encoder->forward(x, pass);
  std::vector<KVCache> cache;
  for (std::int64_t t = 0; t < 6; ++t)
    EXPECT_LT(test::relative_error(encoder->forward(x.narrow(1, t, 1), pass, &cache),
                                   all.narrow(1, t, 1)),
              kRounding);
  std::vector<KVCache> wrong(2);
  EXPECT_THROW(encoder->forward(x, pass, &wrong), Error);
}

TEST(Transformer, PackedIsPaddedWithoutThePadding) {
  TransformerEncoder encoder(TransformerEncoderOptions(small(), 2));
  encoder->to(at::kDouble);
  randomise(encoder);
  const at::Tensor x = random_tensor({3, 6, kC}, 1), lengths = lengths_of({2, 6, 3});
  EncoderPass padded, packed;
  padded.self.key_lengths = lengths;
  packed.packed_lengths = lengths;
  EXPECT_LT(test::relative_error(encoder->forward(pack(x, lengths), packed),
                                 pack(encoder->forward(x, padded), lengths)),
            kRounding);
  const at::NoGradGuard off;
  std::vector<KVCache> cache;
  EXPECT_THROW(encoder->forward(pack(x, lengths), packed, &cache), Error);
}

TEST(Transformer, EveryLayerAndHeadIsCaptured) {
  TransformerDecoder decoder(TransformerDecoderOptions(small(), 2));
  randomise(decoder);
  AttentionCapture capture;
  DecoderPass pass;
  pass.capture = &capture;
  const at::Tensor target = random_tensor({kB, kLq, kC}, 1, 1, at::kFloat),
                   memory = random_tensor({kB, kLk, kC}, 2, 1, at::kFloat);
  const at::Tensor with = decoder->forward(target, memory, pass);
  ASSERT_EQ(capture.entries.size(), 4u);
  EXPECT_EQ(capture.entries[1].name, "cross");
  EXPECT_EQ(capture.entries[2].layer, 1);
  EXPECT_EQ(capture.head("cross", 1, 2).sizes(), (std::vector<std::int64_t>{kB, kLq, kLk}));
  EXPECT_FALSE(at::equal(capture.head("self", 0, 0), capture.head("self", 0, 1)));
  EXPECT_FALSE(at::equal(capture.head("self", 0, 0), capture.head("self", 1, 0)));
  EXPECT_EQ(capture.head("self", 0, 1).triu(1).abs().sum().item<double>(), 0);  // causal
  EXPECT_LT(test::relative_error(capture.head("self", 0, 1).sum(-1), at::ones({kB, kLq})), 1e-6);
  pass.capture = nullptr;
  EXPECT_LT(test::relative_error(decoder->forward(target, memory, pass), with),
            1e-6);  // capturing changes nothing
  EXPECT_THROW(capture.head("self", 2, 0), Error);
  EXPECT_THROW(capture.head("self", 0, 3), Error);
}

TEST(Transformer, DropoutFollowsTheMode) {
  TransformerEncoder encoder(TransformerEncoderOptions(small().dropout(0.3).seed(2), 2));
  const at::Tensor x = random_tensor({kB, kLq, kC}, 1, 1, at::kFloat);
  const at::Tensor first = encoder->forward(x), second = encoder->forward(x);
  EXPECT_FALSE(at::equal(first, second));
  TransformerEncoder again(TransformerEncoderOptions(small().dropout(0.3).seed(2), 2));
  EXPECT_TRUE(at::equal(again->forward(x), first));  // the same seed, the same step
  encoder->eval();
  EXPECT_TRUE(at::equal(encoder->forward(x), encoder->forward(x)));
  EXPECT_EQ(encoder->layers()[0]->step, 2);
}

/// A pre-norm layer whose every map is zero, so that it adds nothing to its input until a test sets something.
template <class Layer>
Layer silent_layer(double inner_dropout = -1) {
  Layer layer(TransformerLayerOptions(64, 1)
                  .dim_feedforward(1)
                  .dropout(inner_dropout > 0 ? 0 : 0.25)
                  .inner_dropout(inner_dropout)
                  .norm_first(true));
  const at::NoGradGuard off;
  for (auto& item : layer->named_parameters())
    if (item.key().rfind("norm", 0) != 0) item.value().zero_();
  return layer;
}

/// The dropout of a 1 everywhere is 0 or 4/3.
void expect_dropped(const at::Tensor& added) {
  EXPECT_NEAR(added.gt(0).to(at::kDouble).mean().item<double>(), 0.75,
              0.01);  // 131,072 draws: eight standard deviations
  EXPECT_NEAR(added.max().item<double>(), 4.0 / 3, 1e-6);
}

TEST(Transformer, DropoutActsInEveryPlace) {
  const at::NoGradGuard off;
  const at::Tensor x = at::zeros({16, 128, 64}), memory = at::zeros({16, 2, 64});
  auto after_self = silent_layer<TransformerEncoderLayer>();
  after_self->self_attn->out_proj->bias.fill_(1);
  expect_dropped(after_self->forward(x));
  auto after_feed_forward = silent_layer<TransformerEncoderLayer>();
  after_feed_forward->linear2->bias.fill_(1);
  expect_dropped(after_feed_forward->forward(x));
  auto after_cross = silent_layer<TransformerDecoderLayer>();
  after_cross->multihead_attn->out_proj->bias.fill_(1);
  expect_dropped(after_cross->forward(x, memory));
  const auto silenced = [&](double inner_dropout) {
    auto inside = silent_layer<TransformerEncoderLayer>(
        inner_dropout);  // one inner unit: dropping it silences the whole position
    inside->linear1->bias.fill_(1);
    inside->linear2->weight.fill_(1);
    return inside->forward(x).sum(2).eq(0).to(at::kDouble).mean().item<double>();
  };
  EXPECT_NEAR(silenced(-1), 0.25, 0.05);  // 2,048 draws: five standard deviations
  EXPECT_NEAR(silenced(0.5), 0.5, 0.06);
  EXPECT_EQ(silenced(0), 0);
}

TEST(Transformer, NamesAreTorchsAndLayersDiffer) {
  TransformerDecoder decoder(TransformerDecoderOptions(small(), 2).final_norm(true));
  const auto keys = decoder->named_parameters().keys();
  EXPECT_EQ(keys.size(), 2u * 18 + 2);
  for (const char* name :
       {"layers.0.self_attn.in_proj_weight", "layers.1.multihead_attn.out_proj.bias",
        "layers.1.linear2.weight", "layers.0.norm3.bias", "norm.weight"})
    EXPECT_NE(std::find(keys.begin(), keys.end(), name), keys.end()) << name;
  EXPECT_FALSE(
      at::equal(decoder->layers()[0]->linear1->weight, decoder->layers()[1]->linear1->weight));
  const auto copy = std::dynamic_pointer_cast<TransformerDecoderImpl>(decoder->clone());
  decoder->eval();
  copy->eval();
  const at::Tensor target = random_tensor({kB, kLq, kC}, 1, 1, at::kFloat),
                   memory = random_tensor({kB, kLk, kC}, 2, 1, at::kFloat);
  const at::Tensor before = decoder->forward(target, memory);
  EXPECT_TRUE(at::equal(copy->forward(target, memory), before));
  randomise(decoder);
  EXPECT_TRUE(at::equal(copy->forward(target, memory), before));
}

TEST(Transformer, SaysWhatIsWrong) {
  EXPECT_THROW(TransformerEncoderLayer(small().dim_feedforward(0)), Error);
  EXPECT_THROW(TransformerEncoderLayer(small().dropout(1)), Error);
  EXPECT_THROW(TransformerEncoderLayer(small().inner_dropout(1)), Error);
  EXPECT_THROW(TransformerEncoderLayer(small().inner_dropout(-0.5)), Error);
  EXPECT_THROW(TransformerEncoderLayer(small().layer_norm_eps(-1)), Error);
  EXPECT_THROW(TransformerEncoder(TransformerEncoderOptions(small(), 0)), Error);
  EXPECT_THROW(TransformerEncoderLayer(small())->forward(at::zeros({2, 3, kC + 1})), Error);
  EXPECT_THROW(
      TransformerEncoderLayer(small().norm_first(true))->forward(at::zeros({2, 3, kC + 1})), Error);
}

}  // namespace
}  // namespace attend::nn
