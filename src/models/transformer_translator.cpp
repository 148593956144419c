// Encoder–decoder of self-attention (Vaswani et al. 2017).
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "attend/nn/embedding.h"
#include "attend/nn/init.h"
#include "attend/nn/position.h"
#include "attend/nn/transformer.h"
#include "models/prepared_transformer.h"
#include "models/translator_base.h"

namespace attend::models {
namespace {

class TransformerTranslator final : public TranslatorBase {
 public:
  TransformerTranslator(const TranslatorConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : TranslatorBase(config, seed, dtype),
        encoder_(stack(1)),
        decoder_(stack(2)),
        aligned_layer_(std::max<std::int64_t>(config.layers - 2, 0)) {
    make_tables();
    encoder_->to(dtype), decoder_->to(dtype);
    for (const auto& item : encoder_->named_parameters())
      add("encoder." + item.key(), item.value());
    for (const auto& item : decoder_->named_parameters())
      add("decoder." + item.key(), item.value());
  }

  void prepare(Precision precision) override {
    if (dtype_ != at::kFloat) return TranslatorBase::prepare(precision);
    prepared_.emplace(encoder_, decoder_,
                      PreparedTables{source_table_, target_table_, output_weight_, output_bias_},
                      precision);
  }

  /// Unless prepared, memory: lengths, then the source's keys and values [B,H,S,D] for each decoder layer. rows: of each layer the rooms of the
  /// hypotheses' own keys and values [B,K,H,capacity,D], of which the first `position` are filled.
  Decoding begin(const at::Tensor& source, const at::Tensor& source_lengths) override {
    const at::NoGradGuard off;
    if (prepared_) {
      check_source(source, source_lengths);
      return prepared_->begin(source, source_lengths);
    }
    Decoding d;
    const at::Tensor states = encode(source, source_lengths, Pass{});
    d.memory = {source_lengths};
    const std::int64_t heads = config_.heads, width = config_.embedding_width / heads;
    for (nn::TransformerDecoderLayer& layer : decoder_->layers()) {
      const nn::KVCache seen = layer->multihead_attn->remember(states);
      d.memory.push_back(seen.key_room()), d.memory.push_back(seen.value_room());
      for (int part = 0; part < 2; ++part)
        d.rows.push_back(at::empty({source.size(0), 1, heads, 0, width}, states.options()));
    }
    return d;
  }

  DecodingStep step(Decoding& d, const at::Tensor& tokens) override {
    const at::NoGradGuard off;
    if (prepared_) return prepared_->step(d, tokens, aligned_layer_);
    const std::int64_t batch = tokens.size(0), hypotheses = tokens.size(1);
    nn::DecoderCache cache;
    for (std::size_t k = 0; k < d.rows.size(); k += 2) {
      nn::DecoderLayerCache& layer = cache.layers.emplace_back();
      layer.self = nn::KVCache(nn::KVCache::Kind::kGrowing, d.rows[k].flatten(0, 1),
                               d.rows[k + 1].flatten(0, 1), d.position);
      layer.cross = nn::KVCache(nn::KVCache::Kind::kStatic, d.memory[k + 1], d.memory[k + 2],
                                d.memory[k + 1].size(2));
    }
    nn::AttentionCapture seen;
    const at::Tensor x =
        embed(target_table_, tokens.reshape({-1, 1}), d.position++, Pass{}, kTargetDropout);
    const at::Tensor readout = decoder_->forward(  // [B·K,1,C]
        x, {}, decoder_pass(d.memory[0], Pass{}, &seen), &cache);
    for (std::size_t k = 0; k < d.rows.size(); k += 2) {
      const nn::KVCache& self = cache.layers[k / 2].self;
      d.rows[k] = self.key_room().unflatten(0, {batch, hypotheses});
      d.rows[k + 1] = self.value_room().unflatten(0, {batch, hypotheses});
    }
    return {log_probabilities(readout.view({batch, hypotheses, -1})), aligned(seen)};
  }

 protected:
  Forced forced(const TranslationBatch& batch, const Pass& pass, bool need_weights) override {
    const at::Tensor memory = encode(batch.source, batch.source_lengths, pass);
    const at::Tensor tokens = batch.target.narrow(1, 0, batch.target.size(1) - 1);  // [B,T]
    nn::AttentionCapture seen;
    const at::Tensor readout =
        decoder_->forward(embed(target_table_, tokens, 0, pass, kTargetDropout), memory,
                          decoder_pass(batch.source_lengths, pass, need_weights ? &seen : nullptr));
    return {readout, need_weights ? aligned(seen) : at::Tensor(), {}};
  }

 private:
  nn::TransformerStackOptions stack(std::uint64_t part) const {
    const nn::TransformerLayerOptions layer =
        nn::TransformerLayerOptions(config_.embedding_width, config_.heads)
            .dim_feedforward(config_.feed_forward)
            .dropout(config_.dropout)
            .norm_first(config_.norm == NormPlace::kFirst)
            .seed(seed_of(part));
    return {layer, config_.layers};
  }

  /// Vectors ~ N(0, 1/C), so that times √C they are as large as the positions, and as a projection of normed states they
  /// begin with scores of variance 1.
  void make_tables() {
    const double deviation = 1 / std::sqrt(static_cast<double>(config_.embedding_width));
    const auto table = [&](const char* name, std::int64_t ids, std::uint64_t index) {
      Random random(seed_, Purpose::kInit, index);
      return add(name, nn::normal({ids, config_.embedding_width}, deviation, random, dtype_));
    };
    const SharedEmbeddings shared = config_.share_embeddings;
    const bool all = shared == SharedEmbeddings::kAll;
    source_table_ =
        table(all ? "embedding.weight" : "encoder.embedding.weight", config_.source_vocabulary, 1);
    target_table_ =
        all ? source_table_ : table("decoder.embedding.weight", config_.target_vocabulary, 2);
    output_weight_ = shared == SharedEmbeddings::kNone
                         ? table("output.weight", config_.target_vocabulary, 3)
                         : target_table_;
    output_bias_ = add("output.bias", zeros(config_.target_vocabulary));
  }

  /// √C · table[id] + position, dropped out by element: ids [B,L] → [B,L,C] (§3.4, §3.5, §5.4).
  at::Tensor embed(const at::Tensor& table, const at::Tensor& ids, std::int64_t first,
                   const Pass& pass, std::int64_t site) {
    const double scale = std::sqrt(static_cast<double>(config_.embedding_width));
    const at::Tensor x = positions_->forward(std::get<0>(nn::embed(table, ids)) * scale, first);
    return nn::dropout(x, config_.dropout, pass, {site, false, nn::DropoutSite::kOutput});
  }

  at::Tensor encode(const at::Tensor& ids, const at::Tensor& lengths, const Pass& pass) {
    check_source(ids, lengths);
    nn::EncoderPass how;
    how.self.query_lengths = how.self.key_lengths = lengths;
    how.dropout = pass;
    return encoder_->forward(embed(source_table_, ids, 0, pass, kSourceDropout), how);
  }

  nn::DecoderPass decoder_pass(const at::Tensor& source_lengths, const Pass& pass,
                               nn::AttentionCapture* seen) const {
    nn::DecoderPass how;
    how.cross.key_lengths = source_lengths;
    how.dropout = pass;
    how.capture = seen;
    if (seen) seen->only_layer = aligned_layer_;
    return how;
  }

  /// Mean over the heads: [B,H,T,S] → [B,T,S].
  static at::Tensor aligned(const nn::AttentionCapture& seen) {
    return seen.entries.back().weights.mean(1);  // self, then cross
  }

  nn::TransformerEncoder encoder_;
  nn::TransformerDecoder decoder_;
  nn::SinusoidalPosition positions_;
  const std::int64_t aligned_layer_;
  std::optional<PreparedTransformer> prepared_;
};

}  // namespace

std::unique_ptr<Translator> make_transformer_translator(const TranslatorConfig& config,
                                                        std::uint64_t seed, at::ScalarType dtype) {
  return std::make_unique<TransformerTranslator>(config, seed, dtype);
}

}  // namespace attend::models
