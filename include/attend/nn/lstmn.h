#pragma once
#include <attend/nn/parameters.h>
#include <attend/ops/lstmn.h>

#include <cstdint>
#include <string>

#include "attend/base/random.h"

namespace attend::nn {

struct LstmnShape {
  std::int64_t input = 0, hidden = 0;
  std::int64_t width = 0;  // A of its scores
};

/// Weights of an LSTMN layer as Keras' LSTM begins: glorot-uniform but for the part that meets the summary, which is orthogonal, and
/// a forget gate that is open. Gates i, f, o, ĉ.
LstmnWeights lstmn_weights(const LstmnShape& shape, Random& random,
                           at::ScalarType dtype = at::kFloat);

/// weight, bias, tape_weight, input_weight, summary_weight and score_weight, each behind `prefix`.
NamedTensors named(const LstmnWeights& weights, const std::string& prefix);

/// How a decoder reads the tapes of its encoder (deep fusion): glorot-uniform, the gate without bias at first. The tapes themselves
/// are left undefined. Named as above, and gate_weight and gate_bias.
LstmnSource lstmn_source(const LstmnShape& shape, Random& random,
                         at::ScalarType dtype = at::kFloat);
NamedTensors named(const LstmnSource& source, const std::string& prefix);

}  // namespace attend::nn
