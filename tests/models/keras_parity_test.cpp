// The classifier against Keras 3.15.1 (tests/golden/make_keras.py): outputs to 1e-5, every gradient to 1e-4 of
// its norm, with and without dropout, and 50 Adam steps within 1e-4 of Keras' loss curve.
// Mutations killed (planted, and seen to fail): penalty's gradient halved; bidirectional output backward first; pooling
// without position bias; GRU's gates swapped or its carried state masked; dropout in evaluation; lengths used though
// padding is not masked; the mean missing in the loss's gradient.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "attend/base/file.h"
#include "attend/interop/safetensors.h"
#include "attend/models/classifier.h"
#include "attend/models/summary.h"
#include "attend/train/optimizer.h"

namespace attend::models {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

/// make_keras.py's noise.
at::Tensor noise(at::IntArrayRef shape, std::uint64_t salt) {
  const at::Tensor out = at::empty(shape, at::TensorOptions().dtype(at::kDouble));
  double* p = out.data_ptr<double>();
  for (std::int64_t i = 0; i < out.numel(); ++i) {
    auto x = static_cast<std::uint32_t>(static_cast<std::uint64_t>(i) + salt * 1'000'003u);
    for (const std::uint32_t factor : {0x7FEB352Du, 0x846CA68Bu}) {
      x ^= x >> 16;
      x *= factor;
    }
    x ^= x >> 16;
    p[i] = (x >> 8) * 0x1p-24;
  }
  return out;
}

/// A golden file, and the model that it describes.
struct Golden {
  explicit Golden(const std::string& name) {
    const auto file =
        interop::read_safetensors(std::string(ATTEND_GOLDEN) + "/keras_" + name + ".safetensors");
    for (const auto& [key, x] : file.tensors) tensors[key] = x;
    meta = file.metadata;
    config.vocabulary = number("V");
    config.max_length = number("T");
    config.embedding_width = number("E");
    config.hidden = number("H");
    config.classes = number("classes");
    config.layers = number("layers");
    config.cell = flag("gru") ? Cell::kGru : Cell::kLstm;
    config.attention = flag("attention") ? Attention::kPool : Attention::kNone;
    config.bidirectional = flag("bidirectional");
    config.mask_padding = flag("mask");
    config.dropout = std::stod(meta.at("dropout"));
    config.recurrent_dropout = std::stod(meta.at("recurrent_dropout"));
    config.embedding_l2 = std::stod(meta.at("l2"));
    if (flag("true_size")) make_inputs();
  }

  std::int64_t number(const std::string& key) const { return std::stoll(meta.at(key)); }
  bool flag(const std::string& key) const { return meta.at(key) == "True"; }
  bool has(const std::string& key) const { return tensors.count(key) != 0; }
  const at::Tensor& at(const std::string& key) const { return tensors.at(key); }

  /// What make_keras.py made from noise and did not write down.
  void make_inputs() {
    const std::int64_t rows = 400, t = config.max_length, batch = number("B");
    at::Tensor ids = 1 + (noise({rows, t}, 1) * double(config.vocabulary)).to(at::kLong);
    const at::Tensor lengths = (noise({rows}, 2) * double(t + 1)).to(at::kLong);
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t n = lengths[r].item().toLong();
      ids.select(0, r).narrow(0, n, t - n).zero_();
    }
    tensors["ids"] = ids;
    tensors["lengths"] = lengths;
    tensors["labels"] = (noise({rows}, 3) * double(config.classes)).to(at::kLong);
    const auto mask = [](at::IntArrayRef shape, double rate, int salt) {
      return ((noise(shape, salt) >= rate).to(at::kDouble) * (1.0 / (1.0 - rate))).to(at::kFloat);
    };
    tensors["input_mask.0"] = mask({batch, config.embedding_width}, config.dropout, 200);
    tensors["recurrent_mask.0"] = mask({batch, config.hidden}, config.recurrent_dropout, 201);
    const std::int64_t h = config.hidden;
    std::vector<std::pair<std::string, std::vector<std::int64_t>>> order{
        {"embedding", {config.vocabulary + 1, config.embedding_width}},
        {"kernel.0", {config.embedding_width, 4 * h}},
        {"recurrent.0", {h, 4 * h}},
        {"bias.0", {4 * h}}};
    if (config.attention == Attention::kPool) {
      order.push_back({"attention", {h, 1}});
      order.push_back({"attention_bias", {t, 1}});
    }
    order.push_back({"dense", {h, 1}});
    order.push_back({"dense_bias", {1}});
    for (std::size_t i = 0; i < order.size(); ++i)
      tensors["weight." + order[i].first] =
          ((noise(order[i].second, 100 + i) - 0.5) * 0.2).to(at::kFloat);
  }

