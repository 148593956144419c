#pragma once
#include <utility>

#include "attend/kernels/filterbank.h"

namespace attend::kernels {

/// Where a row of the batch keeps its arrays, all of which stay in the first-level cache. A bank is stored a filter a row, and
/// all rows are padded to whole vectors of every target.
struct FilterbankLayout {
  static constexpr std::int64_t kPad = 16;

  std::int64_t lanes, height, width, sums;  // N, H, W and N, padded
  // Offsets into what forward keeps for backward: both banks, and F_Y image of every channel.
  std::int64_t rows_at = 0, columns_at = 0, projected_at = 0, kept_banks = 0, kept = 0;
  // Offsets into scratch, behind room for the same with one channel.
  std::int64_t turned_at = 0, left_at = 0, turned_image_at = 0, grad_rows_at = 0,
               grad_columns_at = 0, sums_at = 0, size = 0;

  explicit FilterbankLayout(const FilterbankShape& s)
      : lanes(s.filters <= 4   ? 4
              : s.filters <= 8 ? 8
                               : pad(s.filters)),
        height(pad(s.height)),
        width(pad(s.width)),
        sums(pad(s.filters)) {
    const auto take = [&](std::int64_t n) { return std::exchange(size, size + pad(n)); };
    rows_at = take(s.filters * height), columns_at = take(s.filters * width);
    kept_banks = projected_at = size;
    kept = kept_banks + s.channels * s.filters * width;
    take(s.filters * width);
    turned_at = take(width * lanes);           // the columns' bank once more, a pixel a row
    left_at = take(s.filters * width);         // L = A F_X
    turned_image_at = take(s.width * height);  // Iᵀ
    grad_rows_at = take(s.filters * height), grad_columns_at = take(s.filters * width);
    sums_at = take(2 * sums);  // per filter, of each axis
  }

  static std::int64_t pad(std::int64_t n) { return (n + kPad - 1) / kPad * kPad; }
};

}  // namespace attend::kernels
