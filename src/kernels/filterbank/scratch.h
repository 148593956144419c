#pragma once
#include <utility>

#include "attend/kernels/filterbank.h"

namespace attend::kernels {

/// Where a row of the batch keeps its arrays, all of which stay in the first-level cache. A bank is stored as [pixels][lanes]:
/// its filters lie side by side, so that sums over pixels are sums of vectors, and a filter's value for one pixel is one
/// element to multiply a row of an image by. Rows are padded to whole vectors of every target.
struct FilterbankLayout {
  static constexpr std::int64_t kPad = 16;

  std::int64_t lanes, width;  // N and W, padded
  // Offsets into what forward keeps for backward: both banks, and F_Y image of every channel.
  std::int64_t rows_at = 0, columns_at = 0, projected_at = 0, kept_banks = 0, kept = 0;
  // Offsets into scratch, behind room for the same with one channel.
  std::int64_t column_rows_at = 0, patch_at = 0, patch_transposed_at = 0, left_at = 0,
               left_transposed_at = 0, grad_rows_at = 0, grad_columns_at = 0, sums_at = 0, size = 0;

  explicit FilterbankLayout(const FilterbankShape& s)
      : lanes(s.filters <= 4   ? 4
              : s.filters <= 8 ? 8
                               : pad(s.filters)),
        width(pad(s.width)) {
    const auto take = [&](std::int64_t n) { return std::exchange(size, size + pad(n)); };
    rows_at = take(s.height * lanes), columns_at = take(s.width * lanes);
    kept_banks = projected_at = size;
    kept = kept_banks + s.channels * s.filters * width;
    take(s.filters * width);
    column_rows_at = take(s.filters * width);  // the columns' bank once more, a filter a row
    patch_at = take(s.filters * lanes);        // A, the N × N side, scaled
    patch_transposed_at = take(s.filters * lanes);
    left_at = take(s.filters * width);  // A F_X
    left_transposed_at = take(s.width * lanes);
    grad_rows_at = take(s.height * lanes),
    grad_columns_at = take(s.width * lanes);  // dF_Y and dF_X
    sums_at = take(10 * s.filters);           // per filter, rows then columns: BankSums
  }

  static std::int64_t pad(std::int64_t n) { return (n + kPad - 1) / kPad * kPad; }
};

}  // namespace attend::kernels
