#pragma once
#include <cstdint>
#include <vector>

namespace attend::explain {

/// Self-attention of one layer and head over a text: weights[t][s] of token s for token t; NaN where the model may not look (of a
/// language model s > t, of an LSTMN s ≥ t). What a row lacks to 1 fell on places that are no tokens of the text.
struct SelfAttention {
  std::int64_t layer = 0, head = 0;
  std::vector<std::vector<double>> weights;
};

}  // namespace attend::explain
