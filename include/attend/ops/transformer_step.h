#pragma once
#include <ATen/core/Tensor.h>
#include <attend/ops/prepared_linear.h>

#include <array>
#include <cstdint>
#include <vector>

namespace attend {

/// weight and bias [C] of a layer norm (Ba et al. 2016).
struct PreparedNorm {
  at::Tensor weight, bias;
};

/// The weights of one decoder layer (Vaswani et al. 2017, §3.1) for transformer_step, C → C:
/// self_in [3C,C] (query, key, value), self_out [C,C], query [C,C] of the attention over the source, source_out [C,C],
/// inner [F,C] with ReLU behind it, outer [C,F].
struct PreparedDecoderLayer {
  PreparedLinear self_in, self_out, query, source_out, inner, outer;
  std::array<PreparedNorm, 3> norms;  // of self-attention, attention over the source, feed-forward
};

struct PreparedDecoder {
  std::int64_t heads = 1;
  bool norm_first = false;  // x + f(norm(x)) and a last norm, else norm(x + f(x))
  double eps = 1e-5;
  std::vector<PreparedDecoderLayer> layers;
  PreparedNorm last;  // after the last layer; undefined: none
};

/// What is known when R = B · K rows, K hypotheses of each of B sources, take a step.
struct DecoderKnowledge {
  std::vector<at::Tensor> memory;  // of each layer [B,S,2C]: keys, then values of the source
  at::Tensor lengths;              // [B] int64: places of each source that are seen
  /// What the steps before left, oldest first: [layers, R', 3C], row r' its query, key and value. A hypothesis that goes on in
  /// another row is not copied: places says where it stood.
  std::vector<at::Tensor> tape;
  at::Tensor
      places;  // [R,T] int32: row of the hypothesis in each of the T steps, this one included
};

/// Hands x [R,C] through all layers, one new token a hypothesis, in place; appends this step to the tape. Equals the last position of
/// nn::TransformerDecoder over all tokens, to rounding (in int8: to that of its products). Returns the weights of layer
/// `weights_of` over the source [R,S], the mean over the heads; undefined for −1. float on the CPU, no gradients. Throws Error(kUsage) naming
/// argument, shape and rule. Memory: one scratch block a call, from a pool; cost 12C² + 4CF operations a row and layer, and attention.
at::Tensor transformer_step(const PreparedDecoder& decoder, const at::Tensor& x,
                            DecoderKnowledge& known, std::int64_t weights_of = -1);

}  // namespace attend
