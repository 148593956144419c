#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace attend::models {

/// Ids that every vocabulary of a model that writes keeps free.
inline constexpr std::int64_t kPadding = 0, kUnknown = 1, kBegin = 2, kEnd = 3;

/// Where decoding stands: B sources with K hypotheses each. A step may write into the tensors that the last one left, so
/// of two copies that share them only one can go on.
struct Decoding {
  std::vector<at::Tensor>
      memory;  // of the sources, [B,…]: shared by a source's hypotheses, never copied for them
  std::vector<at::Tensor> rows;  // of the hypotheses, [B,K,…]
  std::vector<at::Tensor>
      tape;  // what each step left, in a layout of the model's own; rows may say where in it they stood
  std::int64_t position = 0;  // tokens that every hypothesis has
};

struct DecodingStep {
  at::Tensor log_probabilities;  // [B,K,V]
  at::Tensor weights;            // [B,K,S] of the source's places; undefined without attention
};

/// The hypotheses parents [B,K'] int64 of the present K; K' may differ from K.
void reorder(Decoding& decoding, const at::Tensor& parents);

}  // namespace attend::models
