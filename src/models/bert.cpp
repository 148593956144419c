#include "attend/models/bert.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <string>

#include "attend/base/error.h"
#include "attend/nn/embedding.h"
#include "attend/nn/packed.h"
#include "models/field_range.h"

namespace attend::models {
namespace {

nn::TransformerStackOptions bert_stack(const BertConfig& c) {
  const nn::TransformerLayerOptions layer = nn::TransformerLayerOptions(c.width, c.heads)
                                                .dim_feedforward(c.feed_forward)
                                                .dropout(c.dropout)
                                                .inner_dropout(0)  // BERT has none there
                                                .activation(c.activation)
                                                .layer_norm_eps(c.layer_norm_eps);
  return {layer, c.layers};
}

/// 0 … length − 1 for each sentence, one after the other: [N].
at::Tensor packed_positions(const at::Tensor& lengths, std::int64_t most) {
  const at::Tensor own = lengths.contiguous();
  const std::int64_t* length = own.const_data_ptr<std::int64_t>();
  std::int64_t rows = 0;
  for (std::int64_t b = 0; b < own.size(0); ++b) {
    if (length[b] < 0 || length[b] > most)
      fail_usage("BERT: sentence " + std::to_string(b) + " has " + std::to_string(length[b]) +
                 " tokens, this encoder reads 0 to " + std::to_string(most));
    rows += length[b];
  }
  at::Tensor out = at::empty({rows}, at::kLong);
  std::int64_t* place = out.mutable_data_ptr<std::int64_t>();
  for (std::int64_t b = 0; b < own.size(0); ++b)
    for (std::int64_t t = 0; t < length[b]; ++t) *place++ = t;
  return out;
}

/// [N] ids → [N,C] rows of a table.
at::Tensor rows_of(const at::Tensor& table, const at::Tensor& ids) {
  return std::get<0>(nn::embed(table, ids.unsqueeze(0))).squeeze(0);
}

/// The valid entries of [B,T], one sentence after the other: [N].
at::Tensor packed_ids(const at::Tensor& ids, const at::Tensor& lengths) {
  return nn::pack(ids.unsqueeze(2), lengths).squeeze(1);
}

void check_batch(const BertBatch& batch) {
  const auto is_ids = [](const at::Tensor& x) {
    return x.defined() && x.dim() == 2 && x.scalar_type() == at::kLong;
  };
  if (!is_ids(batch.ids)) fail_usage("BERT: ids must be [B,T] int64");
  if (batch.token_types.defined() &&
      (!is_ids(batch.token_types) || batch.token_types.sizes() != batch.ids.sizes()))
    fail_usage("BERT: token_types must be [B,T] int64 as ids");
}

}  // namespace

void check_config(const BertConfig& c) {
  constexpr std::int64_t kWidest = 1 << 20;
  in_field("vocabulary", c.vocabulary, 1, std::int64_t{1} << 31);
  in_field("width", c.width, 1, kWidest);
  in_field("layers", c.layers, 1, 1 << 10);
  in_field("heads", c.heads, 1, kWidest);
  in_field("feed_forward", c.feed_forward, 1, kWidest);
  in_field("max_positions", c.max_positions, 1, kWidest);
  in_field("token_types", c.token_types, 1, kWidest);
  if (c.width % c.heads != 0)
    fail_usage("model.width is " + std::to_string(c.width) +
               ": it must be a multiple of model.heads = " + std::to_string(c.heads));
  if (!(c.layer_norm_eps >= 0 && c.layer_norm_eps < 1))
    fail_usage("model.layer_norm_eps must be in [0, 1)");
  if (!(c.dropout >= 0 && c.dropout < 1)) fail_usage("model.dropout must be in [0, 1)");
}

std::int64_t parameters_of(const BertConfig& c) {
  const std::int64_t tables = c.width * (c.vocabulary + c.max_positions + c.token_types + 2);
  const std::int64_t attention = 4 * c.width * (c.width + 1);
  const std::int64_t maps = 2 * c.width * c.feed_forward + c.feed_forward + c.width;
  return tables + c.layers * (attention + maps + 4 * c.width);
}

BertEncoder::BertEncoder(const BertConfig& config, at::ScalarType dtype)
    : config_((check_config(config), config)),
      word_(table("word", config.vocabulary, dtype)),
      position_(table("position", config.max_positions, dtype)),
      type_(table("type", config.token_types, dtype)),
      norm_(nn::LayerNormOptions(config.width).eps(config.layer_norm_eps)),
      layers_(bert_stack(config)) {
  norm_->to(dtype);
  layers_->to(dtype);
  named_.emplace_back("embeddings.norm.weight", norm_->weight);
  named_.emplace_back("embeddings.norm.bias", norm_->bias);
  for (const auto& item : layers_->named_parameters())
    named_.emplace_back("encoder." + item.key(), item.value());
}

at::Tensor BertEncoder::table(const char* name, std::int64_t rows, at::ScalarType dtype) {
  const at::Tensor out = at::zeros({rows, config_.width}, at::TensorOptions().dtype(dtype));
  named_.emplace_back("embeddings." + std::string(name) + ".weight", out.set_requires_grad(true));
  return out;
}

at::Tensor BertEncoder::words(const at::Tensor& ids) const {
  return std::get<0>(nn::embed(word_, ids));
}

at::Tensor BertEncoder::forward(const BertBatch& batch, const Pass& pass,
                                nn::AttentionCapture* capture) {
  check_batch(batch);
  const at::Tensor ids = packed_ids(batch.ids, batch.lengths);  // [N]
  const at::Tensor types =
      batch.token_types.defined() ? packed_ids(batch.token_types, batch.lengths) : at::Tensor();
  return encode(rows_of(word_, ids), batch.lengths, types, pass, capture);
}

at::Tensor BertEncoder::encode(const at::Tensor& words, const at::Tensor& lengths,
                               const at::Tensor& types, const Pass& pass,
                               nn::AttentionCapture* capture) {
  const at::Tensor positions = packed_positions(lengths, config_.max_positions);  // [N]
  if (words.dim() != 2 || words.size(0) != positions.size(0) || words.size(1) != config_.width)
    fail_usage("BERT: words must be [N,C], the valid rows of all sentences, with C=" +
               std::to_string(config_.width));
  const at::Tensor type =
      types.defined() ? rows_of(type_, types) : type_.select(0, 0);  // [N,C] or [C]
  const at::Tensor x = norm_->forward(words + rows_of(position_, positions) + type);
  nn::EncoderPass how;
  how.packed_lengths = lengths;
  how.capture = capture;
  how.dropout = pass;
  return layers_->forward(
      nn::dropout(x, config_.dropout, pass, {0, false, nn::DropoutSite::kInput}), how);
}

}  // namespace attend::models
