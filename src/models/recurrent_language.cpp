// Language models that read from left to right: a stack of LSTMs, and one of LSTMNs (Cheng et al. 2016, §3).
#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "attend/base/random.h"
#include "attend/nn/embedding.h"
#include "attend/nn/init.h"
#include "attend/nn/recurrent.h"
#include "attend/ops/lstmn.h"
#include "models/language_base.h"

namespace attend::models {
namespace {

constexpr std::int64_t kInputDropout = 1;   // of LSTMN layer k: this and k more
constexpr std::int64_t kOutputDropout = 0;  // of the readout

class LstmLanguage final : public LanguageBase {
 public:
  LstmLanguage(const LanguageConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : LanguageBase(config, seed, dtype) {
    make_vocabulary(config.hidden);
    options_.input = config.embedding_width, options_.hidden = config.hidden;
    options_.layers = config.layers, options_.dropout = config.dropout;
    cells_ = nn::recurrent_weights(options_, seed_of(1), dtype);
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      const std::string end = nn::cell_suffix(i, options_);
      add("lstm.weight_ih" + end, cells_[i].weight_ih);
      add("lstm.weight_hh" + end, cells_[i].weight_hh);
      add("lstm.bias" + end, cells_[i].bias);
    }
  }

 protected:
  at::Tensor read(const at::Tensor& tokens, const Pass& pass,
                  std::vector<LanguageAttention>*) override {
    const at::Tensor states =
        nn::recurrent(std::get<0>(nn::embed(table_, tokens)), {}, cells_, options_, pass).output;
    return nn::sequence_dropout(states, config_.dropout, pass,
                                {kOutputDropout, false, nn::DropoutSite::kOutput});
  }

 private:
  nn::RecurrentOptions options_;
  std::vector<nn::CellWeights> cells_;
};

class LstmnLanguage final : public LanguageBase {
 public:
  LstmnLanguage(const LanguageConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : LanguageBase(config, seed, dtype) {
    make_vocabulary(config.hidden);
    for (std::int64_t k = 0; k < config.layers; ++k)
      layers_.push_back(make_layer(k, k == 0 ? config.embedding_width : config.hidden));
  }

 protected:
  at::Tensor read(const at::Tensor& tokens, const Pass& pass,
                  std::vector<LanguageAttention>* seen) override {
    LstmnOptions options;
    options.need_weights = seen != nullptr;
    at::Tensor x = std::get<0>(nn::embed(table_, tokens));
    for (std::size_t k = 0; k < layers_.size(); ++k) {
      const auto layer = static_cast<std::int64_t>(k);
      x = nn::sequence_dropout(x, config_.dropout, pass,
                               {kInputDropout + layer, false, nn::DropoutSite::kInput});
      const LstmnResult out = lstmn(x, layers_[k], options);
      x = out.hidden;
      if (seen) seen->push_back({layer, 0, out.weights});
    }
    return nn::sequence_dropout(x, config_.dropout, pass,
                                {kOutputDropout, false, nn::DropoutSite::kOutput});
  }

 private:
  /// As Keras' LSTM begins: glorot-uniform but for the part that meets the state, which is orthogonal, and a forget gate
  /// that is open. Gates i, f, o, ĉ.
  LstmnWeights make_layer(std::int64_t k, std::int64_t input) {
    const std::int64_t h = config_.hidden, a = config_.attention_width;
    const std::string name = "lstmn." + std::to_string(k) + ".";
    Random random(seed_of(1), Purpose::kInit, static_cast<std::uint64_t>(k));
    const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
      return nn::glorot_uniform({rows, columns}, columns, rows, random, dtype_);
    };
    LstmnWeights w;
    w.weight = at::zeros({4 * h, h + input}, at::TensorOptions().dtype(dtype_));
    w.weight.narrow(1, 0, h).copy_(nn::orthogonal(4 * h, h, random, dtype_));
    w.weight.narrow(1, h, input).copy_(matrix(4 * h, input));
    w.bias = at::zeros({4 * h}, w.weight.options());
    w.bias.narrow(0, h, h).fill_(1);
    w.tape_weight = matrix(a, h), w.input_weight = matrix(a, input);
    w.summary_weight = matrix(a, h), w.score_weight = matrix(1, a).squeeze(0);
    add(name + "weight", w.weight), add(name + "bias", w.bias);
    add(name + "tape_weight", w.tape_weight), add(name + "input_weight", w.input_weight);
    add(name + "summary_weight", w.summary_weight), add(name + "score_weight", w.score_weight);
    return w;
  }

  std::vector<LstmnWeights> layers_;
};

}  // namespace

std::unique_ptr<LanguageModel> make_lstm_language(const LanguageConfig& config, std::uint64_t seed,
                                                  at::ScalarType dtype) {
  return std::make_unique<LstmLanguage>(config, seed, dtype);
}

std::unique_ptr<LanguageModel> make_lstmn_language(const LanguageConfig& config, std::uint64_t seed,
                                                   at::ScalarType dtype) {
  return std::make_unique<LstmnLanguage>(config, seed, dtype);
}

}  // namespace attend::models
