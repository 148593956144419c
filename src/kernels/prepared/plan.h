#pragma once
#include <cstdint>

#include "attend/kernels/prepared.h"

namespace attend::kernels {

/// The parts of prepared int8 weights, and of a product's inputs once they are quantised.
struct PreparedInt8 {
  const std::int8_t* weights = nullptr;
  const float* scales = nullptr;  // s_o, padded to whole panels
  const std::int32_t* offsets =
      nullptr;  // 128 · Σ_i of the row's integers: inputs are shifted by 128 to lose their sign
  const std::uint8_t* x = nullptr;
  std::int64_t x_row = 0;
  const float* x_scales = nullptr;  // t_r
};

/// Bytes, rounded up to whole cache lines.
inline std::int64_t prepared_aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace attend::kernels
