#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace attend {

/// DRAW's attentive read (Gregor et al. 2015, equations 21 to 27): an N × N patch of Gaussian glimpses.
///   output[b,c] = γ F_Y image[b,c] F_Xᵀ
/// image [B,C,height,width] (any strides), window [B,5] = (g̃_X, g̃_Y, log σ², log δ̃, log γ) as the decoder's linear layer gives
/// it, n = N filters a side. Returns [B,C,N,N], rows first. For the columns (and so the rows, with g̃_Y and height):
///   g_X = (width + 1)/2 (g̃_X + 1) − 1,  δ = (max(width, height) − 1)/(N − 1) δ̃,  μ_i = g_X + (i − (N − 1)/2) δ
///   F_X[i,a] = exp(−(a − μ_i)²/2σ²) / Σ_a' exp(−(a' − μ_i)²/2σ²)
/// which are the paper's, with pixels and filters counted from 0: g̃ = 0 is the middle of the image, δ̃ = 1 spreads the filters
/// over all of it. Differentiable in image and in all five numbers, twice too.
///
/// Rows of F add up to 1 wherever the window is: far outside the image it sees the border, with a tiny σ the pixel next to each
/// μ_i, with a huge one the mean; never 0/0. Numbers beyond ±10⁴ (g̃) and ±30 (the logarithms) count as the limit and have
/// gradient 0 there. A NaN in a window or an image shows in its batch row alone. N = 1: δ plays no part. B = 0 and C = 0 are
/// fine; height, width and N must be at least 1.
///
/// Float and double on the CPU run fused kernels: 2·B·C·N·width·(height + N) operations forward, between 2 and 3 times that
/// backward. Kept for it are the inputs, the filters and F_Y image: B (height + width + C width) N numbers with height and
/// width padded to whole vectors; nothing where no gradient is asked for. Anything else runs compose::filterbank_read;
/// last_dispatch() says which. The bits do not depend on the number of threads. Thread-safe. Throws Error(kUsage) naming
/// argument, shape and rule.
///
///   const at::Tensor glimpse = attend::filterbank_read(at::cat({x, error}, 1), window_layer(h), 5);
///
/// Also torch.ops.attend.filterbank_read(image, window, n).
at::Tensor filterbank_read(const at::Tensor& image, const at::Tensor& window, std::int64_t n);

/// DRAW's write (equation 29): output[b,c] = 1/γ F_Yᵀ patch[b,c] F_X, with the same filters. patch [B,C,N,N], window [B,5];
/// returns [B,C,height,width]. All else as filterbank_read. Also torch.ops.attend.filterbank_write(patch, window, height, width).
at::Tensor filterbank_write(const at::Tensor& patch, const at::Tensor& window, std::int64_t height,
                            std::int64_t width);

/// What a window means, each [B], in pixels counted from 0: filter (i, j) of N × N is a Gaussian of width sigma around column
/// centre_x + (j − (N − 1)/2) stride and row centre_y + (i − (N − 1)/2) stride. For drawing it: a rectangle of (N − 1) stride.
struct FilterbankWindow {
  at::Tensor centre_x, centre_y, sigma, stride, intensity;
};
FilterbankWindow filterbank_window(const at::Tensor& window, std::int64_t n, std::int64_t height,
                                   std::int64_t width);

namespace compose {
/// The definitions in plain ATen: oracle of the tests, path of every other device and dtype.
at::Tensor filterbank_read(const at::Tensor& image, const at::Tensor& window, std::int64_t n);
at::Tensor filterbank_write(const at::Tensor& patch, const at::Tensor& window, std::int64_t height,
                            std::int64_t width);
}  // namespace compose
}  // namespace attend