  ClassifierBatch batch(std::int64_t from = 0) const {
    const std::int64_t n = number("B");
    return {at("ids").narrow(0, from, n).contiguous(),
            at("lengths").narrow(0, from, n).contiguous()};
  }
  at::Tensor labels(std::int64_t from = 0) const {
    return at("labels").narrow(0, from, number("B")).contiguous();
  }

  /// Keras' array `key` under our parameter's layout.
  at::Tensor convert(const std::string& kind, at::Tensor x, bool second_bias = false) const {
    const bool gru = config.cell == Cell::kGru;
    if (kind == "bias" && gru) x = x.select(0, second_bias ? 1 : 0);
    if (kind == "kernel" || kind == "recurrent" || kind == "dense") x = x.t();
    if (kind == "attention" || kind == "attention_bias") x = x.reshape({-1});
    if (gru && (kind == "kernel" || kind == "recurrent" || kind == "bias")) {
      const auto gate = x.chunk(3, 0);  // Keras z, r, h; ours r, z, n
      x = at::cat({gate[1], gate[0], gate[2]}, 0);
    }
    return x.contiguous();
  }

  /// Our parameters' names against arrays under `prefix`, converted.
  Tensors converted(const std::string& prefix) const {
    Tensors out;
    const std::string cell = config.cell == Cell::kGru ? "gru." : "lstm.";
    const auto add = [&](const std::string& ours, const std::string& kind, const std::string& key,
                         bool second = false) {
      if (has(prefix + key)) out[ours] = convert(kind, at(prefix + key), second);
    };
    add("embedding.weight", "embedding", "embedding");
    const std::int64_t directions = config.bidirectional ? 2 : 1;
    for (std::int64_t k = 0; k < config.layers * directions; ++k) {
      const std::string end =
          "_l" + std::to_string(k / directions) + (k % directions == 1 ? "_reverse" : "");
      const std::string n = "." + std::to_string(k);
      add(cell + "weight_ih" + end, "kernel", "kernel" + n);
      add(cell + "weight_hh" + end, "recurrent", "recurrent" + n);
      if (config.cell == Cell::kGru) {
        add(cell + "bias_ih" + end, "bias", "bias" + n);
        add(cell + "bias_hh" + end, "bias", "bias" + n, true);
      } else {
        add(cell + "bias" + end, "bias", "bias" + n);
      }
    }
    add("attention.weight", "attention", "attention");
    add("attention.bias", "attention_bias", "attention_bias");
    add("dense.weight", "dense", "dense");
    add("dense.bias", "dense_bias", "dense_bias");
    return out;
  }

  std::unique_ptr<Classifier> model(const ClassifierConfig& c) const {
    auto m = make_classifier(c, 1);
    const Tensors weights = converted("weight.");
    const at::NoGradGuard no_grad;
    for (auto& [name, x] : m->parameters()) x.copy_(weights.at(name));
    return m;
  }

  nn::GivenMasks masks() const {
    nn::GivenMasks m;
    for (int k = 0; has("input_mask." + std::to_string(k)); ++k) {
      m.input.push_back(at("input_mask." + std::to_string(k)));
      m.recurrent.push_back(at("recurrent_mask." + std::to_string(k)));
    }
    return m;
  }

  Tensors tensors;
  std::map<std::string, std::string> meta;
  ClassifierConfig config;
};

double largest(const at::Tensor& x) { return x.abs().max().item().toDouble(); }
double length(const at::Tensor& x) { return x.to(at::kDouble).norm().item().toDouble(); }

class KerasParity : public testing::TestWithParam<const char*> {};

