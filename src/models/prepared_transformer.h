#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "attend/models/decoding.h"
#include "attend/nn/transformer.h"
#include "attend/ops/transformer_step.h"

namespace attend::models {

/// What a Transformer's two stacks stand between; the tables are shared with the model, the products' weights are copied.
struct PreparedTables {
  at::Tensor source, target;  // [V,C], read times √C
  at::Tensor output, bias;    // [V,C], [V]
};

/// A Transformer whose weights no longer change, laid out for translating: the same numbers as the modules give, to rounding (in
/// int8: to that of its products), by far fewer steps of libtorch. float only.
class PreparedTransformer {
 public:
  PreparedTransformer(nn::TransformerEncoder& encoder, nn::TransformerDecoder& decoder,
                      const PreparedTables& tables, Precision precision);

  /// source [B,S] int64, lengths [B]. memory: lengths, then keys and values [B,S,2C] of the source for each layer. rows: where a hypothesis
  /// stood in the steps so far [B,K,T] int32. tape: what those left, see transformer_step.
  Decoding begin(const at::Tensor& source, const at::Tensor& lengths) const;
  /// tokens [B,K] int64; weights are those of decoder layer `aligned`.
  DecodingStep step(Decoding& decoding, const at::Tensor& tokens, std::int64_t aligned) const;

 private:
  struct EncoderLayer {
    PreparedLinear in, out, inner, outer;
    nn::LayerNorm norm1, norm2;
  };
  at::Tensor encode(const at::Tensor& source, const at::Tensor& lengths) const;

  PreparedTables tables_;
  std::int64_t heads_ = 1;
  bool norm_first_ = false;
  std::vector<EncoderLayer> encoder_;
  nn::LayerNorm encoder_norm_{nullptr};
  PreparedDecoder decoder_;
  std::vector<PreparedLinear> memory_;  // of each decoder layer: keys and values of the source
  PreparedLinear output_;
};

}  // namespace attend::models
