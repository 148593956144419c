#include "attend/models/translator.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/nn/embedding.h"
#include "attend/nn/init.h"
#include "attend/ops/vocabulary_loss.h"
#include "models/field_range.h"
#include "models/translator_base.h"

namespace attend::models {
namespace {

constexpr double kEmbeddingRange = 0.1;  // U(−r, r), as Luong et al. 2015, §4.1, for every weight

void check_transformer(const TranslatorConfig& c) {
  in_field("heads", c.heads, 1, 1 << 10);
  in_field("feed_forward", c.feed_forward, 1, 1 << 20);
  if (c.embedding_width % c.heads != 0)
    fail_usage("model.embedding_width is " + std::to_string(c.embedding_width) +
               ": it must be a multiple of model.heads = " + std::to_string(c.heads));
  if (!c.attention) fail_usage("model.attention.kind is none: a Transformer is made of attention");
  if (c.share_embeddings == SharedEmbeddings::kAll && c.source_vocabulary != c.target_vocabulary)
    fail_usage("model.share_embeddings is all: source and target must have one vocabulary, not " +
               std::to_string(c.source_vocabulary) + " and " + std::to_string(c.target_vocabulary) +
               " ids");
}

void check_choice(const TranslatorConfig& c) {
  const auto within = [](const char* name, double value, double low, double high) {
    if (!(value >= low && value <= high))
      fail_usage(std::string(name) + " is " + std::to_string(value) + ": it must be in [" +
                 std::to_string(low) + ", " + std::to_string(high) + "]");
  };
  within("model.attention.temperature", c.temperature, 0.01, 100);
  within("train.reward_weight", c.reward_weight, 0, 1e6);
  within("train.entropy_weight", c.entropy_weight, 0, 1e6);
  within("train.expected_share", c.expected_share, 0, 0.99);
  if (c.choice == Choice::kSoft) return;
  if (c.architecture == Architecture::kTransformer)
    fail_usage(
        "model.attention.choice: a Transformer's heads take the mean; set soft, or another "
        "model.architecture");
  if (c.architecture == Architecture::kLstmn && c.fusion == Fusion::kDeep)
    fail_usage(
        "model.attention.choice: deep fusion takes the mean; set soft, or model.attention.fusion "
        "to shallow");
  if (!c.attention)
    fail_usage("model.attention.choice: there is nothing to choose with model.attention.kind none");
}

}  // namespace

void check_config(const TranslatorConfig& c) {
  constexpr std::int64_t kWidest = 1 << 20, kMostIds = std::int64_t{1} << 31;
  in_field("source_vocabulary", c.source_vocabulary, kEnd + 1, kMostIds);
  in_field("target_vocabulary", c.target_vocabulary, kEnd + 1, kMostIds);
  in_field("max_length", c.max_length, 1, kWidest);
  in_field("embedding_width", c.embedding_width, 1, kWidest);
  in_field("hidden", c.hidden, 1, kWidest);
  in_field("layers", c.layers, 1, 64);
  in_field("window", c.window, 1, kWidest);
  in_field("attention_width", c.attention_width, 1, kWidest);
  if (!(c.dropout >= 0 && c.dropout < 1)) fail_usage("model.dropout must be in [0, 1)");
  if ((c.architecture == Architecture::kBahdanau || c.architecture == Architecture::kLstmn) &&
      c.layers != 1)
    fail_usage("model.layers is " + std::to_string(c.layers) +
               ": this architecture has one recurrent layer on each side");
  if (c.architecture == Architecture::kTransformer) check_transformer(c);
  if (c.architecture == Architecture::kLstmn && !c.attention)
    fail_usage(
        "model.attention.kind is none: an LSTMN's decoder knows its encoder by attention alone");
  check_choice(c);
}

std::int64_t target_tokens(const TranslationBatch& batch) {
  return batch.target_lengths.sum().item<std::int64_t>() -
         batch.target_lengths.size(0);  // kBegin is not predicted
}

std::unique_ptr<Translator> make_translator(const TranslatorConfig& config, std::uint64_t seed,
                                            at::ScalarType dtype) {
  check_config(config);
  switch (config.architecture) {
    case Architecture::kBahdanau:
      return make_bahdanau(config, seed, dtype);
    case Architecture::kLuong:
      return make_luong(config, seed, dtype);
    case Architecture::kLstmn:
      return make_lstmn_translator(config, seed, dtype);
    case Architecture::kTransformer:
      return make_transformer_translator(config, seed, dtype);
  }
  fail_usage("model.architecture is unknown");
}

TranslatorBase::TranslatorBase(const TranslatorConfig& config, std::uint64_t seed,
                               at::ScalarType dtype)
    : config_(config), seed_(seed), dtype_(dtype) {}

void TranslatorBase::prepare(Precision precision) {
  if (precision != Precision::kFloat32)
    fail_usage(
        "int8: only a Transformer in float can be prepared so; this model decodes in float32");
}

std::uint64_t TranslatorBase::seed_of(std::uint64_t part) const {
  return nn::seed_of_part(seed_, part);
}

at::Tensor TranslatorBase::add(const std::string& name, const at::Tensor& x) {
  named_.emplace_back(name, x.set_requires_grad(true));
  return x;
}

at::Tensor TranslatorBase::matrix(std::int64_t rows, std::int64_t columns) {
  Random random(seed_, Purpose::kInit, stream_++);
  return nn::glorot_uniform({rows, columns}, columns, rows, random, dtype_);
}

at::Tensor TranslatorBase::zeros(std::int64_t n) const {
  return at::zeros({n}, at::TensorOptions().dtype(dtype_));
}

void TranslatorBase::make_vocabularies(std::int64_t readout) {
  const auto table = [&](std::int64_t ids) {
    Random random(seed_, Purpose::kInit, stream_++);
    return nn::uniform({ids, config_.embedding_width}, kEmbeddingRange, random, dtype_);
  };
  source_table_ = add("encoder.embedding.weight", table(config_.source_vocabulary));
  target_table_ = add("decoder.embedding.weight", table(config_.target_vocabulary));
  output_weight_ = add("output.weight", matrix(config_.target_vocabulary, readout));
  output_bias_ = add("output.bias", zeros(config_.target_vocabulary));
}

void TranslatorBase::add_recurrent(const std::string& prefix,
                                   const std::vector<nn::CellWeights>& cells,
                                   const nn::RecurrentOptions& options) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string end = nn::cell_suffix(i, options);
    add(prefix + "weight_ih" + end, cells[i].weight_ih);
    add(prefix + "weight_hh" + end, cells[i].weight_hh);
    add(prefix + (cells[i].bias_hh.defined() ? "bias_ih" : "bias") + end, cells[i].bias);
    if (cells[i].bias_hh.defined()) add(prefix + "bias_hh" + end, cells[i].bias_hh);
  }
}