void check_pass(const Golden& g, bool training) {
  const std::string prefix = training ? "train." : "";
  const auto model = g.model(g.config);
  const nn::GivenMasks masks = g.masks();
  Pass pass;
  pass.training = training;
  pass.masks = &masks;
  const ClassifierOutput out = model->forward(g.batch(), pass);
  EXPECT_LT(largest(out.logits - g.at(prefix + "logits")), 1e-5) << prefix;
  const at::Tensor loss = model->loss(out, g.labels());
  EXPECT_NEAR(loss.item().toDouble(), g.at(prefix + "loss").item().toDouble(), 1e-5) << prefix;
  loss.backward();
  const Tensors whole = g.converted(prefix + "grad."), sampled = g.converted(prefix + "grad37.");
  std::size_t compared = 0;
  for (const auto& [name, x] : model->parameters()) {
    if (whole.count(name) != 0) {
      EXPECT_LT(length(x.grad() - whole.at(name)), 1e-4 * length(whole.at(name))) << prefix << name;
      ++compared;
    }
  }
  if (g.has(prefix + "grad37.embedding")) {  // every 37th entry, in Keras' layout
    const std::map<std::string, std::string> key{{"embedding.weight", "embedding"},
                                                 {"lstm.weight_ih_l0", "kernel.0"},
                                                 {"lstm.weight_hh_l0", "recurrent.0"},
                                                 {"lstm.bias_l0", "bias.0"},
                                                 {"dense.weight", "dense"},
                                                 {"dense.bias", "dense_bias"}};
    for (const auto& [name, x] : model->parameters()) {
      const at::Tensor& want = g.at(prefix + "grad37." + key.at(name));
      const at::Tensor ours = (x.dim() == 2 && name != "embedding.weight" ? x.grad().t() : x.grad())
                                  .contiguous()
                                  .reshape({-1})
                                  .slice(0, 0, std::nullopt, 37);
      EXPECT_LT(length(ours - want), 1e-4 * length(want)) << prefix << name;
      ++compared;
    }
  }
  if (training || !g.flag("true_size")) {
    EXPECT_EQ(compared, model->parameters().size());
  }
}

TEST_P(KerasParity, OutputsAndGradientsWithoutDropout) { check_pass(Golden(GetParam()), false); }
TEST_P(KerasParity, OutputsAndGradientsWithKerasMasks) { check_pass(Golden(GetParam()), true); }

class KerasCurve : public testing::TestWithParam<const char*> {};

TEST_P(KerasCurve, FiftyAdamStepsFollowKerasLoss) {
  const Golden g(GetParam());
  ClassifierConfig plain = g.config;
  plain.dropout = plain.recurrent_dropout = 0;
  const auto model = g.model(plain);
  const auto optimizer = train::make_optimizer(train::Recipe::Optim{}, model->parameters());
  const at::Tensor want = g.at("adam.losses");
  const std::int64_t size = g.number("B"), rows = g.at("ids").size(0);
  double worst = 0;
  for (std::int64_t step = 0; step < want.size(0); ++step) {
    const std::int64_t from = step * size % rows;
    Pass pass;
    pass.training = true;
    pass.step = step;
    const at::Tensor loss = model->loss(model->forward(g.batch(from), pass), g.labels(from));
    train::zero_gradients(model->parameters());
    loss.backward();
    optimizer->step(1e-3);
    worst = std::max(worst, std::abs(loss.item().toDouble() - want[step].item().toDouble()));
  }
  EXPECT_LT(worst, 1e-4);
}

std::string name_of(const testing::TestParamInfo<const char*>& test) { return test.param; }

INSTANTIATE_TEST_SUITE_P(Keras, KerasParity,
                         testing::Values("lstm", "lstm_attention", "lstm_masked", "bidirectional",
                                         "bidirectional_last", "stacked", "gru", "gru_masked",
                                         "guide", "guide_attention"),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Keras, KerasCurve,
                         testing::Values("lstm", "lstm_attention", "lstm_masked", "stacked", "gru",
                                         "guide", "guide_attention"),
                         name_of);

TEST(KerasSummary, CountsAndShapesAreKeras) {
  const auto golden =
      nlohmann::json::parse(read_file(std::string(ATTEND_GOLDEN) + "/keras_summary.json"));
  ASSERT_EQ(golden["models"].size(), 4u);
  for (const auto& [name, rows] : golden["models"].items()) {
    ClassifierConfig c;
    c.vocabulary = golden["vocabulary"];
    if (name == "sentiment-lstm-attention" || name == "bidirectional")
      c.attention = Attention::kPool;
    if (name == "bidirectional") c.bidirectional = true, c.layers = 2;
    if (name == "gru") c.cell = Cell::kGru, c.classes = 5;
    const auto ours = summarize(c);
    ASSERT_EQ(ours.size(), rows.size()) << name;
    std::int64_t total = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(ours[i].parameters, rows[i]["parameters"].get<std::int64_t>())
          << name << " " << ours[i].name;
      EXPECT_EQ(ours[i].shape, rows[i]["shape"].get<std::vector<std::int64_t>>())
          << name << " " << ours[i].name;
      total += ours[i].parameters;
    }
    std::int64_t built = 0;
    for (const auto& [key, x] : make_classifier(c, 0)->parameters()) built += x.numel();
    EXPECT_EQ(total, built) << name;
  }
}

}  // namespace
}  // namespace attend::models
