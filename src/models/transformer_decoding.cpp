#include "models/transformer_decoding.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "attend/base/random.h"
#include "attend/nn/embedding.h"
#include "attend/nn/init.h"

namespace attend::models {

void begin_rooms(nn::TransformerDecoder& decoder, const at::Tensor& memory, Decoding& d) {
  const nn::TransformerLayerOptions& o = decoder->options.layer();
  for (nn::TransformerDecoderLayer& layer : decoder->layers()) {
    const nn::KVCache seen = layer->multihead_attn->remember(memory);
    d.memory.push_back(seen.key_room()), d.memory.push_back(seen.value_room());
    for (int part = 0; part < 2; ++part)
      d.rows.push_back(
          at::empty({memory.size(0), 1, o.nhead(), 0, o.d_model() / o.nhead()}, memory.options()));
  }
}

at::Tensor step_in_rooms(nn::TransformerDecoder& decoder, const at::Tensor& x,
                         const nn::DecoderPass& how, std::size_t first, Decoding& d) {
  nn::DecoderCache cache;
  for (std::size_t k = 0; k < d.rows.size(); k += 2) {
    const at::Tensor &key = d.memory[first + k], &value = d.memory[first + k + 1];
    nn::DecoderLayerCache& layer = cache.layers.emplace_back();
    layer.self = nn::KVCache(nn::KVCache::Kind::kGrowing, d.rows[k].flatten(0, 1),
                             d.rows[k + 1].flatten(0, 1), d.position);
    layer.cross = nn::KVCache(nn::KVCache::Kind::kStatic, key, value, key.size(2));
  }
  const at::Tensor out = decoder->forward(x, {}, how, &cache);
  for (std::size_t k = 0; k < d.rows.size(); k += 2) {
    const nn::KVCache& self = cache.layers[k / 2].self;
    const at::IntArrayRef grid = d.rows[k].sizes().slice(0, 2);
    const at::Tensor key = self.key_room().unflatten(0, grid);
    d.rows[k + 1] = self.value_room().unflatten(0, grid);
    d.rows[k] = key;
  }
  ++d.position;
  return out;
}

at::Tensor embed_at(const at::Tensor& table, const at::Tensor& ids, std::int64_t position,
                    nn::SinusoidalPosition& positions) {
  const double scale = std::sqrt(static_cast<double>(table.size(1)));
  return positions->forward(std::get<0>(nn::embed(table, ids)) * scale, position);
}

at::Tensor transformer_table(std::int64_t rows, std::int64_t width, std::uint64_t seed,
                             std::uint64_t index, at::ScalarType dtype) {
  Random random(seed, Purpose::kInit, index);
  return nn::normal({rows, width}, 1 / std::sqrt(static_cast<double>(width)), random, dtype);
}

nn::DecoderPass pass_seeing(std::int64_t aligned_layer, const nn::Pass& pass,
                            nn::AttentionCapture* seen) {
  nn::DecoderPass how;
  how.dropout = pass;
  how.capture = seen;
  if (seen) seen->only_layer = aligned_layer;
  return how;
}

at::Tensor aligned(const nn::AttentionCapture& seen) {
  return seen.entries.back().weights.mean(1);  // self, then cross
}

}  // namespace attend::models
