// A captioner whose decoder is a Transformer's (Vaswani et al. 2017) over the annotations of an image.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>

#include "models/captioner_base.h"
#include "models/transformer_decoding.h"

namespace attend::models {
namespace {

class TransformerCaptioner final : public CaptionerBase {
 public:
  TransformerCaptioner(const CaptionerConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : CaptionerBase(config, seed, dtype),
        decoder_(stack(config, seed)),
        aligned_layer_(aligned_layer(config.layers)) {
    const std::int64_t c = config.embedding_width;
    table_ = add("embedding.weight", table(1));
    memory_weight_ = add("memory.weight", matrix(c, config.annotation_width));
    memory_bias_ = add("memory.bias", zeros({c}));
    decoder_->to(dtype);
    for (const auto& item : decoder_->named_parameters())
      add("transformer." + item.key(), item.value());
    add_output(table(2));
  }

  /// See begin_rooms.
  Decoding begin(const at::Tensor& annotations) override {
    const at::NoGradGuard off;
    Decoding d;
    begin_rooms(decoder_, remember(annotations), d);
    return d;
  }

  DecodingStep step(Decoding& d, const at::Tensor& tokens) override {
    const at::NoGradGuard off;
    nn::AttentionCapture seen;
    const at::Tensor x = embed_at(table_, tokens.reshape({-1, 1}), d.position, positions_),
                     out = step_in_rooms(decoder_, x, pass_seeing(aligned_layer_, Pass{}, &seen), 0,
                                         d);
    return {log_probabilities(out.view({tokens.size(0), tokens.size(1), -1})), aligned(seen)};
  }

 protected:
  Forced forced(const at::Tensor& annotations, const at::Tensor& tokens, const Pass& pass,
                bool need_maps) override {
    const std::int64_t steps = tokens.size(1) - 1;
    nn::AttentionCapture seen;
    const at::Tensor x =
        nn::dropout(embed_at(table_, tokens.narrow(1, 0, steps), 0, positions_), config_.dropout,
                    pass, {/*site=*/1, false, nn::DropoutSite::kOutput});
    Forced out;
    out.readout = decoder_->forward(x, remember(annotations),
                                    pass_seeing(aligned_layer_, pass, need_maps ? &seen : nullptr));
    if (!need_maps) return out;
    out.maps = aligned(seen);
    out.gates = at::ones({tokens.size(0), steps}, annotations.options());
    return out;
  }

 private:
  static nn::TransformerStackOptions stack(const CaptionerConfig& c, std::uint64_t seed) {
    const nn::TransformerLayerOptions layer =
        nn::TransformerLayerOptions(c.embedding_width, c.heads)
            .dim_feedforward(c.feed_forward)
            .dropout(c.dropout)
            .norm_first(true)
            .seed(seed);
    return {layer, c.layers};
  }

  at::Tensor table(std::uint64_t index) const {
    return transformer_table(config_.vocabulary, config_.embedding_width, seed_, index, dtype_);
  }

  at::Tensor remember(const at::Tensor& annotations) const {
    return at::linear(annotations, memory_weight_, memory_bias_);
  }

  nn::TransformerDecoder decoder_;
  nn::SinusoidalPosition positions_;
  const std::int64_t aligned_layer_;
  at::Tensor memory_weight_, memory_bias_;  // [C,D], [C]
};

}  // namespace

std::unique_ptr<Captioner> make_transformer_captioner(const CaptionerConfig& config,
                                                      std::uint64_t seed, at::ScalarType dtype) {
  return std::make_unique<TransformerCaptioner>(config, seed, dtype);
}

}  // namespace attend::models
