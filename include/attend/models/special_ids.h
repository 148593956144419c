#pragma once
#include <cstdint>

namespace attend::models {

/// Ids that every vocabulary of a model that writes text keeps free.
inline constexpr std::int64_t kPadding = 0, kUnknown = 1, kBegin = 2, kEnd = 3;

}  // namespace attend::models
