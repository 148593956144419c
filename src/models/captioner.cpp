// "Show, Attend and Tell" (Xu et al. 2015): the decoder.
#include "attend/models/captioner.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include <string>
#include <utility>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/nn/cells.h"
#include "attend/nn/embedding.h"
#include "attend/nn/init.h"
#include "attend/nn/recurrent.h"
#include "attend/ops/additive.h"
#include "attend/ops/hard.h"
#include "attend/ops/vocabulary_loss.h"
#include "models/choice.h"
#include "models/field_range.h"

namespace attend::models {
namespace {

constexpr double kTableRange = 0.1;  // U(−r, r) of the embedding
enum CaptionDropout : std::int64_t { kTokens = 1, kReadout = 2, kExpected = 3 };  // masks of a step

void is_weight(const std::string& name, double value, double high) {
  if (!(value >= 0 && value <= high))
    fail_usage(name + " is " + std::to_string(value) + ": it must be in [0, " +
               std::to_string(high) + "]");
}

at::Tensor dropped(const at::Tensor& x, double rate, const Pass& pass, CaptionDropout site) {
  return nn::dropout(x, rate, pass, {site, false, nn::DropoutSite::kOutput});
}

}  // namespace

void check_config(const CaptionerConfig& c) {
  constexpr std::int64_t kWidest = 1 << 20;
  constexpr double kHeaviest = 1e6;
  in_field("vocabulary", c.vocabulary, kEnd + 1, std::int64_t{1} << 31);
  in_field("max_length", c.max_length, 1, kWidest);
  in_field("annotation_width", c.annotation_width, 1, kWidest);
  in_field("embedding_width", c.embedding_width, 1, kWidest);
  in_field("hidden", c.hidden, 1, kWidest);
  in_field("attention.width", c.attention_width, 1, kWidest);
  if (!(c.dropout >= 0 && c.dropout < 1)) fail_usage("model.dropout must be in [0, 1)");
  is_weight("train.doubly_stochastic", c.doubly_stochastic, kHeaviest);
  is_weight("train.reward_weight", c.reward_weight, kHeaviest);
  is_weight("train.entropy_weight", c.entropy_weight, kHeaviest);
  is_weight("train.expected_share", c.expected_share, 0.99);
}

/// What is known of the images before the first word.
struct Captioner::Memory {
  at::Tensor annotations;  // [B,L,D]
  AdditiveKeys keys;       // [B,L,A]
  at::Tensor mean;         // [B,D]
};

struct Captioner::Forced {
  at::Tensor readout;      // [B,T,E]
  at::Tensor maps, gates;  // [B,T,L] and [B,T], undefined unless asked for
  Choices choices;         // undefined where nothing was sampled
};

Captioner::Captioner(const CaptionerConfig& config, std::uint64_t seed, at::ScalarType dtype)
    : config_(config) {
  check_config(config);
  const std::int64_t v = config.vocabulary, e = config.embedding_width, h = config.hidden,
                     a = config.attention_width, d = config.annotation_width;
  std::uint64_t stream = 0;
  const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    Random random(seed, Purpose::kInit, 100 + stream++);
    return nn::glorot_uniform({rows, columns}, columns, rows, random, dtype);
  };
  const auto zeros = [&](at::IntArrayRef shape) {
    return at::zeros(shape, at::TensorOptions().dtype(dtype));
  };
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
  output_weight_ = add("output.weight", matrix(v, e));
  output_bias_ = add("output.bias", zeros({v}));
  if (config.attention != CaptionAttention::kHard) return;
  baseline_ = zeros({config.max_length + 2});
  named_.emplace_back("attention.baseline", baseline_);
}

at::Tensor Captioner::add(const std::string& name, const at::Tensor& x) {
  named_.emplace_back(name, x.detach().set_requires_grad(true));
  return named_.back().second;
}

Captioner::Memory Captioner::remember(const at::Tensor& annotations) const {
  Memory out{annotations, {}, annotations.mean({1})};
  if (query_.defined()) out.keys = prepare_additive_keys(at::linear(annotations, key_, key_bias_));
  return out;
}

