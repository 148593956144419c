// Stacked LSTMs with attention after the decoder's (Luong et al. 2015); plain encoder–decoder where config.attention is off.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros_like.h>

#include "attend/nn/cells.h"
#include "attend/ops/lstm.h"
#include "models/translator_base.h"

namespace attend::models {
namespace {

class Luong final : public TranslatorBase {
 public:
  Luong(const TranslatorConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : TranslatorBase(config, seed, dtype) {
    const std::int64_t e = config.embedding_width, h = config.hidden;
    make_vocabularies(h);
    const bool feeding = config.input_feeding && config.attention;
    encoder_options_.input = e, decoder_options_.input = e + (feeding ? h : 0);
    for (nn::RecurrentOptions* o : {&encoder_options_, &decoder_options_}) {
      o->hidden = h, o->layers = config.layers;
    }
    encoder_ = nn::recurrent_weights(encoder_options_, seed_of(1), dtype);
    decoder_ = nn::recurrent_weights(decoder_options_, seed_of(2), dtype);
    add_recurrent("encoder.lstm.", encoder_, encoder_options_);
    add_recurrent("decoder.lstm.", decoder_, decoder_options_);
    if (!config.attention) return;
    make_attentional(h);
    attention_ = make_attention(h, h);
  }

  Decoding begin(const at::Tensor& source, const at::Tensor& source_lengths) override {
    const Encoded enc = encode(source, source_lengths, Pass{});
    Decoding d;
    d.memory = carried(enc.memory, {});
    for (std::size_t i = 0; i < decoder_.size(); ++i)
      d.rows.push_back(enc.hidden[i].unsqueeze(1)),
          d.rows.push_back(enc.cell[i].unsqueeze(1));          // [B,1,H]
    if (feeds()) d.rows.push_back(at::zeros_like(d.rows[0]));  // h̃
    return d;
  }

  DecodingStep step(Decoding& d, const at::Tensor& tokens) override {
    const nn::AlignmentModel::Memory memory = memory_in(d.memory, 3);
    const Maps maps = decoder_maps();
    at::Tensor gates = token_gates(embed_target(tokens, Pass{}));  // [B,K,4H]
    if (feeds()) gates = gates + maps.fed(d.rows.back());
    const at::Tensor state = advance(gates, d.rows, maps, nullptr);
    const Forced seen = readout(memory, state, {d.position++, 0, true}, {}, maps);
    if (feeds()) d.rows.back() = seen.readout;
    return {log_probabilities(seen.readout), seen.weights};
  }

 protected:
  Forced forced(const TranslationBatch& batch, const Pass& pass, bool need_weights) override {
    const Encoded enc = encode(batch.source, batch.source_lengths, pass);
    const std::int64_t steps = batch.target.size(1) - 1;
    const at::Tensor tokens = embed_target(batch.target.narrow(1, 0, steps), pass);  // [B,T,E]
    const Sampling samples = sampling(tokens.size(0), pass);
    if (!feeds()) {  // all steps at once
      const at::Tensor states =
          run_stack(tokens, {}, decoder_, enc.hidden, enc.cell, pass, 16, false).output;
      Forced all = readout(enc.memory, states, {0, 1, need_weights}, samples, decoder_maps());
      all.readout = dropped(all.readout, pass, kReadoutDropout);
      return all;
    }
    std::vector<at::Tensor> rows, readouts, weights;
    std::vector<Choices> choices;
    for (std::size_t i = 0; i < decoder_.size(); ++i)
      rows.push_back(enc.hidden[i].unsqueeze(1)), rows.push_back(enc.cell[i].unsqueeze(1));
    const std::vector<at::Tensor> masks = layer_masks(tokens.size(0), pass, 16);
    const Maps maps = decoder_maps();
    const at::Tensor gates = token_gates(tokens);  // [B,T,4H]
    at::Tensor fed = at::zeros_like(rows[0]);      // [B,1,H]
    for (std::int64_t t = 0; t < steps; ++t) {
      const at::Tensor state = advance(gates.narrow(1, t, 1) + maps.fed(fed), rows, maps, &masks);
      const Forced seen = readout(enc.memory, state, {t, 0, need_weights}, samples, maps);
      fed = seen.readout;
      readouts.push_back(seen.readout), weights.push_back(seen.weights);
      choices.push_back(seen.choices);
    }
    return {dropped(at::cat(readouts, 1), pass, kReadoutDropout),
            need_weights ? at::cat(weights, 1) : at::Tensor(), joined(choices)};
  }

 private:
  struct Encoded {
    nn::AlignmentModel::Memory memory;
    std::vector<at::Tensor> hidden, cell;  // [B,H] of each layer
  };

  bool feeds() const { return config_.input_feeding && config_.attention; }

  /// Dropout masks of the inputs of layers 1 …, one [B,1,H] each; empty where nothing is dropped.
  std::vector<at::Tensor> layer_masks(std::int64_t batch, const Pass& pass,
                                      std::int64_t site) const {
    std::vector<at::Tensor> masks;
    if (!pass.training || config_.dropout <= 0) return masks;
    for (std::int64_t layer = 1; layer < config_.layers; ++layer)
      masks.push_back(nn::dropout_mask(batch, config_.hidden, config_.dropout, pass,
                                       {site + layer, false, nn::DropoutSite::kInput}, dtype_)
                          .unsqueeze(1));
    return masks;
  }

  nn::RecurrentOutput run_stack(at::Tensor x, const at::Tensor& lengths,
                                const std::vector<nn::CellWeights>& cells,
                                const std::vector<at::Tensor>& h0,
                                const std::vector<at::Tensor>& c0, const Pass& pass,
                                std::int64_t site, bool reverse) const {
    const std::vector<at::Tensor> masks = layer_masks(x.size(0), pass, site);
    nn::RecurrentOutput out;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      LstmOptions o;
      if (!h0.empty()) o.h0 = h0[i], o.c0 = c0[i];
      o.lengths = lengths, o.reverse = reverse;
      if (i > 0 && !masks.empty()) o.input_mask = masks[i - 1].squeeze(1);
      auto [states, h, c] = lstm(x, cells[i].weight_ih, cells[i].weight_hh, cells[i].bias, o);
      x = states;
      out.h_n.push_back(h), out.c_n.push_back(c);
    }
    out.output = x;
    return out;
  }

