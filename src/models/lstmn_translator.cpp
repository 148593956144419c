// Encoder and decoder as LSTMNs (Cheng et al. 2016, §4): each looks back over its own tape, and the decoder at its encoder, either
// after its step (shallow fusion) or inside it (deep fusion).
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include "attend/base/random.h"
#include "attend/nn/lstmn.h"
#include "models/translator_base.h"

namespace attend::models {
namespace {

class LstmnTranslator final : public TranslatorBase {
 public:
  LstmnTranslator(const TranslatorConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : TranslatorBase(config, seed, dtype) {
    const std::int64_t h = config.hidden;
    make_vocabularies(h);
    const nn::LstmnShape shape{config.embedding_width, h, config.attention_width};
    Random encoder(seed_of(1), Purpose::kInit, 0), decoder(seed_of(2), Purpose::kInit, 0);
    encoder_ = nn::lstmn_weights(shape, encoder, dtype);
    decoder_ = nn::lstmn_weights(shape, decoder, dtype);
    add_all(nn::named(encoder_, "encoder.lstmn."));
    add_all(nn::named(decoder_, "decoder.lstmn."));
    if (deep()) {
      fusion_ = nn::lstmn_source(shape, decoder, dtype);
      add_all(nn::named(fusion_, "attention."));
    } else {
      attention_ = make_attention(h, h);
      make_attentional(h);
    }
  }

  Decoding begin(const at::Tensor& source, const at::Tensor& source_lengths) override {
    const Encoded enc = encode(source, source_lengths, Pass{});
    const std::int64_t batch = source.size(0), h = config_.hidden;
    Decoding d;
    d.memory = {enc.hidden, enc.memory, source_lengths};
    if (!deep()) d.memory.push_back(attention_->remember(enc.hidden, source_lengths).key);
    const at::Tensor tape = at::zeros({batch, 1, 0, h}, enc.hidden.options()),
                     summary = at::zeros({batch, 1, h}, enc.hidden.options());
    d.rows = {tape, tape, summary, summary};
    return d;
  }

  DecodingStep step(Decoding& d, const at::Tensor& tokens) override {
    const std::int64_t batch = tokens.size(0), hypotheses = tokens.size(1);
    const auto flat = [](const at::Tensor& x) { return x.flatten(0, 1); };  // [B,K,…] -> [B·K,…]
    const auto grid = [&](const at::Tensor& x) { return x.unflatten(0, {batch, hypotheses}); };
    const at::Tensor x = flat(embed_target(tokens, Pass{})).unsqueeze(1);  // [B·K,1,E]
    const LstmnTapes before{flat(d.rows[0]), flat(d.rows[1]), flat(d.rows[2]), flat(d.rows[3])};
    LstmnOptions options;
    options.before = &before;
    LstmnSource source;
    if (deep()) {
      const auto for_each = [&](const at::Tensor& of_source) {  // one for each hypothesis
        return of_source.repeat_interleave(hypotheses, 0);
      };
      source = with_tapes({for_each(d.memory[0]), for_each(d.memory[1])}, for_each(d.memory[2]));
      options.source = &source, options.need_weights = true;
    }
    const LstmnResult r = lstmn(x, decoder_, options);
    d.rows = {at::cat({d.rows[0], grid(r.hidden)}, 2), at::cat({d.rows[1], grid(r.memory)}, 2),
              grid(r.summary), deep() ? grid(r.source_summary) : d.rows[3]};
    const at::Tensor state = grid(r.hidden.squeeze(1));  // [B,K,H]
    const std::int64_t position = d.position++;
    if (deep()) return {log_probabilities(state), grid(r.source_weights.squeeze(1))};
    const Forced seen = attentional(*attention_, {d.memory[3], d.memory[0], d.memory[2]}, state,
                                    {position, 0, true}, {}, combination());
    return {log_probabilities(seen.readout), seen.weights};
  }

 protected:
  Forced forced(const TranslationBatch& batch, const Pass& pass, bool need_weights) override {
    const Encoded enc = encode(batch.source, batch.source_lengths, pass);
    const std::int64_t steps = batch.target.size(1) - 1;
    const at::Tensor tokens = embed_target(batch.target.narrow(1, 0, steps), pass);  // [B,T,E]
    LstmnOptions options;
    LstmnSource source;
    if (deep()) {
      source = with_tapes(enc, batch.source_lengths);
      options.source = &source, options.need_weights = need_weights;
    }
    const LstmnResult r = lstmn(tokens, decoder_, options);
    if (deep()) return {dropped(r.hidden, pass, kReadoutDropout), r.source_weights, {}};
    Forced all =
        attentional(*attention_, attention_->remember(enc.hidden, batch.source_lengths), r.hidden,
                    {0, 1, need_weights}, sampling(tokens.size(0), pass), combination());
    all.readout = dropped(all.readout, pass, kReadoutDropout);
    return all;
  }

 private:
  struct Encoded {
    at::Tensor hidden, memory;  // [B,S,H], the two tapes
  };

  bool deep() const { return config_.fusion == Fusion::kDeep; }

  void add_all(const NamedTensors& tensors) {
    for (const auto& [name, x] : tensors) add(name, x);
  }

  Encoded encode(const at::Tensor& source, const at::Tensor& lengths, const Pass& pass) const {
    check_source(source, lengths);
    LstmnOptions options;
    options.lengths = lengths;
    const LstmnResult r = lstmn(embed_source(source, pass), encoder_, options);
    return {r.hidden, r.memory};
  }

  LstmnSource with_tapes(const Encoded& enc, const at::Tensor& lengths) const {
    LstmnSource source = fusion_;
    source.hidden = enc.hidden, source.memory = enc.memory, source.lengths = lengths;
    return source;
  }

  LstmnWeights encoder_, decoder_;
  LstmnSource fusion_;                           // without tapes; deep only
  std::optional<nn::AlignmentModel> attention_;  // shallow only
};

}  // namespace

std::unique_ptr<Translator> make_lstmn_translator(const TranslatorConfig& config,
                                                  std::uint64_t seed, at::ScalarType dtype) {
  return std::make_unique<LstmnTranslator>(config, seed, dtype);
}

}  // namespace attend::models
