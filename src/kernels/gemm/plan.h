#pragma once
#include <algorithm>
#include <cstdint>

namespace attend::kernels {

/// How a product is cut; known to every SIMD target and to the code that shares the work out.
struct GemmPlan {
  std::int64_t depth = 0, stretches = 1;
  std::int64_t a_panels = 0, b_panels = 0;  // of the target's tile
  std::int64_t tasks = 1;                   // each some of a's panels, or of b's
  bool by_columns = false;  // few rows: tasks share b's panels and all read all of a

  /// First k of stretch s; start(stretches) is the depth.
  std::int64_t start(std::int64_t s) const { return s * depth / stretches; }
  std::int64_t longest_stretch() const { return (depth + stretches - 1) / stretches; }
  std::int64_t first_panel(std::int64_t task) const {
    return task * (by_columns ? b_panels : a_panels) / tasks;
  }
  std::int64_t most_panels() const { return (a_panels + tasks - 1) / tasks; }
};

/// A stretch of k: 14 rows of a and 32 columns of b over it are 28 and 64 KB, which stay in L2 beside a task's rows.
inline constexpr std::int64_t kGemmStretch = 512;
/// Rows of one task at most: over the longest stretch 112 rows of a are 229 KB of L2.
inline constexpr std::int64_t kGemmTaskRows = 112;
/// Tasks where columns are cut instead.
inline constexpr std::int64_t kGemmColumnTasks = 8;

}  // namespace attend::kernels
