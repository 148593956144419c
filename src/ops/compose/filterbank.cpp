#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/round.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sqrt.h>

#include <algorithm>

#include "attend/kernels/filterbank.h"
#include "ops/filterbank.h"
#include "ops/shape_check.h"

namespace attend {

FilterbankWindow filterbank_window(const at::Tensor& window, std::int64_t n, std::int64_t height,
                                   std::int64_t width) {
  ShapeCheck check("attend::filterbank_window");
  check("window", window, {"B", "5"})
      .at_least("n", n, 1)
      .at_least("height", height, 1)
      .at_least("width", width, 1);
  const auto centre = [&](std::int64_t i, std::int64_t size) {
    const at::Tensor g = window.select(1, i).clamp(-kernels::kFilterbankCentreLimit,
                                                   kernels::kFilterbankCentreLimit);
    return (g + 1) * (static_cast<double>(size + 1) / 2) - 1;
  };
  const auto power = [&](std::int64_t i) {
    return window.select(1, i)
        .clamp(-kernels::kFilterbankLogLimit, kernels::kFilterbankLogLimit)
        .exp();
  };
  const double whole = static_cast<double>(std::max(height, width) - 1) /
                       static_cast<double>(std::max<std::int64_t>(n - 1, 1));
  return {centre(0, width), centre(1, height), power(2).sqrt(), power(3) * whole, power(4)};
}

namespace {

/// [B,N,size]. Distances are relative to the pixel next to each mean: (a − μ)² − (nearest − μ)² = (a − nearest)(a + nearest −
/// 2μ), which leaves the quotient as it is and keeps far windows exact.
at::Tensor filterbank_rows(const at::Tensor& centre, const FilterbankWindow& w, std::int64_t n,
                           std::int64_t size) {
  const auto options = centre.options();
  const at::Tensor place = at::arange(n, options) - static_cast<double>(n - 1) / 2;  // [N]
  const at::Tensor mean =
      (centre.unsqueeze(1) + place * w.stride.unsqueeze(1)).unsqueeze(2);  // [B,N,1]
  const at::Tensor pixel = at::arange(size, options);                      // [size]
  const at::Tensor nearest = mean.detach().round().clamp(0, static_cast<double>(size - 1));
  const at::Tensor variance = (w.sigma * w.sigma).unsqueeze(1).unsqueeze(2);  // [B,1,1]
  const at::Tensor exponent = (pixel - nearest) * (pixel + (nearest - 2 * mean)) * (0.5 / variance);
  return at::softmax(-exponent, 2);
}

}  // namespace

namespace compose {

at::Tensor filterbank_read(const at::Tensor& image, const at::Tensor& window, std::int64_t n) {
  check_filterbank_read(image, window, n);
  const std::int64_t height = image.size(2), width = image.size(3);
  const FilterbankWindow w = filterbank_window(window, n, height, width);
  const at::Tensor rows = filterbank_rows(w.centre_y, w, n, height).unsqueeze(1);  // [B,1,N,height]
  const at::Tensor columns =
      filterbank_rows(w.centre_x, w, n, width).unsqueeze(1);  // [B,1,N,width]
  const at::Tensor patch = at::matmul(at::matmul(rows, image), columns.transpose(2, 3));
  return patch * w.intensity.view({-1, 1, 1, 1});
}

at::Tensor filterbank_write(const at::Tensor& patch, const at::Tensor& window, std::int64_t height,
                            std::int64_t width) {
  check_filterbank_write(patch, window, height, width);
  const std::int64_t n = patch.size(2);
  const FilterbankWindow w = filterbank_window(window, n, height, width);
  const at::Tensor rows = filterbank_rows(w.centre_y, w, n, height).unsqueeze(1);  // [B,1,N,height]
  const at::Tensor columns =
      filterbank_rows(w.centre_x, w, n, width).unsqueeze(1);  // [B,1,N,width]
  const at::Tensor image = at::matmul(rows.transpose(2, 3), at::matmul(patch, columns));
  return image / w.intensity.view({-1, 1, 1, 1});
}

}  // namespace compose
}  // namespace attend
