// RNNsearch, and RNNenc where config.attention is off (Bahdanau et al. 2015, §3 and §A).
#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>

#include "attend/nn/cells.h"
#include "models/translator_base.h"

namespace attend::models {
namespace {

class Bahdanau final : public TranslatorBase {
 public:
  Bahdanau(const TranslatorConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : TranslatorBase(config, seed, dtype) {
    const std::int64_t e = config.embedding_width, h = config.hidden;
    make_vocabularies(e);  // maxout halves 2E
    reader_.cell = nn::Cell::kGru;
    reader_.input = e, reader_.hidden = h, reader_.bidirectional = true;
    encoder_ = nn::recurrent_weights(reader_, seed_of(1), dtype);
    add_recurrent("encoder.gru.", encoder_, reader_);
    initial_ = add("decoder.initial.weight", matrix(h, h)),
    initial_bias_ = add("decoder.initial.bias", zeros(h));
    nn::RecurrentOptions unit;
    unit.cell = nn::Cell::kGru, unit.input = e, unit.hidden = h;
    const nn::CellWeights w = nn::recurrent_weights(unit, seed_of(2), dtype)[0];
    from_token_ = add("decoder.gru.weight_ih", w.weight_ih),
    gate_bias_ = add("decoder.gru.bias", w.bias);
    from_context_ = add("decoder.gru.weight_ch", matrix(3 * h, 2 * h));
    recurrent_ = add("decoder.gru.weight_hh", w.weight_hh);
    readout_state_ = add("readout.state.weight", matrix(2 * e, h)),
    readout_bias_ = add("readout.bias", zeros(2 * e));
    readout_token_ = add("readout.token.weight", matrix(2 * e, e));
    readout_context_ = add("readout.context.weight", matrix(2 * e, 2 * h));
    attention_ = make_attention(h, 2 * h);
  }

  Decoding begin(const at::Tensor& source, const at::Tensor& source_lengths) override {
    const Encoded enc = encode(source, source_lengths, Pass{});
    Decoding d;
    d.memory = carried(enc.memory, {enc.last});
    d.rows = {enc.start.unsqueeze(1)};  // [B,1,H]
    return d;
  }

  DecodingStep step(Decoding& d, const at::Tensor& tokens) override {
    const at::Tensor token = embed_target(tokens, Pass{});  // [B,K,E]
    const nn::AlignmentModel::Memory memory = memory_in(d.memory, 4);
    const at::Tensor before = d.rows[0];
    const Look seen = look_at(memory, d.memory[3], before, {d.position++, 0, true}, {});
    const at::Tensor gates =
        at::linear(token, from_token_, gate_bias_) + at::linear(seen.context, from_context_);
    d.rows[0] = nn::gru_step(gates, before, nn::GruRecurrence(recurrent_));
    return {log_probabilities(readout(before, token, seen.context)), seen.weights};
  }

 protected:
  Forced forced(const TranslationBatch& batch, const Pass& pass, bool need_weights) override {
    const Encoded enc = encode(batch.source, batch.source_lengths, pass);
    const std::int64_t steps = batch.target.size(1) - 1;
    const at::Tensor tokens = embed_target(batch.target.narrow(1, 0, steps), pass);  // [B,T,E]
    const at::Tensor gates = at::linear(tokens, from_token_, gate_bias_);            // [B,T,3H]
    std::vector<at::Tensor> states, contexts, weights;
    std::vector<Choices> choices;
    const Sampling samples = sampling(tokens.size(0), pass);
    const nn::GruRecurrence recurrent(recurrent_);
    const nn::StepLinear from_context(from_context_);
    at::Tensor state = enc.start.unsqueeze(1);  // [B,1,H]
    for (std::int64_t t = 0; t < steps; ++t) {
      const Look seen = look_at(enc.memory, enc.last, state, {t, 0, need_weights}, samples);
      states.push_back(state), contexts.push_back(seen.context), weights.push_back(seen.weights);
      choices.push_back(seen.choices);
      state = nn::gru_step(gates.narrow(1, t, 1) + from_context(seen.context), state, recurrent);
    }
    const at::Tensor out = readout(at::cat(states, 1), tokens, at::cat(contexts, 1));  // [B,T,E]
    return {dropped(out, pass, kReadoutDropout),
            need_weights && attention_ ? at::cat(weights, 1) : at::Tensor(), joined(choices)};
  }

 private:
  struct Encoded {
    nn::AlignmentModel::Memory memory;
    at::Tensor last;   // [B,2H], the context where there is no attention
    at::Tensor start;  // [B,H], s_0
  };

  Encoded encode(const at::Tensor& source, const at::Tensor& lengths, const Pass& pass) const {
    check_source(source, lengths);
    const nn::RecurrentOutput states =
        nn::recurrent(embed_source(source, pass), lengths, encoder_, reader_, pass);
    const at::Tensor backward =
        states.h_n.back();  // has read the whole sentence, its first word last
    Encoded out;
    out.memory = attention_ ? attention_->remember(states.output, lengths)
                            : nn::AlignmentModel::Memory{states.output, states.output, lengths};
    out.last = at::cat({states.h_n[0], backward}, 1);
    out.start = at::tanh(at::linear(backward, initial_, initial_bias_));
    return out;
  }

  Look look_at(const nn::AlignmentModel::Memory& memory, const at::Tensor& last,
               const at::Tensor& state, const Place& place, const Sampling& samples) const {
    if (attention_) return look(*attention_, memory, state, place, samples);
    return {last.unsqueeze(1).expand({last.size(0), state.size(1), last.size(1)}), {}, {}};
  }

  /// Maxout over pairs: [...,2E] -> [...,E].
  at::Tensor readout(const at::Tensor& state, const at::Tensor& token,
                     const at::Tensor& context) const {
    const at::Tensor t = at::linear(state, readout_state_, readout_bias_) +
                         at::linear(token, readout_token_) + at::linear(context, readout_context_);
    return t.unflatten(-1, {config_.embedding_width, 2}).amax({-1});
  }

  nn::RecurrentOptions reader_;
  std::vector<nn::CellWeights> encoder_;
  at::Tensor initial_, initial_bias_, from_token_, from_context_, gate_bias_, recurrent_;
  at::Tensor readout_state_, readout_token_, readout_context_, readout_bias_;
  std::optional<nn::AlignmentModel> attention_;
};

}  // namespace

std::unique_ptr<Translator> make_bahdanau(const TranslatorConfig& config, std::uint64_t seed,
                                          at::ScalarType dtype) {
  return std::make_unique<Bahdanau>(config, seed, dtype);
}

}  // namespace attend::models