std::optional<nn::AlignmentModel> TranslatorBase::make_attention(std::int64_t query_width,
                                                                 std::int64_t key_width) {
  if (!config_.attention) return std::nullopt;
  nn::AlignmentOptions o;
  o.score = config_.score, o.span = config_.span, o.window = config_.window;
  o.query_width = query_width, o.key_width = key_width, o.width = config_.attention_width;
  o.positions = config_.max_length;
  nn::AlignmentModel model(o, seed_of(3), dtype_);
  for (const auto& [name, x] : model.parameters()) add("attention." + name, x);
  if (config_.choice == Choice::kHard) {
    baseline_ = zeros(config_.max_length + 2);
    named_.emplace_back("attention.baseline", baseline_);  // learns without a gradient
  }
  return model;
}

Sampling TranslatorBase::sampling(std::int64_t batch, const Pass& pass) const {
  Sampling out{{}, pass};
  if (!pass.training || config_.choice == Choice::kSoft || !config_.attention) return out;
  const bool hard = config_.choice == Choice::kHard;
  out.expected = rows_that_take_the_mean(batch, hard ? config_.expected_share : 0, pass,
                                         {kExpectedDropout, false, nn::DropoutSite::kOutput});
  out.gradient = hard ? HardGradient::kReinforce : HardGradient::kStraightThrough;
  out.temperature = config_.temperature;
  return out;
}

Look TranslatorBase::look(const nn::AlignmentModel& attention,
                          const nn::AlignmentModel::Memory& memory, const at::Tensor& query,
                          const Place& place, const Sampling& sampling) const {
  const bool soft = config_.choice == Choice::kSoft;
  const auto [context, weights] =
      attention(memory, query, place.first, place.step, place.need_weights || !soft);
  if (soft) return {context, weights, {}};
  if (sampling.on()) return sampled(sampling, context, weights, memory.value, place.first);
  return likeliest(weights, memory.value);
}

