#pragma once
#include <ATen/core/Tensor.h>
#include <attend/nn/dropout.h>
#include <attend/nn/layer_norm.h>
#include <attend/nn/linear.h>
#include <attend/nn/multihead_attention.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace attend::nn {

/// Options of one Transformer layer, encoder or decoder: torch's (of C++ and Python), and grouped heads, rotary positions, a
/// seed. Batch first always.
struct TransformerLayerOptions {
  TransformerLayerOptions(int64_t d_model, int64_t nhead) : d_model_(d_model), nhead_(nhead) {}
  TORCH_ARG(int64_t, d_model);                 ///< C
  TORCH_ARG(int64_t, nhead);                   ///< H
  TORCH_ARG(int64_t, dim_feedforward) = 2048;  ///< F
  TORCH_ARG(double, dropout) =
      0.1;  ///< on weights, activations and what every sublayer adds; training mode only
  TORCH_ARG(double, inner_dropout) =
      -1;  ///< on the activations inside the feed-forward: torch's −1 means as dropout, BERT has 0
  TORCH_ARG(Activation, activation) = Activation::kRelu;
  TORCH_ARG(double, layer_norm_eps) = 1e-5;
  TORCH_ARG(bool,
            norm_first) = false;  ///< pre-norm: x + f(norm(x)); else post-norm: norm(x + f(x))
  TORCH_ARG(bool, bias) = true;   ///< of every linear map and norm
  TORCH_ARG(int64_t, num_kv_heads) = 0;       ///< Hkv of the self- and cross-attention; 0: H
  TORCH_ARG(Rotary, rotary) = Rotary::kNone;  ///< of the self-attention
  TORCH_ARG(uint64_t, seed) = 0;
};
using TransformerEncoderLayerOptions = TransformerLayerOptions;
using TransformerDecoderLayerOptions = TransformerLayerOptions;

/// The weights of every head of one or more passes, in the order in which they were computed: of all layers, or of one.
struct AttentionCapture {
  struct Entry {
    std::string name;    // "self" or "cross"
    int64_t layer = 0;   // from 0
    at::Tensor weights;  // [B,H,Lq,Lk]
  };
  std::vector<Entry> entries;
  std::optional<int64_t> only_layer;  ///< weights of the others are not computed
  bool wants(int64_t layer) const { return !only_layer || *only_layer == layer; }

  /// [B,Lq,Lk] of one head; of the last pass when there were several. Throws Error(kUsage) when there is none.
  at::Tensor head(const std::string& name, int64_t layer, int64_t head) const;
};

/// How one pass through an encoder is to be run.
struct EncoderPass {
  AttentionOptions self;                // who sees whom
  AttentionCapture* capture = nullptr;  // asks for every layer's weights
  /// [B] int64: the input is [N,C], the valid rows of all sequences (attend::nn::pack), and nothing is computed for
  /// padding.
  at::Tensor packed_lengths;
  std::optional<Pass>
      dropout;  ///< mode, seed and step of all dropout from outside; else the modules' own
};

/// How one pass through a decoder is to be run. A decoder is causal unless told otherwise.
struct DecoderPass {
  DecoderPass() { self.causal = true; }
  AttentionOptions self, cross;
  AttentionCapture* capture = nullptr;
  std::optional<Pass> dropout;  ///< as EncoderPass's
};

