#pragma once
#include <cstdint>
#include <string>

#include "attend/base/error.h"

namespace attend::models {

/// Throws kUsage naming the field as recipes do, its value and its range, unless low ≤ value ≤ high.
inline void in_field(const std::string& name, std::int64_t value, std::int64_t low,
                     std::int64_t high) {
  if (value < low || value > high)
    fail_usage("model." + name + " is " + std::to_string(value) + ": it must be in [" +
               std::to_string(low) + ", " + std::to_string(high) + "]");
}

}  // namespace attend::models
