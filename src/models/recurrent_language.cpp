// Language models that read from left to right: a stack of LSTMs, and one of LSTMNs (Cheng et al. 2016, §3).
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "attend/base/random.h"
#include "attend/nn/embedding.h"
#include "attend/nn/lstmn.h"
#include "attend/nn/recurrent.h"
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

  /// Rows of the state: h of each layer, then c of each.
  at::Tensor go_on(const at::Tensor& tokens, LanguageState& state) override {
    const auto half = state.rows.begin() + static_cast<std::ptrdiff_t>(state.rows.size() / 2);
    nn::RecurrentOutput out =
        nn::recurrent(std::get<0>(nn::embed(table_, tokens)), {}, cells_, options_, Pass{},
                      {state.rows.begin(), half}, {half, state.rows.end()});
    state.rows = std::move(out.h_n);
    state.rows.insert(state.rows.end(), out.c_n.begin(), out.c_n.end());
    return out.output;
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

  /// Rows of the state: of each layer the hidden and the memory tape and the last summary.
  at::Tensor go_on(const at::Tensor& tokens, LanguageState& state) override {
    at::Tensor x = std::get<0>(nn::embed(table_, tokens));
    if (state.rows.empty()) {
      const at::Tensor tape = at::zeros({x.size(0), 0, config_.hidden}, x.options());
      const at::Tensor summary = at::zeros({x.size(0), config_.hidden}, x.options());
      for (std::size_t k = 0; k < layers_.size(); ++k)
        state.rows.insert(state.rows.end(), {tape, tape, summary});
    }
    for (std::size_t k = 0; k < layers_.size(); ++k) {
      at::Tensor* const rows = state.rows.data() + 3 * k;
      const LstmnTapes before{rows[0], rows[1], rows[2], {}};
      LstmnOptions options;
      options.before = &before;
      const LstmnResult out = lstmn(x, layers_[k], options);
      rows[0] = at::cat({rows[0], out.hidden}, 1), rows[1] = at::cat({rows[1], out.memory}, 1);
      rows[2] = out.summary;
      x = out.hidden;
    }
    return x;
  }

 private:
  LstmnWeights make_layer(std::int64_t k, std::int64_t input) {
    Random random(seed_of(1), Purpose::kInit, static_cast<std::uint64_t>(k));
    const LstmnWeights w =
        nn::lstmn_weights({input, config_.hidden, config_.attention_width}, random, dtype_);
    for (const auto& [name, x] : nn::named(w, "lstmn." + std::to_string(k) + ".")) add(name, x);
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
