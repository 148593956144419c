#pragma once
#include <cstdint>
#include <vector>

namespace attend::explain {

/// Self-attention of one layer and head while a text was read: weights[t][s] of token s while token t is read; NaN where the model
/// may not look (s > t; of an LSTMN s ≥ t). What a row lacks to 1 fell on places that are no tokens of the text.
struct LookedBack {
  std::int64_t layer = 0, head = 0;
  std::vector<std::vector<double>> weights;
};

/// Their mean, NaN where it has one; empty of none.
std::vector<std::vector<double>> mean_of(const std::vector<LookedBack>& maps);

}  // namespace attend::explain
