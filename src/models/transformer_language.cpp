// Decoder-only Transformer: a stack of self-attention in which no token sees a later one.
#include <ATen/TensorOperators.h>

#include <cmath>

#include "attend/nn/embedding.h"
#include "attend/nn/position.h"
#include "attend/nn/transformer.h"
#include "models/language_base.h"

namespace attend::models {
namespace {

class TransformerLanguage final : public LanguageBase {
 public:
  TransformerLanguage(const LanguageConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : LanguageBase(config, seed, dtype), stack_(options()) {
    make_vocabulary(config.embedding_width);
    stack_->to(dtype);
    for (const auto& item : stack_->named_parameters())
      add("transformer." + item.key(), item.value());
  }

 protected:
  /// √C · table[id] + position, dropped out by element (Vaswani et al. 2017, §3.4, §3.5, §5.4), then the stack.
  at::Tensor read(const at::Tensor& tokens, const Pass& pass,
                  std::vector<LanguageAttention>* seen) override {
    const double scale = std::sqrt(static_cast<double>(config_.embedding_width));
    const at::Tensor x = positions_->forward(std::get<0>(nn::embed(table_, tokens)) * scale);
    nn::AttentionCapture capture;
    nn::EncoderPass how;
    how.self.causal = true;
    how.dropout = pass;
    if (seen) how.capture = &capture;
    const at::Tensor out = stack_->forward(
        nn::dropout(x, config_.dropout, pass, {0, false, nn::DropoutSite::kInput}), how);
    for (const auto& entry : capture.entries)
      for (std::int64_t h = 0; h < config_.heads; ++h)
        seen->push_back({entry.layer, h, entry.weights.select(1, h)});
    return out;
  }

 private:
  nn::TransformerStackOptions options() const {
    const nn::TransformerLayerOptions layer =
        nn::TransformerLayerOptions(config_.embedding_width, config_.heads)
            .dim_feedforward(config_.feed_forward)
            .dropout(config_.dropout)
            .norm_first(config_.norm == NormPlace::kFirst)
            .seed(seed_of(1));
    return {layer, config_.layers};
  }

  nn::TransformerEncoder stack_;
  nn::SinusoidalPosition positions_;
};

}  // namespace

std::unique_ptr<LanguageModel> make_transformer_language(const LanguageConfig& config,
                                                         std::uint64_t seed, at::ScalarType dtype) {
  return std::make_unique<TransformerLanguage>(config, seed, dtype);
}

}  // namespace attend::models
