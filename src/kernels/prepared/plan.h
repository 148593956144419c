#pragma once
#include <cstdint>

#include "attend/kernels/prepared.h"

namespace attend::kernels {

/// What turns the sums of an int8 product into its result.
struct PreparedInt8 {
  const float* scales = nullptr;  // s_o, padded to whole panels
  const std::int32_t* offsets =
      nullptr;  // 128 · Σ_i of the row's integers: inputs are shifted by 128 to lose their sign
  const float* x_scales = nullptr;  // t_r
  bool dot = false;                 // by vpdpbusd
};

/// How the rows of x are cut: height 0 leaves them as they are (int8: quantised), for short tiles; else they are packed in tiles of
/// so many rows, [tile][k][row], k in elements of 4 bytes.
struct PreparedPlan {
  std::int64_t height = 0, tiles = 0;
};

/// A panel of outputs: the weights of all panels, and x as the plan has it, both in elements of 4 bytes.
struct PreparedPanel {
  std::int64_t index = 0, steps = 0;  // steps: elements of a row
  const float* weights = nullptr;
  const float* x = nullptr;
  std::int64_t x_row = 0;
};

/// Bytes, rounded up to whole cache lines.
inline std::int64_t prepared_aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace attend::kernels
