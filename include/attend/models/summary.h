#pragma once
#include <attend/models/classifier.h>

#include <cstdint>
#include <string>
#include <vector>

namespace attend::models {

/// One row of a table like Keras' model.summary().
struct LayerSummary {
  std::string name;  // "embedding", "lstm", "attention", "dense", …
  std::string type;  // "Embedding", "LSTM", "Bidirectional(LSTM)", "AttentionPool", …
  std::vector<std::int64_t> shape;  // output shape, −1 for the batch
  std::int64_t parameters = 0;
  bool trainable = true;
};

/// The layers in order. The same parameter counts as the built model and as Keras; builds no
/// tensor.
std::vector<LayerSummary> summarize(const ClassifierConfig& config);

}  // namespace attend::models