/// Self-attention and a feed-forward layer, each with its residual and norm (Vaswani et al. 2017, §3.1; pre-norm: Xiong et al.
/// 2020). Parameters as torch.nn.TransformerEncoderLayer names them: self_attn.*, linear1.*, linear2.*, norm1.*, norm2.*.
class TransformerEncoderLayerImpl : public torch::nn::Cloneable<TransformerEncoderLayerImpl> {
 public:
  TransformerEncoderLayerImpl(int64_t d_model, int64_t nhead)
      : TransformerEncoderLayerImpl(TransformerEncoderLayerOptions(d_model, nhead)) {}
  explicit TransformerEncoderLayerImpl(const TransformerEncoderLayerOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// input [B,L,C] (packed: [N,C]) → the same shape. With a cache (inference) the input is what follows the keys it holds.
  at::Tensor forward(const at::Tensor& input, const EncoderPass& pass = {},
                     KVCache* cache = nullptr);

  TransformerEncoderLayerOptions options;
  MultiheadAttention self_attn{nullptr};
  Linear linear1{nullptr}, linear2{nullptr};
  LayerNorm norm1{nullptr}, norm2{nullptr};
  int64_t index = 0;  ///< place in the stack, for captures
  int64_t step = 0;   ///< training calls so far: which dropout comes next
};
TORCH_MODULE(TransformerEncoderLayer);

/// What a decoder layer keeps between steps.
struct DecoderLayerCache {
  KVCache self{KVCache::Kind::kGrowing};
  KVCache cross{KVCache::Kind::kStatic};
};

/// Self-attention, attention over the encoder's output, feed-forward. Parameters as torch.nn.TransformerDecoderLayer names
/// them: self_attn.*, multihead_attn.*, linear1.*, linear2.*, norm1.*, norm2.*, norm3.*.
class TransformerDecoderLayerImpl : public torch::nn::Cloneable<TransformerDecoderLayerImpl> {
 public:
  TransformerDecoderLayerImpl(int64_t d_model, int64_t nhead)
      : TransformerDecoderLayerImpl(TransformerDecoderLayerOptions(d_model, nhead)) {}
  explicit TransformerDecoderLayerImpl(const TransformerDecoderLayerOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// target [B,Lq,C], memory [B,Lk,C] → [B,Lq,C]. With a cache (inference) target is what follows the positions it holds, and
  /// memory is read in the first call only.
  /// target may be [B·K,Lq,C] with the K hypotheses of a sentence one after the other: they share its memory, none of which is
  /// copied, and captured weights over it are [B,H,K·Lq,Lk]. `pass.cross` must then treat all queries alike (lengths of the
  /// keys only), else Error(kUsage).
  at::Tensor forward(const at::Tensor& target, const at::Tensor& memory,
                     const DecoderPass& pass = {}, DecoderLayerCache* cache = nullptr);

  TransformerDecoderLayerOptions options;
  MultiheadAttention self_attn{nullptr}, multihead_attn{nullptr};
  Linear linear1{nullptr}, linear2{nullptr};
  LayerNorm norm1{nullptr}, norm2{nullptr}, norm3{nullptr};
  int64_t index = 0;
  int64_t step = 0;
};
TORCH_MODULE(TransformerDecoderLayer);

/// Options of a stack: its layers', how many, and whether a norm follows the last (pre-norm stacks need it).
struct TransformerStackOptions {
  TransformerStackOptions(const TransformerLayerOptions& layer, int64_t num_layers)
      : layer_(layer), num_layers_(num_layers), final_norm_(layer.norm_first()) {}
  TORCH_ARG(TransformerLayerOptions, layer);
  TORCH_ARG(int64_t, num_layers);
  TORCH_ARG(bool, final_norm);  ///< norm_first unless given
};
using TransformerEncoderOptions = TransformerStackOptions;
using TransformerDecoderOptions = TransformerStackOptions;

/// The children "0", "1", … of a stack, so that parameters are named layers.0.*, layers.1.* (libtorch's names hold no dot).
template <class Layer>
class LayerListImpl : public torch::nn::Cloneable<LayerListImpl<Layer>> {
 public:
  explicit LayerListImpl(const TransformerStackOptions& options);
  void reset() override;

  TransformerStackOptions options;
  std::vector<Layer> items;
};

/// Encoder layers one after the other; with self.causal a language model's stack. Parameters: layers.{k}.*, norm.*.
/// Layer k is seeded from the options' seed and k, so that layers differ.
class TransformerEncoderImpl : public torch::nn::Cloneable<TransformerEncoderImpl> {
 public:
  explicit TransformerEncoderImpl(const TransformerEncoderOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// input [B,L,C] (packed: [N,C]) → the same shape. An empty `cache` is filled with one KVCache a layer.
  at::Tensor forward(const at::Tensor& input, const EncoderPass& pass = {},
                     std::vector<KVCache>* cache = nullptr);

  std::vector<TransformerEncoderLayer>& layers() { return list_->items; }

  TransformerEncoderOptions options;
  LayerNorm norm{nullptr};  ///< empty without final_norm

 private:
  std::shared_ptr<LayerListImpl<TransformerEncoderLayer>> list_;
};
TORCH_MODULE(TransformerEncoder);

/// What a decoder keeps between steps; starts empty.
struct DecoderCache {
  std::vector<DecoderLayerCache> layers;

  int64_t length() const;  ///< target positions decoded
  /// See KVCache::reorder; the encoder's keys are reordered too unless the batch's rows keep their sentences (`cross` false:
  /// beams of one sentence, which share them).
  void reorder(const at::Tensor& rows, bool cross = true);
};

/// Decoder layers one after the other. Parameters: layers.{k}.*, norm.*.
class TransformerDecoderImpl : public torch::nn::Cloneable<TransformerDecoderImpl> {
 public:
  explicit TransformerDecoderImpl(const TransformerDecoderOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// target [B,Lq,C], memory [B,Lk,C] → [B,Lq,C]. Step by step with a cache it gives what one pass over all gives, to rounding.
  at::Tensor forward(const at::Tensor& target, const at::Tensor& memory,
                     const DecoderPass& pass = {}, DecoderCache* cache = nullptr);

  std::vector<TransformerDecoderLayer>& layers() { return list_->items; }

  TransformerDecoderOptions options;
  LayerNorm norm{nullptr};

 private:
  std::shared_ptr<LayerListImpl<TransformerDecoderLayer>> list_;
};
TORCH_MODULE(TransformerDecoder);

}  // namespace attend::nn
