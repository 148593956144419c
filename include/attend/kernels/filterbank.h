#pragma once
#include <cstdint>

namespace attend::kernels {

/// Numbers of a DRAW window are limited to these, so that no intermediate overflows; beyond them a number counts as the limit
/// and has gradient 0. Centres in half images, the others natural logarithms.
inline constexpr double kFilterbankCentreLimit = 1e4, kFilterbankLogLimit = 30;

struct FilterbankShape {
  std::int64_t batch = 0, channels = 0, height = 0, width = 0, filters = 0;  // filters: N a side
};

/// DRAW's attentive read (Gregor et al. 2015, equations 22 to 27), on plain memory:
///   output[b,c] = γ F_Y image[b,c] F_Xᵀ                                          [N,N]
/// window[b] = (g̃_X, g̃_Y, log σ², log δ̃, log γ), and for the W columns (rows: g̃_Y and H)
///   g_X = (W + 1)/2 (g̃_X + 1) − 1,  δ = (max(W, H) − 1)/(N − 1) δ̃,  μ_i = g_X + (i − (N − 1)/2) δ,   i = 0 … N − 1
///   F_X[i,a] = exp(−(a − μ_i)²/2σ²) / Σ_a' exp(−(a' − μ_i)²/2σ²),                                     a = 0 … W − 1
/// The paper counts pixels and filters from 1, which is the −1 and the N − 1 here. A row of F adds up to 1 exactly, as the
/// paper wants, wherever the window is: its exponents are taken relative to the pixel next to μ_i, so that a window far
/// outside sees the border and not 0/0. With N = 1, δ plays no part.
///
/// Images may have any stride over batch, channel and row and unit stride along a row; all else is contiguous. NaN in a
/// window or an image shows in its batch row. T is float or double. Thread-safe, no allocation; batch rows are shared out
/// over base/threads.h. Cost: 2·B·channels·N·W·(H + N) floating-point operations and B·N·(H + W) exponentials.
template <class T>
struct FilterbankRead {
  FilterbankShape shape;
  const T* window = nullptr;                                          // [B,5]
  const T* image = nullptr;                                           // [B,channels,H,W]
  std::int64_t batch_stride = 0, channel_stride = 0, row_stride = 0;  // of image, in elements
  T* output = nullptr;                                                // [B,channels,N,N]
  T* workspace = nullptr;  // filterbank_workspace(shape) elements, contents irrelevant
  T* kept =
      nullptr;  // [B,filterbank_read_kept(shape)] or null: what backward then need not make again
};
template <class T>
void filterbank_read(const FilterbankRead<T>& p);

/// Its gradient. The filters, and their product with the image, come from forward.kept or are made again; the gradient of a
/// bank needs of every filter only Σ F·dF and two moments of it.
template <class T>
struct FilterbankReadBackward {
  FilterbankRead<T> forward;       // its output is not used; kept as forward left it, or null
  const T* grad_output = nullptr;  // [B,channels,N,N]
  T* grad_image = nullptr;         // [B,channels,H,W], or null
  T* grad_window = nullptr;        // [B,5], or null
};
template <class T>
void filterbank_read_backward(const FilterbankReadBackward<T>& p);

/// DRAW's write (equation 29): output[b,c] = 1/γ F_Yᵀ patch[b,c] F_X, [H,W], with the same filters.
template <class T>
struct FilterbankWrite {
  FilterbankShape shape;
  const T* window = nullptr;  // [B,5]
  const T* patch = nullptr;   // [B,channels,N,N]
  T* output = nullptr;        // [B,channels,H,W]
  T* workspace = nullptr;     // filterbank_workspace(shape) elements
  T* kept = nullptr;          // [B,filterbank_write_kept(shape)] or null
};
template <class T>
void filterbank_write(const FilterbankWrite<T>& p);

template <class T>
struct FilterbankWriteBackward {
  FilterbankWrite<T> forward;      // its output is not used; kept as forward left it, or null
  const T* grad_output = nullptr;  // [B,channels,H,W]: any strides as FilterbankRead::image
  std::int64_t batch_stride = 0, channel_stride = 0, row_stride = 0;
  T* grad_patch = nullptr;   // [B,channels,N,N], or null
  T* grad_window = nullptr;  // [B,5], or null
};
template <class T>
void filterbank_write_backward(const FilterbankWriteBackward<T>& p);

std::int64_t filterbank_workspace(const FilterbankShape& shape);
std::int64_t filterbank_read_kept(const FilterbankShape& shape);
std::int64_t filterbank_write_kept(const FilterbankShape& shape);

}  // namespace attend::kernels
