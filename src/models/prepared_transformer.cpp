#include "models/prepared_transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <string>

#include "attend/base/error.h"
#include "attend/nn/position.h"
#include "attend/ops/attention.h"
#include "attend/ops/scores.h"

namespace attend::models {
namespace {

PreparedNorm prepared_norm(const nn::LayerNorm& norm) {
  if (!norm) return {};
  return {norm->weight.detach(), norm->bias.defined() ? norm->bias.detach() : at::Tensor()};
}

PreparedLinear prepared_map(const nn::Linear& map, Precision precision) {
  return {map->weight, map->bias, precision};
}

/// Parts first … first + count − 1 of query, key and value.
PreparedLinear prepared_in(const nn::MultiheadAttention& attention, std::int64_t first,
                           std::int64_t count, Precision precision) {
  const std::int64_t width = attention->in_proj_weight.size(1);
  const auto part = [&](const at::Tensor& t) { return t.narrow(0, first * width, count * width); };
  return {part(attention->in_proj_weight), part(attention->in_proj_bias), precision};
}

/// √C · table[id] + position `first` + column of the id: ids [N,L] → [N·L,C].
at::Tensor prepared_embedding(const at::Tensor& table, const at::Tensor& ids, std::int64_t first) {
  const std::int64_t width = table.size(1), columns = ids.size(1), most = table.size(0);
  const at::Tensor places = nn::sinusoidal_positions(columns, width, first);
  const at::Tensor out = at::empty({ids.numel(), width}, table.options().requires_grad(false));
  const at::Tensor dense = ids.contiguous();
  const std::int64_t* id = dense.const_data_ptr<std::int64_t>();
  const auto scale = static_cast<float>(std::sqrt(static_cast<double>(width)));
  for (std::int64_t i = 0; i < dense.numel(); ++i) {
    if (id[i] < 0 || id[i] >= most)
      fail_input("embed: id " + std::to_string(id[i]) + " is outside [0, " + std::to_string(most) +
                 "): the vocabulary doesn't fit the model");
    const float* const row = table.const_data_ptr<float>() + id[i] * width;
    const float* const place = places.const_data_ptr<float>() + i % columns * width;
    float* const to = out.mutable_data_ptr<float>() + i * width;
    for (std::int64_t c = 0; c < width; ++c) to[c] = row[c] * scale + place[c];
  }
  return out;
}

}  // namespace

PreparedTransformer::PreparedTransformer(nn::TransformerEncoder& encoder,
                                         nn::TransformerDecoder& decoder,
                                         const PreparedTables& tables, Precision precision)
    : tables_(tables), output_(tables.output, tables.bias, precision) {
  const nn::TransformerLayerOptions& o = encoder->options.layer();
  heads_ = decoder_.heads = o.nhead();
  norm_first_ = decoder_.norm_first = o.norm_first();
  decoder_.eps = o.layer_norm_eps();
  for (nn::TransformerEncoderLayer& layer : encoder->layers())
    encoder_.push_back({prepared_in(layer->self_attn, 0, 3, precision),
                        prepared_map(layer->self_attn->out_proj, precision),
                        prepared_map(layer->linear1, precision),
                        prepared_map(layer->linear2, precision), layer->norm1, layer->norm2});
  encoder_norm_ = encoder->norm;
  for (nn::TransformerDecoderLayer& layer : decoder->layers()) {
    memory_.push_back(prepared_in(layer->multihead_attn, 1, 2, precision));
    decoder_.layers.push_back(
        {prepared_in(layer->self_attn, 0, 3, precision),
         prepared_map(layer->self_attn->out_proj, precision),
         prepared_in(layer->multihead_attn, 0, 1, precision),
         prepared_map(layer->multihead_attn->out_proj, precision),
         prepared_map(layer->linear1, precision),
         prepared_map(layer->linear2, precision),
         {prepared_norm(layer->norm1), prepared_norm(layer->norm2), prepared_norm(layer->norm3)}});
  }
  decoder_.last = prepared_norm(decoder->norm);
}

at::Tensor PreparedTransformer::encode(const at::Tensor& source, const at::Tensor& lengths) const {
  at::Tensor x = prepared_embedding(tables_.source, source, 0);  // [B·S,C]
  const std::int64_t width = x.size(1);
  AttentionOptions visible;
  visible.key_lengths = lengths;
  const auto normed = [](const nn::LayerNorm& norm, const at::Tensor& t) {
    return nn::LayerNorm(norm)->forward(t);
  };
  for (const EncoderLayer& layer : encoder_) {
    const at::Tensor all = layer.in(norm_first_ ? normed(layer.norm1, x) : x)
                               .view({source.size(0), source.size(1), 3, heads_, width / heads_})
                               .permute({2, 0, 3, 1, 4});  // [3,B,H,S,D]
    const at::Tensor seen = std::get<0>(sdpa(all[0], all[1], all[2], visible));
    layer.out.add_to(x, seen.transpose(1, 2).reshape({-1, width}));
    if (!norm_first_) x = normed(layer.norm1, x);
    const at::Tensor inner =
        layer.inner(norm_first_ ? normed(layer.norm2, x) : x, Activation::kRelu);
    layer.outer.add_to(x, inner);
    if (!norm_first_) x = normed(layer.norm2, x);
  }
  return encoder_norm_ ? normed(encoder_norm_, x) : x;
}

Decoding PreparedTransformer::begin(const at::Tensor& source, const at::Tensor& lengths) const {
  const at::Tensor states = encode(source, lengths);
  Decoding d;
  d.memory = {lengths.contiguous()};
  for (const PreparedLinear& map : memory_)
    d.memory.push_back(map(states).view({source.size(0), source.size(1), 2 * states.size(1)}));
  d.rows = {at::empty({source.size(0), 1, 0}, at::kInt)};
  return d;
}

DecodingStep PreparedTransformer::step(Decoding& d, const at::Tensor& tokens,
                                       std::int64_t aligned) const {
  const std::int64_t sources = tokens.size(0), hypotheses = tokens.size(1),
                     rows = sources * hypotheses, before = d.position;
  const at::Tensor places = at::empty({sources, hypotheses, before + 1}, at::kInt),
                   earlier = d.rows[0].contiguous();
  auto* to = places.mutable_data_ptr<std::int32_t>();
  const auto* from = earlier.const_data_ptr<std::int32_t>();
  for (std::int64_t r = 0; r < rows; ++r, from += before) {
    to = std::copy_n(from, before, to);
    *to++ = static_cast<std::int32_t>(r);
  }
  const at::Tensor x =
      prepared_embedding(tables_.target, tokens.reshape({-1, 1}), d.position++);  // [R,C]
  DecoderKnowledge known{{d.memory.begin() + 1, d.memory.end()},
                         d.memory[0],
                         std::move(d.tape),
                         places.view({rows, before + 1})};
  const at::Tensor weights = transformer_step(decoder_, x, known, aligned);
  d.tape = std::move(known.tape);
  d.rows[0] = places;
  const at::Tensor scores = output_(x);  // [R,V]
  log_softmax_in_place(scores);
  return {scores.view({sources, hypotheses, -1}), weights.view({sources, hypotheses, -1})};
}

}  // namespace attend::models