  Encoded encode(const at::Tensor& source, const at::Tensor& lengths, const Pass& pass) const {
    check_source(source, lengths);
    const nn::RecurrentOutput states = run_stack(embed_source(source, pass), lengths, encoder_, {},
                                                 {}, pass, 4, config_.reverse_source);
    Encoded out;
    out.memory = attention_ ? attention_->remember(states.output, lengths)
                            : nn::AlignmentModel::Memory{states.output, states.output, lengths};
    out.hidden = states.h_n, out.cell = states.c_n;
    return out;
  }

  /// The decoder's matrices as its steps use them, made once for all.
  struct Maps {
    nn::StepLinear fed;                     // of h̃; unused without feeding
    std::vector<nn::StepLinear> between;    // of a layer's output into the next, from layer 1 on
    std::vector<nn::StepLinear> recurrent;  // of each layer
    nn::StepLinear combine;
  };

  Maps decoder_maps() const {
    const at::Tensor first = decoder_[0].weight_ih;
    const std::int64_t e = config_.embedding_width;
    Maps maps{nn::StepLinear(first.narrow(1, e, first.size(1) - e)), {}, {}, combination()};
    for (std::size_t i = 0; i < decoder_.size(); ++i) {
      if (i > 0) maps.between.emplace_back(decoder_[i].weight_ih);
      maps.recurrent.emplace_back(decoder_[i].weight_hh);
    }
    return maps;
  }

  /// What the words contribute to the first layer's gates: [...,E] → [...,4H].
  at::Tensor token_gates(const at::Tensor& words) const {
    return at::linear(words, decoder_[0].weight_ih.narrow(1, 0, config_.embedding_width),
                      decoder_[0].bias);
  }

  /// One step of the decoder's stack: the first layer's gates [B,K,4H] without the recurrent part, rows (h, c) of each layer;
  /// the top layer's state [B,K,H].
  at::Tensor advance(at::Tensor gates, std::vector<at::Tensor>& rows, const Maps& maps,
                     const std::vector<at::Tensor>* masks) const {
    for (std::size_t i = 0; i < decoder_.size(); ++i) {
      if (i > 0) {
        at::Tensor x = rows[2 * i - 2];
        if (masks && !masks->empty()) x = x * (*masks)[i - 1];
        gates = maps.between[i - 1](x) + decoder_[i].bias;
      }
      std::tie(rows[2 * i], rows[2 * i + 1]) =
          nn::lstm_step(gates, rows[2 * i], rows[2 * i + 1], maps.recurrent[i]);
    }
    return rows[2 * decoder_.size() - 2];
  }

  /// h̃ (eq. 5), or the state itself without attention.
  Forced readout(const nn::AlignmentModel::Memory& memory, const at::Tensor& states,
                 const Place& place, const Sampling& samples, const Maps& maps) const {
    if (!attention_) return {states, {}, {}};
    return attentional(*attention_, memory, states, place, samples, maps.combine);
  }

  nn::RecurrentOptions encoder_options_, decoder_options_;
  std::vector<nn::CellWeights> encoder_, decoder_;
  std::optional<nn::AlignmentModel> attention_;
};

}  // namespace

std::unique_ptr<Translator> make_luong(const TranslatorConfig& config, std::uint64_t seed,
                                       at::ScalarType dtype) {
  return std::make_unique<Luong>(config, seed, dtype);
}

}  // namespace attend::models
