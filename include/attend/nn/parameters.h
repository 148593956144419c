#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace attend::nn {

/// Parameters in a fixed order, each with the name under which it is saved.
using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Appends `more` to `all`, each name behind `prefix` ("decoder." …).
inline void append(NamedTensors& all, const std::string& prefix, const NamedTensors& more) {
  for (const auto& [name, tensor] : more) all.emplace_back(prefix + name, tensor);
}

}  // namespace attend::nn
