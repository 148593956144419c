#pragma once
#include <utility>

#include "attend/kernels/filterbank.h"

namespace attend::kernels {

/// What one part of the batch works in: a few arrays that stay in the first-level cache. Rows are padded with zeros to whole
/// vectors of every target.
struct FilterbankLayout {
  static constexpr std::int64_t kPad = 16;

  std::int64_t height, width, filters;   // padded
  // Offsets. Banks hold three filters for each: F, F · (a − nearest) and F · exponent, [3 N][padded size].
  std::int64_t rows_at = 0, columns_at = 0, columns_transposed_at = 0, moments_at = 0, patch_at = 0, projected_at = 0,
               left_at = 0, grad_columns_at = 0, sums_at = 0, size = 0;

  explicit FilterbankLayout(const FilterbankShape& s) : height(pad(s.height)), width(pad(s.width)), filters(pad(s.filters)) {
    const auto take = [&](std::int64_t n) { return std::exchange(size, size + pad(n)); };
    rows_at = take(3 * s.filters * height), columns_at = take(3 * s.filters * width);
    columns_transposed_at = take(s.width * filters);      // [W][padded N]
    moments_at = take(4 * s.filters);                     // Σ of the second and third filters, rows then columns
    patch_at = take(s.filters * s.filters);               // the N × N side, scaled
    projected_at = take(3 * s.filters * width);           // (weighted) row filters · image
    left_at = take(s.filters * width);                    // patch · column filters
    grad_columns_at = take(s.filters * width);
    sums_at = take(6 * s.filters);                        // Σ F dF and its moments, rows then columns
  }

  static std::int64_t pad(std::int64_t n) { return (n + kPad - 1) / kPad * kPad; }
};

}  // namespace attend::kernels
