#pragma once
#include <ATen/core/Tensor.h>
#include <attend/models/bert_config.h>
#include <attend/nn/dropout.h>
#include <attend/nn/layer_norm.h>
#include <attend/nn/parameters.h>
#include <attend/nn/transformer.h>

#include <cstdint>

namespace attend::models {

using nn::NamedTensors;
using nn::Pass;

/// Sentences as an encoder takes them.
struct BertBatch {
  at::Tensor ids;      // [B,T] int64, as [CLS] … [SEP]; what lies beyond a length is never read
  at::Tensor lengths;  // [B] int64, 0 ≤ length ≤ T
  at::Tensor token_types;  // [B,T] int64: which of two sentences a token is of; undefined: all 0
};

/// The encoder of BERT (Devlin et al. 2019, §3; layers: Vaswani et al. 2017, §3.1, post-norm):
///   x_t = dropout(norm(word[id_t] + position[t] + type[type_t]))
///   h = norm(x + dropout(attention(x))),  x' = norm(h + dropout(W_2 gelu(W_1 h + b_1) + b_2)), layer by layer
/// Padding is never computed: from the first embedding on there are only the valid rows of all sentences, one after the
/// other, and a sentence's rows are those it has alone, to rounding. Attention is attend::sdpa.
///
/// A new encoder has no knowledge: its tables are zero, as it is meant to be read from a file (attend/interop/bert.h).
/// Cost of a forward pass, N = Σ lengths: 2 · N · layers · (4 C² + 2 C F) operations and attention's 4 · layers · Σ length² · C.
class BertEncoder {
 public:
  /// Throws kUsage on a config that makes no sense; dtype is float or double.
  explicit BertEncoder(const BertConfig& config, at::ScalarType dtype = at::kFloat);

  /// The last layer's hidden states [N,C], N = Σ lengths; nn::unpack(rows, lengths) pads them to [B,T,C]. `capture` takes
  /// every layer's weights [B,H,L,L], L the longest length. Differentiable. Throws kUsage on other shapes or a length beyond
  /// max_positions, kBadInput on an id outside the vocabulary.
  at::Tensor forward(const BertBatch& batch, const Pass& pass = {},
                     nn::AttentionCapture* capture = nullptr);

  /// The same from the vectors of the words: words [N,C], packed as forward's result; lengths [B]; types [N] int64, or undefined.
  at::Tensor encode(const at::Tensor& words, const at::Tensor& lengths, const at::Tensor& types,
                    const Pass& pass, nn::AttentionCapture* capture = nullptr);

  /// Rows of the word table: ids [B,T] → [B,T,C].
  at::Tensor words(const at::Tensor& ids) const;

  /// Fixed order; leaf tensors that may be written in place (under no_grad):
  ///   embeddings.word.weight [V,C], embeddings.position.weight [P,C], embeddings.type.weight [types,C],
  ///   embeddings.norm.weight, embeddings.norm.bias [C],
  ///   encoder.layers.K.… as torch.nn.TransformerEncoderLayer names them.
  NamedTensors parameters() const { return named_; }
  const BertConfig& config() const { return config_; }

 private:
  at::Tensor table(const char* name, std::int64_t rows, at::ScalarType dtype);

  BertConfig config_;
  NamedTensors named_;
  at::Tensor word_, position_, type_;  // [V,C], [P,C], [types,C]
  nn::LayerNorm norm_;
  nn::TransformerEncoder layers_;
};

}  // namespace attend::models
