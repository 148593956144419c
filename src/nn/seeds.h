#pragma once
#include <cstdint>

#include "attend/base/random.h"

namespace attend::nn {

/// A seed of its own for part `index` of a module that has `seed`.
inline std::uint64_t derived_seed(std::uint64_t seed, Purpose purpose, std::uint64_t index) {
  Random random(seed, purpose, index);
  const std::uint64_t high = random.bits();
  return high << 32 | random.bits();
}

}  // namespace attend::nn
