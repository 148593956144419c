#include "attend/models/classifier.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <string>

#include "attend/base/error.h"
#include "attend/models/bert.h"
#include "attend/nn/embedding.h"
#include "attend/nn/init.h"
#include "attend/nn/loss.h"
#include "attend/nn/lstmn.h"
#include "attend/ops/pool.h"

namespace attend::models {
namespace {

enum InitStream : std::uint64_t { kEmbedding = 0, kAttention = 1, kDense = 2, kCells = 16 };

std::string shape_of(const at::Tensor& x) {
  std::string text = "[";
  for (const std::int64_t n : x.sizes()) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

class RecurrentClassifier : public Classifier {
 public:
  RecurrentClassifier(const ClassifierConfig& config, std::uint64_t seed, at::ScalarType dtype);
  ClassifierOutput forward(const ClassifierBatch& batch, const Pass& pass) override;
  ClassifierOutput forward_embedded(const at::Tensor& embedded, const at::Tensor& lengths,
                                    const Pass& pass) override;
  at::Tensor embed(const at::Tensor& ids) override;
  std::vector<SelfAttention> self_attention(const ClassifierBatch& batch) override;
  at::Tensor loss(const ClassifierOutput& output, const at::Tensor& labels) override;
  NamedTensors parameters() override { return named_; }
  const ClassifierConfig& config() const override { return config_; }

 private:
  struct States {
    at::Tensor all;   // [B,T,D·H]
    at::Tensor last;  // [B,D·H]
  };

  void make_cells(std::uint64_t seed, at::ScalarType dtype);
  void name_parameters();
  void name_cells();
  States read(const at::Tensor& embedded, const at::Tensor& valid, const Pass& pass) const;
  States look_back(const at::Tensor& embedded, const at::Tensor& valid, const Pass& pass,
                   std::vector<at::Tensor>* seen) const;
  void add(const std::string& name, const at::Tensor& x) {
    if (x.defined()) named_.emplace_back(name, x.set_requires_grad(true));
  }
  void check_input(const at::Tensor& x, const at::Tensor& lengths) const;
  double l2() const { return config_.freeze_embedding ? 0.0 : config_.embedding_l2; }

  ClassifierConfig config_;
  nn::RecurrentOptions recurrent_;
  at::Tensor table_;                       // [V+1,E]
  std::vector<nn::CellWeights> cells_;     // of an LSTM or GRU
  std::vector<LstmnWeights> lstmn_;        // of an LSTMN
  at::Tensor attention_, attention_bias_;  // [D·H], [T]
  at::Tensor dense_, dense_bias_;          // [K,D·H], [K]
  NamedTensors named_;
};

RecurrentClassifier::RecurrentClassifier(const ClassifierConfig& config, std::uint64_t seed,
                                         at::ScalarType dtype)
    : config_(config) {
  check_config(config);
  recurrent_.cell = config.cell == Cell::kGru ? nn::Cell::kGru : nn::Cell::kLstm;
  recurrent_.input = config.embedding_width;
  recurrent_.hidden = config.hidden;
  recurrent_.layers = config.layers;
  recurrent_.bidirectional = config.bidirectional;
  recurrent_.dropout = config.dropout;
  recurrent_.recurrent_dropout = config.recurrent_dropout;
  const auto options = at::TensorOptions().dtype(dtype);
  const std::int64_t width = recurrent_.directions() * config.hidden;
  const std::int64_t outputs = config.classes == 2 ? 1 : config.classes;
  Random embedding(seed, Purpose::kInit, kEmbedding), attention(seed, Purpose::kInit, kAttention),
      dense(seed, Purpose::kInit, kDense);
  table_ = nn::uniform({config.vocabulary + 1, config.embedding_width}, 0.05, embedding, dtype);
  make_cells(seed, dtype);
  if (config.attention == Attention::kPool) {
    attention_ = nn::normal({width}, 0.05, attention, dtype);
    attention_bias_ = at::zeros({config.max_length}, options);
  }
  dense_ = nn::glorot_uniform({outputs, width}, width, outputs, dense, dtype);
  dense_bias_ = at::zeros({outputs}, options);
  name_parameters();
}

void RecurrentClassifier::make_cells(std::uint64_t seed, at::ScalarType dtype) {
  if (config_.cell != Cell::kLstmn) {
    cells_ = nn::recurrent_weights(recurrent_, seed, dtype);
    return;
  }
  for (std::int64_t k = 0; k < config_.layers; ++k) {
    Random random(seed, Purpose::kInit, kCells + 2 * static_cast<std::uint64_t>(k));
    const std::int64_t input = k == 0 ? config_.embedding_width : config_.hidden;
    lstmn_.push_back(
        nn::lstmn_weights({input, config_.hidden, config_.attention_width}, random, dtype));
  }
}

void RecurrentClassifier::name_parameters() {
  add("embedding.weight", table_);
  if (config_.freeze_embedding) table_.set_requires_grad(false);
  name_cells();
  add("attention.weight", attention_);
  add("attention.bias", attention_bias_);
  add("dense.weight", dense_);
  add("dense.bias", dense_bias_);
}

void RecurrentClassifier::name_cells() {
  const bool lstm = config_.cell == Cell::kLstm;
  const std::string cell = lstm ? "lstm." : "gru.";
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const std::string end = nn::cell_suffix(i, recurrent_);
    add(cell + "weight_ih" + end, cells_[i].weight_ih);
    add(cell + "weight_hh" + end, cells_[i].weight_hh);
    add(cell + (lstm ? "bias" : "bias_ih") + end, cells_[i].bias);
    add(cell + "bias_hh" + end, cells_[i].bias_hh);
  }
  for (std::size_t k = 0; k < lstmn_.size(); ++k)
    for (const auto& [name, x] : nn::named(lstmn_[k], "lstmn." + std::to_string(k) + "."))
      add(name, x);
}

void RecurrentClassifier::check_input(const at::Tensor& x, const at::Tensor& lengths) const {
  const std::int64_t steps = x.size(1);
  if (!config_.mask_padding) {
    if (steps != config_.max_length)
      fail_usage("classifier: " + std::to_string(steps) +
                 " positions, but this model reads its "
                 "padding too: pad to max_length = " +
                 std::to_string(config_.max_length));
    return;
  }
  if (steps > config_.max_length)
    fail_usage("classifier: " + std::to_string(steps) +
               " positions, more than max_length = " + std::to_string(config_.max_length));
  if (!lengths.defined() || lengths.dim() != 1 || lengths.size(0) != x.size(0))
    fail_usage("classifier: mask_padding needs lengths [B], one for each of the " +
               std::to_string(x.size(0)) + " rows");
}

ClassifierOutput RecurrentClassifier::forward(const ClassifierBatch& batch, const Pass& pass) {
  if (!batch.ids.defined() || batch.ids.dim() != 2)
    fail_usage("classifier: ids must be [B,T] int64");
  // While training, the penalty and its gradient share the embedding's node; see nn/embedding.h.
  const auto [embedded, penalty] = nn::embed(table_, batch.ids, pass.training ? l2() : 0.0);
  ClassifierOutput out = forward_embedded(embedded, batch.lengths, pass);  // [B,T,E]
  if (pass.training && l2() > 0.0) out.penalty = penalty;
  return out;
}

ClassifierOutput RecurrentClassifier::forward_embedded(const at::Tensor& embedded,
                                                       const at::Tensor& lengths,
                                                       const Pass& pass) {
  if (embedded.dim() != 3 || embedded.size(2) != config_.embedding_width)
    fail_usage("classifier: embedded has shape " + shape_of(embedded) + ", expected [B, T, " +
               std::to_string(config_.embedding_width) + "]");
  check_input(embedded, lengths);
  const at::Tensor valid = config_.mask_padding ? lengths : at::Tensor();
  const States states = read(embedded, valid, pass);
  ClassifierOutput out;
  at::Tensor sentence;  // [B,D·H]
  if (config_.attention == Attention::kPool) {
    const at::Tensor bias = embedded.size(1) == config_.max_length
                                ? attention_bias_
                                : attention_bias_.narrow(0, 0, embedded.size(1));
    if (pass.uniform_attention)  // every score tanh(0): all valid positions weigh the same
      std::tie(sentence, out.weights) = pool(states.all, at::zeros_like(attention_), {}, valid);
    else
      std::tie(sentence, out.weights) = pool(states.all, attention_, bias, valid);
  } else {
    sentence = states.last;
  }
  out.logits = at::linear(sentence, dense_, dense_bias_);  // [B,K]
  return out;
}

RecurrentClassifier::States RecurrentClassifier::read(const at::Tensor& embedded,
                                                      const at::Tensor& valid,
                                                      const Pass& pass) const {
  if (config_.cell == Cell::kLstmn) return look_back(embedded, valid, pass, nullptr);
  const nn::RecurrentOutput out = nn::recurrent(embedded, valid, cells_, recurrent_, pass);
  return {out.output, nn::last_state(out, recurrent_)};
}

/// Appends each layer's weights to `seen` unless that is null.
RecurrentClassifier::States RecurrentClassifier::look_back(const at::Tensor& embedded,
                                                           const at::Tensor& valid,
                                                           const Pass& pass,
                                                           std::vector<at::Tensor>* seen) const {
  LstmnOptions options;
  options.lengths = valid;
  options.need_weights = seen != nullptr;
  at::Tensor x = embedded;
  for (std::size_t k = 0; k < lstmn_.size(); ++k) {
    x = nn::sequence_dropout(x, config_.dropout, pass, {static_cast<std::int64_t>(k)});
    const LstmnResult out = lstmn(x, lstmn_[k], options);
    x = out.hidden;
    if (seen) seen->push_back(out.weights);
  }
  if (!valid.defined()) return {x, x.select(1, -1)};
  const at::Tensor last = (valid - 1).clamp_min(0).view({-1, 1, 1});  // of no word: 0, as is all
  return {x, x.gather(1, last.expand({-1, 1, x.size(2)})).squeeze(1)};
}

std::vector<SelfAttention> RecurrentClassifier::self_attention(const ClassifierBatch& batch) {
  if (config_.cell != Cell::kLstmn) return {};
  std::vector<at::Tensor> seen;
  const at::NoGradGuard off;
  const at::Tensor embedded = embed(batch.ids);
  check_input(embedded, batch.lengths);
  look_back(embedded, config_.mask_padding ? batch.lengths : at::Tensor(), Pass{}, &seen);
  std::vector<SelfAttention> out;
  for (at::Tensor& weights : seen)
    out.push_back({static_cast<std::int64_t>(out.size()), 0, std::move(weights)});
  return out;
}

at::Tensor RecurrentClassifier::embed(const at::Tensor& ids) {
  return std::get<0>(nn::embed(table_, ids));
}

at::Tensor RecurrentClassifier::loss(const ClassifierOutput& output, const at::Tensor& labels) {
  if (l2() == 0.0 || output.penalty.defined())
    return nn::cross_entropy(output.logits, labels, output.penalty);
  return nn::cross_entropy(output.logits, labels, l2() * (table_ * table_).sum());
}

}  // namespace

std::unique_ptr<Classifier> make_classifier(const ClassifierConfig& config, std::uint64_t seed,
                                            at::ScalarType dtype) {
  if (dtype != at::kFloat && dtype != at::kDouble)
    fail_usage("classifier: dtype must be float or double");
  if (config.architecture == ClassifierArchitecture::kBert) {
    check_config(config);
    return make_bert_classifier(config, BertEncoder(config.bert, dtype), seed);
  }
  return std::make_unique<RecurrentClassifier>(config, seed, dtype);
}

at::Tensor probabilities(const ClassifierOutput& output) {
  const at::Tensor& logits = output.logits;
  if (logits.size(1) != 1) return at::softmax(logits, 1);
  return at::cat({at::sigmoid(-logits), at::sigmoid(logits)}, 1);  // [B,2]
}

}  // namespace attend::models
