// "Show, Attend and Tell" (Xu et al. 2015): the decoder.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>

#include <utility>

#include "attend/base/random.h"
#include "attend/nn/cells.h"
#include "attend/nn/embedding.h"
#include "attend/nn/init.h"
#include "attend/nn/recurrent.h"
#include "attend/nn/step_linear.h"
#include "attend/ops/additive.h"
#include "attend/ops/hard.h"
#include "models/captioner_base.h"

namespace attend::models {
namespace {

constexpr double kTableRange = 0.1;  // U(−r, r) of the embedding
enum CaptionDropout : std::int64_t { kTokens = 1, kReadout = 2, kExpected = 3 };  // masks of a step

at::Tensor dropped(const at::Tensor& x, double rate, const Pass& pass, CaptionDropout site) {
  return nn::dropout(x, rate, pass, {site, false, nn::DropoutSite::kOutput});
}

class ShowAttendTell final : public CaptionerBase {
 public:
  ShowAttendTell(const CaptionerConfig& config, std::uint64_t seed, at::ScalarType dtype)
      : CaptionerBase(config, seed, dtype) {
    const std::int64_t v = config.vocabulary, e = config.embedding_width, h = config.hidden,
                       a = config.attention_width, d = config.annotation_width;
    Random random(seed, Purpose::kInit, 99);
    table_ = add("embedding.weight", nn::uniform({v, e}, kTableRange, random, dtype));
    hidden_weight_ = add("initial.hidden.weight", matrix(h, d));
    hidden_bias_ = add("initial.hidden.bias", zeros({h}));
    memory_weight_ = add("initial.memory.weight", matrix(h, d));
    memory_bias_ = add("initial.memory.bias", zeros({h}));
    if (config.attention != CaptionAttention::kUniform) {
      query_ = add("attention.query.weight", matrix(a, h));
      key_ = add("attention.key.weight", matrix(a, d));
      key_bias_ = add("attention.key.bias", zeros({a}));
      score_ = add("attention.score.weight", matrix(1, a).squeeze(0));
    }
    gate_ = add("gate.weight", matrix(1, h).squeeze(0));
    gate_bias_ = add("gate.bias", zeros({}));
    nn::RecurrentOptions unit;
    unit.cell = nn::Cell::kLstm, unit.input = e, unit.hidden = h;
    const nn::CellWeights w = nn::recurrent_weights(unit, seed, dtype)[0];
    from_token_ = add("lstm.weight_ih", w.weight_ih);
    from_context_ = add("lstm.weight_ch", matrix(4 * h, d));
    recurrent_ = add("lstm.weight_hh", w.weight_hh);
    cell_bias_ = add("lstm.bias", w.bias);
    readout_state_ = add("readout.state.weight", matrix(e, h));
    readout_context_ = add("readout.context.weight", matrix(e, d));
    add_output(matrix(v, e));
    if (config.attention != CaptionAttention::kHard) return;
    baseline_ = zeros({config.max_length + 2});
    named_.emplace_back("attention.baseline", baseline_);
  }

  Decoding begin(const at::Tensor& annotations) override {
    const Memory memory = remember(annotations);
    Decoding d;
    d.memory = {annotations, memory.keys.key.defined() ? memory.keys.key : memory.mean,
                memory.mean};
    d.rows = {at::tanh(at::linear(memory.mean, hidden_weight_, hidden_bias_)).unsqueeze(1),
              at::tanh(at::linear(memory.mean, memory_weight_, memory_bias_)).unsqueeze(1)};
    return d;
  }

  DecodingStep step(Decoding& d, const at::Tensor& tokens) override {
    const at::Tensor words = std::get<0>(nn::embed(table_, tokens));  // [B,K,E]
    const Look seen = look({d.memory[0], {d.memory[1], {}}, d.memory[2]}, d.rows[0], {}, 0);
    const at::Tensor z = context_gate(d.rows[0], gate_, gate_bias_) * seen.context;
    const at::Tensor gates =
        at::linear(words, from_token_, cell_bias_) + at::linear(z, from_context_);
    std::tie(d.rows[0], d.rows[1]) =
        nn::lstm_step(gates, d.rows[0], d.rows[1], nn::StepLinear(recurrent_));
    ++d.position;
    const at::Tensor out = readout(d.rows[0], words, z);  // [B,K,E]
    return {log_probabilities(out), seen.weights};
  }

