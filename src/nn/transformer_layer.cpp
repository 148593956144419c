#include <ATen/TensorOperators.h>

#include <optional>
#include <ostream>
#include <string>

#include "attend/base/error.h"
#include "attend/nn/dropout.h"
#include "attend/nn/transformer.h"
#include "nn/seeds.h"

namespace attend::nn {
namespace {

/// The places of a layer where dropout acts; the attention weights' is MultiheadAttention's own.
enum DropoutPlace : std::int64_t { kAfterSelf, kAfterCross, kInsideFeedForward, kAfterFeedForward };

/// One pass's dropout: the layer's own, and what its attentions are told (nothing: they have their own count).
struct LayerDropout {
  LayerDropout(const TransformerLayerOptions& o, const Pass& own) : options(o), pass(own) {}
  const TransformerLayerOptions& options;
  Pass pass;
  std::optional<Pass> self, cross;
  at::Tensor operator()(const at::Tensor& x, DropoutPlace place) const {
    const bool inside = place == kInsideFeedForward && options.inner_dropout() >= 0;
    return dropout(x, inside ? options.inner_dropout() : options.dropout(), pass,
                   {place, false, DropoutSite::kOutput});
  }
};

const Pass* pointer_to(const std::optional<Pass>& pass) { return pass ? &*pass : nullptr; }

/// Which stack a layer stands in: equal places of both must not draw the same masks.
enum class Stack : std::uint64_t { kEncoder, kDecoder };

/// Masks given from outside depend on its seed and step, stack, layer and place alone.
template <class Layer>
LayerDropout next_dropout(Layer& layer, Stack stack, const std::optional<Pass>& given) {
  if (given) {
    const auto part = [](Pass pass, std::uint64_t index) {
      pass.seed = derived_seed(pass.seed, Purpose::kDropout, index);
      return pass;
    };
    const Pass own = part(
        *given, 2 * static_cast<std::uint64_t>(layer.index) + static_cast<std::uint64_t>(stack));
    LayerDropout drop(layer.options, own);
    drop.self = part(own, 0), drop.cross = part(own, 1);
    return drop;
  }
  const Pass pass{layer.is_training(), derived_seed(layer.options.seed(), Purpose::kDropout, 1),
                  layer.step};
  if (pass.training) ++layer.step;
  return {layer.options, pass};
}

void check_layer_options(const TransformerLayerOptions& o, const char* name) {
  if (o.dim_feedforward() < 1)
    fail_usage(std::string(name) + ": dim_feedforward must be at least 1");
  if (!(o.dropout() >= 0 && o.dropout() < 1))
    fail_usage(std::string(name) + ": dropout must be in [0, 1)");
  if (!(o.inner_dropout() == -1 || (o.inner_dropout() >= 0 && o.inner_dropout() < 1)))
    fail_usage(std::string(name) + ": inner_dropout must be in [0, 1), or -1 for dropout's");
}

std::uint64_t part_seed(const TransformerLayerOptions& o, std::uint64_t part) {
  return derived_seed(o.seed(), Purpose::kInit, 32 + part);
}

MultiheadAttention make_attention(const TransformerLayerOptions& o, Rotary rotary,
                                  std::uint64_t part) {
  return MultiheadAttention(MultiheadAttentionOptions(o.d_model(), o.nhead())
                                .dropout(o.dropout())
                                .bias(o.bias())
                                .num_kv_heads(o.num_kv_heads())
                                .rotary(rotary)
                                .seed(part_seed(o, part)));
}

Linear make_linear(const TransformerLayerOptions& o, std::int64_t in, std::int64_t out,
                   std::uint64_t part) {
  return Linear(LinearOptions(in, out).bias(o.bias()).seed(part_seed(o, part)));
}

LayerNorm make_norm(const TransformerLayerOptions& o) {
  return LayerNorm(LayerNormOptions(o.d_model()).eps(o.layer_norm_eps()).bias(o.bias()));
}

/// One sublayer with its residual: pre-norm x + f(norm(x)), post-norm norm(x + f(x)).
template <class Sublayer>
at::Tensor residual(const at::Tensor& x, LayerNorm& norm, bool norm_first, const Sublayer& f) {
  return norm_first ? x + f(norm->forward(x)) : norm->forward(x + f(x));
}

template <class Layer>
at::Tensor feed_forward(Layer& layer, const at::Tensor& x, const LayerDropout& drop) {
  const at::Tensor inner = layer.linear1->forward(x, layer.options.activation());  // […,F]
  return drop(layer.linear2->forward(drop(inner, kInsideFeedForward)), kAfterFeedForward);
}

void capture_weights(AttentionCapture* capture, const char* name, std::int64_t layer,
                     const at::Tensor& weights) {
  if (capture && weights.defined()) capture->entries.push_back({name, layer, weights});
}

/// target [B·K,Lq,C]: hypotheses that share a sentence's memory must all see the same of it.
void check_hypotheses(const at::Tensor& target, std::int64_t sentences,
                      const AttentionOptions& cross) {
  if (target.dim() != 3 || target.size(0) == sentences) return;  // the attention checks the rest
  const std::string name = "attend::nn::TransformerDecoderLayer: ";
  if (sentences == 0 || target.size(0) % sentences != 0)
    fail_usage(name + "target has " + std::to_string(target.size(0)) +
               " rows, which is no multiple of memory's " + std::to_string(sentences));
  if (cross.mask.defined() || cross.bias.defined() || cross.query_lengths.defined() ||
      cross.causal || cross.window_left >= 0 || cross.window_right >= 0)
    fail_usage(name + "hypotheses that share a memory may not see different parts of it");
}

void print_layer(std::ostream& stream, const char* name, const TransformerLayerOptions& o) {
  stream << "attend::" << name << "(d_model=" << o.d_model() << ", nhead=" << o.nhead()
         << ", dim_feedforward=" << o.dim_feedforward() << ", dropout=" << o.dropout()
         << ", norm_first=" << (o.norm_first() ? "true" : "false") << ")";
}

}  // namespace

at::Tensor AttentionCapture::head(const std::string& name, std::int64_t layer,
                                  std::int64_t head) const {
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry)
    if (entry->name == name && entry->layer == layer) {
      if (head < 0 || head >= entry->weights.size(1)) break;
      return entry->weights.select(1, head);
    }
  fail_usage("AttentionCapture: no weights of \"" + name + "\", layer " + std::to_string(layer) +
             ", head " + std::to_string(head));
}

