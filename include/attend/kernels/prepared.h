#pragma once
#include <cstdint>

#include "attend/kernels/gemm.h"

namespace attend::kernels {

/// How prepared weights are held.
enum class Precision {
  kFloat32,
  kInt8,  // a row of weights is 127 steps of its largest magnitude, a row of inputs likewise (quantised as it comes)
};

/// A linear map [outputs, inputs] whose weights are laid out once for many products. kInt8 takes at most kMostInt8Inputs.
struct PreparedShape {
  Precision precision = Precision::kFloat32;
  std::int64_t outputs = 0, inputs = 0;
};
inline constexpr std::int64_t kMostInt8Inputs = 1 << 16;  // 255 · 127 · 2¹⁶ < 2³¹

/// Bytes of the prepared form, and the form itself, at a 64-byte boundary. The layout is the running SIMD target's.
/// weight[o][i] at weight[o · weight_row + i].
std::int64_t prepared_bytes(const PreparedShape& shape);
void prepare_weights(const PreparedShape& shape, const float* weight, std::int64_t weight_row,
                     void* prepared);

/// y[r][o] = finish(Σ_i x[r][i] · weight[o][i] + bias[o]), or with `adds` y[r][o] + that, for any number of rows: few rows read
/// the weights at the speed of memory, many compute at the speed of the multipliers.
/// kInt8, with s_o = max_i |weight[o][i]| / 127 and t_r = max_i |x[r][i]| / 127, a row of zeros staying 0:
///   Σ_i x[r][i] · weight[o][i]  →  s_o · t_r · Σ_i round(x[r][i] / t_r) · round(weight[o][i] / s_o), the sum exact
/// A NaN or infinity makes its row of y, or that of a weight its column, NaN (kFloat32: what the formula gives).
/// Every element is made by the same operations whatever the number of rows and threads. Thread-safe, no allocation:
/// `workspace` holds prepared_workspace(p) bytes at a 64-byte boundary. y overlaps nothing. x[r][i] at x[r · x_row + i].
/// Cost: 2 · rows · outputs · inputs operations.
struct PreparedProduct {
  PreparedShape shape;
  const void* weights = nullptr;
  const float* bias = nullptr;  // [outputs], or null
  GemmFinish finish = GemmFinish::kNone;
  bool adds = false;
  std::int64_t rows = 0;
  const float* x = nullptr;
  std::int64_t x_row = 0;
  float* y = nullptr;
  std::int64_t y_row = 0;
  void* workspace = nullptr;
};
std::int64_t prepared_workspace(const PreparedProduct& p);
void prepared_product(const PreparedProduct& p);

/// Whether kInt8 may use AVX-512's vpdpbusd where the processor has it (the default), for tests; and whether this thread's last
/// product did. The results are the same bits.
void allow_int8_dot(bool allow);
bool used_int8_dot();

}  // namespace attend::kernels