std::vector<at::Tensor> TranslatorBase::carried(const nn::AlignmentModel::Memory& memory,
                                                std::vector<at::Tensor> own) {
  own.insert(own.begin(), {memory.key, memory.value, memory.lengths});
  if (memory.prepared.defined()) own.push_back(memory.prepared);
  return own;
}

nn::AlignmentModel::Memory TranslatorBase::memory_in(const std::vector<at::Tensor>& carried,
                                                     std::size_t prepared) {
  return {carried[0],
          carried[1],
          carried[2],
          carried.size() > prepared ? carried[prepared] : at::Tensor(),
          {}};
}

void TranslatorBase::make_attentional(std::int64_t hidden) {
  combine_ = add("attentional.weight", matrix(hidden, 2 * hidden));
}

TranslatorBase::Forced TranslatorBase::attentional(const nn::AlignmentModel& attention,
                                                   const nn::AlignmentModel::Memory& memory,
                                                   const at::Tensor& states, const Place& place,
                                                   const Sampling& samples,
                                                   const nn::StepLinear& combine) const {
  const Look seen = look(attention, memory, states, place, samples);
  return {at::tanh(combine(at::cat({seen.context, states}, -1))), seen.weights, seen.choices};
}

void TranslatorBase::check_source(const at::Tensor& ids, const at::Tensor& lengths) const {
  if (!ids.defined() || ids.dim() != 2 || !lengths.defined() || lengths.dim() != 1 ||
      lengths.size(0) != ids.size(0))
    fail_usage("translator: a source is ids [B,S] int64 with lengths [B] int64");
  if (ids.size(1) > config_.max_length)
    fail_usage("translator: a source has " + std::to_string(ids.size(1)) +
               " tokens, more than model.max_length = " + std::to_string(config_.max_length));
}

at::Tensor TranslatorBase::dropped(const at::Tensor& x, const Pass& pass, std::int64_t site) const {
  return nn::sequence_dropout(x, config_.dropout, pass, {site, false, nn::DropoutSite::kOutput});
}

at::Tensor TranslatorBase::embed_source(const at::Tensor& ids, const Pass& pass) const {
  return dropped(std::get<0>(nn::embed(source_table_, ids)), pass, kSourceDropout);
}

at::Tensor TranslatorBase::embed_target(const at::Tensor& ids, const Pass& pass) const {
  return dropped(std::get<0>(nn::embed(target_table_, ids)), pass, kTargetDropout);
}

at::Tensor TranslatorBase::log_probabilities(const at::Tensor& readout) const {
  return vocabulary_log_probabilities(readout.flatten(0, -2), output_weight_, output_bias_)
      .unflatten(0, readout.sizes().slice(0, static_cast<std::size_t>(readout.dim() - 1)));
}

TranslationLoss TranslatorBase::loss(const TranslationBatch& batch, const Pass& pass,
                                     double label_smoothing) {
  const Forced f = forced(batch, pass, /*need_weights=*/false);  // readout [B,T,C]
  const at::Tensor wanted =
      batch.target.narrow(1, 1, batch.target.size(1) - 1).contiguous();  // [B,T]
  const bool reinforces = config_.choice == Choice::kHard && f.choices.expected.defined();
  const VocabularyLossOptions options{label_smoothing, kPadding,
                                      reinforces ? Reduction::kNone : Reduction::kSum};
  const at::Tensor l = vocabulary_loss(f.readout.flatten(0, 1), output_weight_, output_bias_,
                                       wanted.flatten(), options);
  if (!reinforces) return {l, at::zeros({}, l.options().requires_grad(false))};
  return {l.sum(), reinforced(f.choices, l.view(wanted.sizes()), wanted != kPadding, baseline_,
                              {config_.reward_weight, config_.entropy_weight})};
}

at::Tensor TranslatorBase::alignment(const TranslationBatch& batch) {
  const at::NoGradGuard off;
  return config_.attention ? forced(batch, Pass{}, /*need_weights=*/true).weights : at::Tensor();
}

}  // namespace attend::models
