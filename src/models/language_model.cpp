#include "attend/models/language_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/nn/embedding.h"
#include "attend/nn/init.h"
#include "attend/ops/vocabulary_loss.h"
#include "models/field_range.h"
#include "models/language_base.h"

namespace attend::models {
void check_config(const LanguageConfig& c) {
  constexpr std::int64_t kWidest = 1 << 20;
  in_field("vocabulary", c.vocabulary, kEnd + 1, std::int64_t{1} << 31);
  in_field("max_length", c.max_length, 1, kWidest);
  in_field("embedding_width", c.embedding_width, 1, kWidest);
  in_field("layers", c.layers, 1, 64);
  if (!(c.dropout >= 0 && c.dropout < 1)) fail_usage("model.dropout must be in [0, 1)");
  if (c.architecture == LanguageArchitecture::kTransformer) {
    in_field("heads", c.heads, 1, 1 << 10);
    in_field("feed_forward", c.feed_forward, 1, kWidest);
    if (c.embedding_width % c.heads != 0)
      fail_usage("model.embedding_width is " + std::to_string(c.embedding_width) +
                 ": it must be a multiple of model.heads = " + std::to_string(c.heads));
    return;
  }
  in_field("hidden", c.hidden, 1, kWidest);
  if (c.architecture == LanguageArchitecture::kLstmn)
    in_field("attention.width", c.attention_width, 1, kWidest);
  if (c.share_embeddings && c.hidden != c.embedding_width)
    fail_usage("model.share_embeddings needs model.hidden = model.embedding_width, not " +
               std::to_string(c.hidden) + " and " + std::to_string(c.embedding_width));
}

std::unique_ptr<LanguageModel> make_language_model(const LanguageConfig& config, std::uint64_t seed,
                                                   at::ScalarType dtype) {
  check_config(config);
  switch (config.architecture) {
    case LanguageArchitecture::kLstm:
      return make_lstm_language(config, seed, dtype);
    case LanguageArchitecture::kLstmn:
      return make_lstmn_language(config, seed, dtype);
    case LanguageArchitecture::kTransformer:
      return make_transformer_language(config, seed, dtype);
  }
  fail_usage("model.architecture is unknown");
}

LanguageBase::LanguageBase(const LanguageConfig& config, std::uint64_t seed, at::ScalarType dtype)
    : config_(config), seed_(seed), dtype_(dtype) {}

at::Tensor LanguageBase::add(const std::string& name, const at::Tensor& x) {
  named_.emplace_back(name, x.set_requires_grad(true));
  return x;
}

std::uint64_t LanguageBase::seed_of(std::uint64_t part) const {
  return nn::seed_of_part(seed_, part);
}

/// Vectors ~ N(0, 1/E), so that as a projection of states of size 1 they begin with scores of variance 1.
void LanguageBase::make_vocabulary(std::int64_t readout) {
  const auto table = [&](std::int64_t width, std::uint64_t index) {
    Random random(seed_, Purpose::kInit, index);
    const double deviation = 1 / std::sqrt(static_cast<double>(width));
    return nn::normal({config_.vocabulary, width}, deviation, random, dtype_);
  };
  table_ = add("embedding.weight", table(config_.embedding_width, 1));
  output_weight_ = config_.share_embeddings ? table_ : add("output.weight", table(readout, 2));
  output_bias_ =
      add("output.bias", at::zeros({config_.vocabulary}, at::TensorOptions().dtype(dtype_)));
}

void LanguageBase::check_rows(const at::Tensor& tokens, std::int64_t most) const {
  if (!tokens.defined() || tokens.dim() != 2 || tokens.scalar_type() != at::kLong ||
      tokens.size(1) < 1)
    fail_usage("language model: rows are tokens [B,T] int64 with T of at least 1");
  if (tokens.size(1) > most)
    fail_usage("language model: rows have " + std::to_string(tokens.size(1)) +
               " tokens, and model.max_length allows " + std::to_string(most));
}

at::Tensor LanguageBase::loss(const at::Tensor& tokens, const Pass& pass) {
  check_rows(tokens, config_.max_length + 1);
  const std::int64_t steps = tokens.size(1) - 1;
  const at::Tensor readout = read(tokens.narrow(1, 0, steps), pass, nullptr);  // [B,T,C]
  const VocabularyLossOptions options{0, kPadding, Reduction::kSum};
  return vocabulary_loss(readout.flatten(0, 1), output_weight_, output_bias_,
                         tokens.narrow(1, 1, steps).reshape({-1}), options);
}

at::Tensor LanguageBase::next(const at::Tensor& tokens) {
  check_rows(tokens, config_.max_length);
  const at::NoGradGuard off;
  return vocabulary_log_probabilities(read(tokens, Pass{}, nullptr).select(1, -1), output_weight_,
                                      output_bias_);
}

at::Tensor LanguageBase::next(const at::Tensor& tokens, LanguageState& state) {
  check_rows(tokens, config_.max_length - state.length);
  if (!state.rows.empty() && state.rows.front().size(0) != tokens.size(0))
    fail_usage("language model: " + std::to_string(tokens.size(0)) + " rows go on from " +
               std::to_string(state.rows.front().size(0)));
  const at::NoGradGuard off;
  const at::Tensor readout = go_on(tokens, state);  // [B,T,C]
  state.length += tokens.size(1);
  return vocabulary_log_probabilities(readout.select(1, -1), output_weight_, output_bias_);
}

std::vector<LanguageAttention> LanguageBase::attention(const at::Tensor& tokens) {
  check_rows(tokens, config_.max_length);
  const at::NoGradGuard off;
  std::vector<LanguageAttention> seen;
  read(tokens, Pass{}, &seen);
  return seen;
}

}  // namespace attend::models