 protected:
  Forced forced(const at::Tensor& annotations, const at::Tensor& tokens, const Pass& pass,
                bool need_maps) override {
    const std::int64_t steps = tokens.size(1) - 1, batch = tokens.size(0);
    const bool samples = pass.training && config_.attention == CaptionAttention::kHard;
    Forced out;
    Sampling sampling{{}, pass};
    if (samples)
      sampling.expected = rows_that_take_the_mean(batch, config_.expected_share, pass,
                                                  {kExpected, false, nn::DropoutSite::kOutput});
    const Memory memory = remember(annotations);
    const at::Tensor words =
        dropped(std::get<0>(nn::embed(table_, tokens.narrow(1, 0, steps).contiguous())),
                config_.dropout, pass, kTokens);                          // [B,T,E]
    const at::Tensor gates = at::linear(words, from_token_, cell_bias_);  // [B,T,4H]
    at::Tensor h = at::tanh(at::linear(memory.mean, hidden_weight_, hidden_bias_)).unsqueeze(1),
               c = at::tanh(at::linear(memory.mean, memory_weight_, memory_bias_)).unsqueeze(1);
    const nn::StepLinear from_context(from_context_), recurrent(recurrent_);
    std::vector<at::Tensor> states, contexts, maps, betas;
    std::vector<Choices> choices;
    for (std::int64_t t = 0; t < steps; ++t) {
      const Look seen = look(memory, h, sampling, t);
      const at::Tensor gate = context_gate(h, gate_, gate_bias_);  // [B,1,1]
      const at::Tensor z = gate * seen.context;                    // [B,1,D]
      std::tie(h, c) = nn::lstm_step(gates.narrow(1, t, 1) + from_context(z), h, c, recurrent);
      states.push_back(h), contexts.push_back(z);
      if (need_maps) maps.push_back(seen.weights), betas.push_back(gate.squeeze(-1));
      choices.push_back(seen.choices);
    }
    out.readout = dropped(readout(at::cat(states, 1), words, at::cat(contexts, 1)), config_.dropout,
                          pass, kReadout);
    if (need_maps) out.maps = at::cat(maps, 1), out.gates = at::cat(betas, 1);
    out.choices = joined(choices);
    return out;
  }

 private:
  /// What is known of the images before the first word.
  struct Memory {
    at::Tensor annotations;  // [B,L,D]
    AdditiveKeys keys;       // [B,L,A]
    at::Tensor mean;         // [B,D]
  };

  Memory remember(const at::Tensor& annotations) const {
    Memory out{annotations, {}, annotations.mean({1})};
    if (query_.defined())
      out.keys = prepare_additive_keys(at::linear(annotations, key_, key_bias_));
    return out;
  }

  /// What K hypotheses of each image see.
  Look look(const Memory& memory, const at::Tensor& state, const Sampling& sampling,
            std::int64_t word) const {
    const at::Tensor& a = memory.annotations;
    const std::int64_t hypotheses = state.size(1);
    if (config_.attention == CaptionAttention::kUniform) {
      const double share = 1.0 / static_cast<double>(a.size(1));
      return {memory.mean.unsqueeze(1).expand({-1, hypotheses, -1}),
              at::full({a.size(0), hypotheses, a.size(1)}, share, a.options()),
              {}};
    }
    AttentionOptions options;
    options.need_weights = true;
    auto [context, weights] = additive(at::linear(state, query_), memory.keys, a, score_, options);
    if (sampling.on()) return sampled(sampling, context, weights, a, word);
    if (config_.attention == CaptionAttention::kHard) return likeliest(weights, a);
    return {context, weights, {}};
  }

  at::Tensor readout(const at::Tensor& state, const at::Tensor& token,
                     const at::Tensor& context) const {
    return at::tanh(token + at::linear(state, readout_state_) +
                    at::linear(context, readout_context_));
  }

  at::Tensor hidden_weight_, hidden_bias_, memory_weight_, memory_bias_;  // of h_0 and c_0
  at::Tensor query_, key_, key_bias_, score_;                             // [A,H], [A,D], [A], [A]
  at::Tensor gate_, gate_bias_;                                           // f, b_f
  at::Tensor from_token_, from_context_, recurrent_, cell_bias_;  // [4H,E], [4H,D], [4H,H], [4H]
  at::Tensor readout_state_, readout_context_;                    // L_h [E,H], L_z [E,D]
};

}  // namespace

std::unique_ptr<Captioner> make_show_attend_tell(const CaptionerConfig& config, std::uint64_t seed,
                                                 at::ScalarType dtype) {
  return std::make_unique<ShowAttendTell>(config, seed, dtype);
}

}  // namespace attend::models
