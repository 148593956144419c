// Decoder-only Transformer: a stack of self-attention in which no token sees a later one.
#include "attend/nn/transformer.h"
#include "models/language_base.h"
#include "models/transformer_decoding.h"

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
  at::Tensor read(const at::Tensor& tokens, const Pass& pass,
                  std::vector<LanguageAttention>* seen) override {
    nn::AttentionCapture capture;
    nn::EncoderPass how = causal(pass);
    if (seen) how.capture = &capture;
    const at::Tensor x =
        nn::dropout(embed(tokens, 0), config_.dropout, pass, {0, false, nn::DropoutSite::kInput});
    const at::Tensor out = stack_->forward(x, how);
    for (const auto& entry : capture.entries)
      for (std::int64_t h = 0; h < config_.heads; ++h)
        seen->push_back({entry.layer, h, entry.weights.select(1, h)});
    return out;
  }

  /// Rows of the state: of each layer the rooms of keys and values [B,heads,capacity,D], filled up to its length.
  at::Tensor go_on(const at::Tensor& tokens, LanguageState& state) override {
    std::vector<nn::KVCache> caches;
    for (std::size_t k = 0; k < state.rows.size(); k += 2)
      caches.emplace_back(nn::KVCache::Kind::kGrowing, state.rows[k], state.rows[k + 1],
                          state.length);
    const at::Tensor out = stack_->forward(embed(tokens, state.length), causal(Pass{}), &caches);
    state.rows.clear();
    for (const nn::KVCache& cache : caches) {
      state.rows.push_back(cache.key_room());
      state.rows.push_back(cache.value_room());
    }
    return out;
  }

 private:
  at::Tensor embed(const at::Tensor& tokens, std::int64_t first) {
    return embed_at(table_, tokens, first, positions_);
  }

  static nn::EncoderPass causal(const Pass& pass) {
    nn::EncoderPass how;
    how.self.causal = true;
    how.dropout = pass;
    return how;
  }

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
