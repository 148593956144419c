#pragma once
#include <limits>

namespace attend::explain {

/// A number that was not measured.
inline constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace attend::explain