TransformerEncoderLayerImpl::TransformerEncoderLayerImpl(
    const TransformerEncoderLayerOptions& given)
    : options(given) {
  reset();
}

void TransformerEncoderLayerImpl::reset() {
  check_layer_options(options, "attend::nn::TransformerEncoderLayer");
  self_attn = register_module("self_attn", make_attention(options, options.rotary(), 0));
  linear1 = register_module("linear1",
                            make_linear(options, options.d_model(), options.dim_feedforward(), 2));
  linear2 = register_module("linear2",
                            make_linear(options, options.dim_feedforward(), options.d_model(), 3));
  norm1 = register_module("norm1", make_norm(options));
  norm2 = register_module("norm2", make_norm(options));
}

void TransformerEncoderLayerImpl::pretty_print(std::ostream& stream) const {
  print_layer(stream, "TransformerEncoderLayer", options);
}

at::Tensor TransformerEncoderLayerImpl::forward(const at::Tensor& input, const EncoderPass& pass,
                                                KVCache* cache) {
  const bool packed = pass.packed_lengths.defined();
  if (packed && cache)
    fail_usage(
        "attend::nn::TransformerEncoderLayer: a packed batch cannot be decoded with a cache");
  const LayerDropout drop = next_dropout(*this, Stack::kEncoder, pass.dropout);
  AttentionOptions visible = pass.self;
  visible.need_weights = pass.capture && pass.capture->wants(index);
  const Pass* const dropout = pointer_to(drop.self);
  const auto attend_self = [&](const at::Tensor& x) {
    const auto [output, weights] =
        packed ? self_attn->forward_packed(x, pass.packed_lengths, visible, dropout)
               : self_attn->forward(x, x, x, visible, cache, dropout);
    capture_weights(pass.capture, "self", index, weights);
    return drop(output, kAfterSelf);
  };
  const at::Tensor x = residual(input, norm1, options.norm_first(), attend_self);
  return residual(x, norm2, options.norm_first(),
                  [&](const at::Tensor& y) { return feed_forward(*this, y, drop); });
}

TransformerDecoderLayerImpl::TransformerDecoderLayerImpl(
    const TransformerDecoderLayerOptions& given)
    : options(given) {
  reset();
}

void TransformerDecoderLayerImpl::reset() {
  check_layer_options(options, "attend::nn::TransformerDecoderLayer");
  self_attn = register_module("self_attn", make_attention(options, options.rotary(), 0));
  multihead_attn = register_module("multihead_attn", make_attention(options, Rotary::kNone, 1));
  linear1 = register_module("linear1",
                            make_linear(options, options.d_model(), options.dim_feedforward(), 2));
  linear2 = register_module("linear2",
                            make_linear(options, options.dim_feedforward(), options.d_model(), 3));
  norm1 = register_module("norm1", make_norm(options));
  norm2 = register_module("norm2", make_norm(options));
  norm3 = register_module("norm3", make_norm(options));
}

void TransformerDecoderLayerImpl::pretty_print(std::ostream& stream) const {
  print_layer(stream, "TransformerDecoderLayer", options);
}

at::Tensor TransformerDecoderLayerImpl::forward(const at::Tensor& target, const at::Tensor& memory,
                                                const DecoderPass& pass, DecoderLayerCache* cache) {
  const LayerDropout drop = next_dropout(*this, Stack::kDecoder, pass.dropout);
  AttentionOptions self = pass.self, cross = pass.cross;
  self.need_weights = cross.need_weights = pass.capture && pass.capture->wants(index);
  const std::int64_t sentences = cache && !cache->cross.empty() ? cache->cross.keys().size(0)
                                 : memory.dim() > 0             ? memory.size(0)
                                                                : target.size(0);
  check_hypotheses(target, sentences, cross);
  const auto attend_self = [&](const at::Tensor& x) {
    const auto [output, weights] =
        self_attn->forward(x, x, x, self, cache ? &cache->self : nullptr, pointer_to(drop.self));
    capture_weights(pass.capture, "self", index, weights);
    return drop(output, kAfterSelf);
  };
  const auto attend_memory = [&](const at::Tensor& x) {
    const bool shared = x.size(0) != sentences;
    const at::Tensor query = shared ? x.reshape({sentences, -1, x.size(2)}) : x;  // [B,K·Lq,C]
    const auto [output, weights] = multihead_attn->forward(
        query, memory, memory, cross, cache ? &cache->cross : nullptr, pointer_to(drop.cross));
    capture_weights(pass.capture, "cross", index, weights);
    return drop(shared ? output.view(x.sizes()) : output, kAfterCross);
  };
  const at::Tensor x = residual(target, norm1, options.norm_first(), attend_self);
  const at::Tensor y = residual(x, norm2, options.norm_first(), attend_memory);
  return residual(y, norm3, options.norm_first(),
                  [&](const at::Tensor& z) { return feed_forward(*this, z, drop); });
}

}  // namespace attend::nn