/// What K hypotheses of each image see.
Look Captioner::look(const Memory& memory, const at::Tensor& state, const Sampling& sampling,
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

at::Tensor Captioner::readout(const at::Tensor& state, const at::Tensor& token,
                              const at::Tensor& context) const {
  return at::tanh(token + at::linear(state, readout_state_) +
                  at::linear(context, readout_context_));
}

Captioner::Forced Captioner::forced(const at::Tensor& annotations, const at::Tensor& tokens,
                                    const Pass& pass, bool need_maps) const {
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

void Captioner::check_captions(const at::Tensor& annotations, const at::Tensor& tokens) const {
  if (!annotations.defined() || annotations.dim() != 3 || annotations.size(1) < 1 ||
      annotations.size(2) != config_.annotation_width)
    fail_usage("captioner: annotations are [B,L," + std::to_string(config_.annotation_width) +
               "] with L of at least 1");
  if (!tokens.defined() || tokens.dim() != 2 || tokens.size(0) != annotations.size(0) ||
      tokens.size(1) < 2)
    fail_usage("captioner: tokens are [B,T+1] int64, a caption for each image");
  if (tokens.size(1) - 2 > config_.max_length)
    fail_usage("captioner: a caption has " + std::to_string(tokens.size(1) - 2) +
               " tokens, more than model.max_length = " + std::to_string(config_.max_length));
}

CaptionLoss Captioner::loss(const at::Tensor& annotations, const at::Tensor& tokens,
                            const Pass& pass) {
  check_captions(annotations, tokens);
  const bool hard = config_.attention == CaptionAttention::kHard;
  const bool soft = config_.attention == CaptionAttention::kSoft && config_.doubly_stochastic > 0;
  const Forced f = forced(annotations, tokens, pass, soft);
  const at::Tensor wanted = tokens.narrow(1, 1, tokens.size(1) - 1).contiguous();  // [B,T]
  const bool reinforces = hard && pass.training;
  VocabularyLossOptions options;
  options.ignore_index = kPadding;
  options.reduction = reinforces ? Reduction::kNone : Reduction::kSum;
  const at::Tensor l = vocabulary_loss(f.readout.flatten(0, 1), output_weight_, output_bias_,
                                       wanted.flatten(), options);
  const at::Tensor counted = wanted != kPadding;  // [B,T]
  if (reinforces)
    return {l.sum(), reinforced(f.choices, l.view(wanted.sizes()), counted, baseline_,
                                {config_.reward_weight, config_.entropy_weight})};
  if (!soft) return {l, at::zeros({}, l.options())};
  const at::Tensor maps = f.maps * counted.unsqueeze(-1).to(f.maps.scalar_type());
  return {l, config_.doubly_stochastic * doubly_stochastic_penalty(maps).sum()};
}

CaptionReading Captioner::read(const at::Tensor& annotations, const at::Tensor& tokens) {
  check_captions(annotations, tokens);
  const at::NoGradGuard off;
  const Forced f = forced(annotations, tokens, Pass{}, /*need_maps=*/true);
  const at::Tensor wanted = tokens.narrow(1, 1, tokens.size(1) - 1).contiguous();
  const at::Tensor counted = (wanted != kPadding).to(f.maps.scalar_type());  // [B,T]
  VocabularyLossOptions options;
  options.ignore_index = kPadding, options.reduction = Reduction::kNone;
  const at::Tensor l = vocabulary_loss(f.readout.flatten(0, 1), output_weight_, output_bias_,
                                       wanted.flatten(), options);
  return {f.maps * counted.unsqueeze(-1), f.gates * counted, -l.view(wanted.sizes())};
}

Decoding Captioner::begin(const at::Tensor& annotations) const {
  const Memory memory = remember(annotations);
  Decoding d;
  d.memory = {annotations, memory.keys.key.defined() ? memory.keys.key : memory.mean, memory.mean};
  d.rows = {at::tanh(at::linear(memory.mean, hidden_weight_, hidden_bias_)).unsqueeze(1),
            at::tanh(at::linear(memory.mean, memory_weight_, memory_bias_)).unsqueeze(1)};
  return d;
}

DecodingStep Captioner::step(Decoding& d, const at::Tensor& tokens) const {
  const at::Tensor words = std::get<0>(nn::embed(table_, tokens));  // [B,K,E]
  const Look seen = look({d.memory[0], {d.memory[1], {}}, d.memory[2]}, d.rows[0], {}, 0);
  const at::Tensor z = context_gate(d.rows[0], gate_, gate_bias_) * seen.context;
  const at::Tensor gates =
      at::linear(words, from_token_, cell_bias_) + at::linear(z, from_context_);
  std::tie(d.rows[0], d.rows[1]) =
      nn::lstm_step(gates, d.rows[0], d.rows[1], nn::StepLinear(recurrent_));
  ++d.position;
  const at::Tensor out = readout(d.rows[0], words, z);  // [B,K,E]
  return {vocabulary_log_probabilities(out.flatten(0, 1), output_weight_, output_bias_)
              .unflatten(0, {tokens.size(0), tokens.size(1)}),
          seen.weights};
}

CaptionerSteps::CaptionerSteps(const Captioner& captioner, at::Tensor annotations)
    : captioner_(captioner), annotations_(std::move(annotations)) {
  start();
}

}  // namespace attend::models
