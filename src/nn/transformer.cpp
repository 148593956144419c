#include "attend/nn/transformer.h"

#include <ostream>
#include <string>

#include "attend/base/error.h"
#include "nn/seeds.h"

namespace attend::nn {
namespace {

/// The norm that follows the last layer, or an empty holder.
LayerNorm final_norm(const TransformerStackOptions& o) {
  if (!o.final_norm()) return LayerNorm(nullptr);
  return LayerNorm(
      LayerNormOptions(o.layer().d_model()).eps(o.layer().layer_norm_eps()).bias(o.layer().bias()));
}

/// One cache a layer; a filled one must fit.
template <class Cache>
void prepare_caches(std::vector<Cache>& caches, std::size_t layers) {
  if (caches.empty()) caches.resize(layers);
  if (caches.size() != layers)
    fail_usage("a cache of " + std::to_string(caches.size()) + " layers for a stack of " +
               std::to_string(layers));
}

}  // namespace

template <class Layer>
LayerListImpl<Layer>::LayerListImpl(const TransformerStackOptions& given) : options(given) {
  reset();
}

template <class Layer>
void LayerListImpl<Layer>::reset() {
  if (options.num_layers() < 1)
    fail_usage("attend::nn: a stack of Transformer layers needs num_layers of at least 1");
  items.clear();
  for (std::int64_t k = 0; k < options.num_layers(); ++k) {
    TransformerLayerOptions layer = options.layer();
    layer.seed(derived_seed(layer.seed(), Purpose::kInit, 64 + static_cast<std::uint64_t>(k)));
    items.push_back(this->register_module(std::to_string(k), Layer(layer)));
    items.back()->index = k;
  }
}

template class LayerListImpl<TransformerEncoderLayer>;
template class LayerListImpl<TransformerDecoderLayer>;

std::int64_t DecoderCache::length() const {
  return layers.empty() ? 0 : layers.front().self.length();
}

void DecoderCache::reorder(const at::Tensor& rows, bool cross) {
  for (DecoderLayerCache& layer : layers) {
    layer.self.reorder(rows);
    if (cross) layer.cross.reorder(rows);
  }
}

TransformerEncoderImpl::TransformerEncoderImpl(const TransformerEncoderOptions& given)
    : options(given) {
  reset();
}

void TransformerEncoderImpl::reset() {
  list_ =
      register_module("layers", std::make_shared<LayerListImpl<TransformerEncoderLayer>>(options));
  norm = final_norm(options);
  if (norm) register_module("norm", norm);
}

void TransformerEncoderImpl::pretty_print(std::ostream& stream) const {
  stream << "attend::TransformerEncoder(num_layers=" << options.num_layers() << ")";
}

at::Tensor TransformerEncoderImpl::forward(const at::Tensor& input, const EncoderPass& pass,
                                           std::vector<KVCache>* cache) {
  if (cache) prepare_caches(*cache, layers().size());
  at::Tensor x = input;
  for (std::size_t k = 0; k < layers().size(); ++k)
    x = layers()[k]->forward(x, pass, cache ? &(*cache)[k] : nullptr);
  return norm ? norm->forward(x) : x;
}

TransformerDecoderImpl::TransformerDecoderImpl(const TransformerDecoderOptions& given)
    : options(given) {
  reset();
}

void TransformerDecoderImpl::reset() {
  list_ =
      register_module("layers", std::make_shared<LayerListImpl<TransformerDecoderLayer>>(options));
  norm = final_norm(options);
  if (norm) register_module("norm", norm);
}

void TransformerDecoderImpl::pretty_print(std::ostream& stream) const {
  stream << "attend::TransformerDecoder(num_layers=" << options.num_layers() << ")";
}

at::Tensor TransformerDecoderImpl::forward(const at::Tensor& target, const at::Tensor& memory,
                                           const DecoderPass& pass, DecoderCache* cache) {
  if (cache) prepare_caches(cache->layers, layers().size());
  at::Tensor x = target;
  for (std::size_t k = 0; k < layers().size(); ++k)
    x = layers()[k]->forward(x, memory, pass, cache ? &cache->layers[k] : nullptr);
  return norm ? norm->forward(x) : x;
}

}  // namespace attend::nn
