// What captioners share: the check of their config, the loss of given captions, the choice between them.
#include "attend/models/captioner.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <string>
#include <utility>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/nn/init.h"
#include "attend/ops/hard.h"
#include "attend/ops/vocabulary_loss.h"
#include "models/captioner_base.h"
#include "models/field_range.h"

namespace attend::models {
namespace {

void is_weight(const std::string& name, double value, double high) {
  if (!(value >= 0 && value <= high))
    fail_usage(name + " is " + std::to_string(value) + ": it must be in [0, " +
               std::to_string(high) + "]");
}

}  // namespace

void check_config(const CaptionerConfig& c) {
  constexpr std::int64_t kWidest = 1 << 20;
  constexpr double kHeaviest = 1e6;
  in_field("vocabulary", c.vocabulary, kEnd + 1, std::int64_t{1} << 31);
  in_field("max_length", c.max_length, 1, kWidest);
  in_field("annotation_width", c.annotation_width, 1, kWidest);
  in_field("embedding_width", c.embedding_width, 1, kWidest);
  in_field("layers", c.layers, 1, 64);
  in_field("heads", c.heads, 1, kWidest);
  in_field("feed_forward", c.feed_forward, 1, kWidest);
  in_field("hidden", c.hidden, 1, kWidest);
  in_field("attention.width", c.attention_width, 1, kWidest);
  if (!(c.dropout >= 0 && c.dropout < 1)) fail_usage("model.dropout must be in [0, 1)");
  is_weight("train.doubly_stochastic", c.doubly_stochastic, kHeaviest);
  is_weight("train.reward_weight", c.reward_weight, kHeaviest);
  is_weight("train.entropy_weight", c.entropy_weight, kHeaviest);
  is_weight("train.expected_share", c.expected_share, 0.99);
  if (c.architecture != CaptionArchitecture::kTransformer) return;
  if (c.attention != CaptionAttention::kSoft)
    fail_usage("model.attention.kind: a transformer attends softly: choose \"soft\"");
  if (c.embedding_width % c.heads != 0)
    fail_usage("model.heads is " + std::to_string(c.heads) +
               ": it must divide model.embedding_width = " + std::to_string(c.embedding_width));
}

std::unique_ptr<Captioner> make_captioner(const CaptionerConfig& config, std::uint64_t seed,
                                          at::ScalarType dtype) {
  return config.architecture == CaptionArchitecture::kTransformer
             ? make_transformer_captioner(config, seed, dtype)
             : make_show_attend_tell(config, seed, dtype);
}

CaptionerBase::CaptionerBase(const CaptionerConfig& config, std::uint64_t seed,
                             at::ScalarType dtype)
    : config_(config), seed_(seed), dtype_(dtype) {
  check_config(config);
}

at::Tensor CaptionerBase::add(const std::string& name, const at::Tensor& x) {
  named_.emplace_back(name, x.set_requires_grad(true));
  return x;
}

at::Tensor CaptionerBase::matrix(std::int64_t rows, std::int64_t columns) {
  Random random(seed_, Purpose::kInit, 100 + stream_++);
  return nn::glorot_uniform({rows, columns}, columns, rows, random, dtype_);
}

at::Tensor CaptionerBase::zeros(at::IntArrayRef shape) const {
  return at::zeros(shape, at::TensorOptions().dtype(dtype_));
}

void CaptionerBase::add_output(const at::Tensor& weight) {
  output_weight_ = add("output.weight", weight);
  output_bias_ = add("output.bias", zeros({config_.vocabulary}));
}

at::Tensor CaptionerBase::log_probabilities(const at::Tensor& readout) const {
  return vocabulary_log_probabilities(readout.flatten(0, 1), output_weight_, output_bias_)
      .unflatten(0, {readout.size(0), readout.size(1)});
}

void CaptionerBase::check_captions(const at::Tensor& annotations, const at::Tensor& tokens) const {
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

CaptionLoss CaptionerBase::loss(const at::Tensor& annotations, const at::Tensor& tokens,
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

CaptionReading CaptionerBase::read(const at::Tensor& annotations, const at::Tensor& tokens) {
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

CaptionerSteps::CaptionerSteps(Captioner& captioner, at::Tensor annotations)
    : captioner_(captioner), annotations_(std::move(annotations)) {
  start();
}

}  // namespace attend::models
