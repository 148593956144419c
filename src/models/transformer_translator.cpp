// Encoder–decoder of self-attention (Vaswani et al. 2017).
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <optional>

#include "attend/nn/transformer.h"
#include "models/prepared_transformer.h"
#include "models/transformer_decoding.h"
#include "models/translator_base.h"

namespace attend::models {
namespace {

class TransformerTranslator final : public TranslatorBase {
 public:
  TransformerTranslator(const TranslatorConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : TranslatorBase(config, seed, dtype),
        encoder_(stack(1)),
        decoder_(stack(2)),
        aligned_layer_(aligned_layer(config.layers)) {
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

  /// Unless prepared, memory: lengths, then what begin_rooms says.
  Decoding begin(const at::Tensor& source, const at::Tensor& source_lengths) override {
    const at::NoGradGuard off;
    if (prepared_) {
      check_source(source, source_lengths);
      return prepared_->begin(source, source_lengths);
    }
    Decoding d;
    d.memory = {source_lengths};
    begin_rooms(decoder_, encode(source, source_lengths, Pass{}), d);
    return d;
  }

  DecodingStep step(Decoding& d, const at::Tensor& tokens) override {
    const at::NoGradGuard off;
    if (prepared_) return prepared_->step(d, tokens, aligned_layer_);
    nn::AttentionCapture seen;
    const at::Tensor x = embed_at(target_table_, tokens.reshape({-1, 1}), d.position, positions_),
                     out =
                         step_in_rooms(decoder_, x, decoder_pass(d.memory[0], Pass{}, &seen), 1, d);
    return {log_probabilities(out.view({tokens.size(0), tokens.size(1), -1})), aligned(seen)};
  }

 protected:
  Forced forced(const TranslationBatch& batch, const Pass& pass, bool need_weights) override {
    const at::Tensor memory = encode(batch.source, batch.source_lengths, pass);
    const at::Tensor tokens = batch.target.narrow(1, 0, batch.target.size(1) - 1);  // [B,T]
    nn::AttentionCapture seen;
    const at::Tensor readout =
        decoder_->forward(embed(target_table_, tokens, pass, kTargetDropout), memory,
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

  void make_tables() {
    const auto table = [&](const char* name, std::int64_t ids, std::uint64_t index) {
      return add(name, transformer_table(ids, config_.embedding_width, seed_, index, dtype_));
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

  at::Tensor embed(const at::Tensor& table, const at::Tensor& ids, const Pass& pass,
                   std::int64_t site) {
    return nn::dropout(embed_at(table, ids, 0, positions_), config_.dropout, pass,
                       {site, false, nn::DropoutSite::kOutput});  // (§5.4)
  }

  at::Tensor encode(const at::Tensor& ids, const at::Tensor& lengths, const Pass& pass) {
    check_source(ids, lengths);
    nn::EncoderPass how;
    how.self.query_lengths = how.self.key_lengths = lengths;
    how.dropout = pass;
    return encoder_->forward(embed(source_table_, ids, pass, kSourceDropout), how);
  }

  nn::DecoderPass decoder_pass(const at::Tensor& source_lengths, const Pass& pass,
                               nn::AttentionCapture* seen) const {
    nn::DecoderPass how = pass_seeing(aligned_layer_, pass, seen);
    how.cross.key_lengths = source_lengths;
    return how;
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
