#pragma once
#include <nlohmann/json.hpp>

#include "attend/train/metrics.h"

namespace attend::train {

/// {"accuracy": …}; NaN is written as null.
inline nlohmann::ordered_json metrics_json(const Metrics& metrics) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const auto& [name, value] : metrics) out[name] = value;
  return out;
}

}  // namespace attend::train
