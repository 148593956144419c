// How much of a window of Gaussian filters lies on the objects of an image.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "attend/base/error.h"
#include "attend/explain/drawing.h"

namespace attend::explain {
namespace {

/// The weight with which N filters around `centre` look at each of `size` pixels of a row or column; adds up to 1.
std::vector<double> weight_along(double centre, const DrawingWindow& w, std::int64_t n,
                                 std::int64_t size) {
  const auto pixels = static_cast<std::size_t>(size);
  std::vector<double> out(pixels), filter(pixels);
  for (std::int64_t i = 0; i < n; ++i) {
    const double mean =
        centre + (static_cast<double>(i) - static_cast<double>(n - 1) / 2) * w.stride;
    const double nearest = std::clamp(std::round(mean), 0.0, static_cast<double>(size - 1));
    double sum = 0;
    for (std::size_t a = 0; a < pixels; ++a) {
      // Relative to the nearest pixel, so that the sum is at least 1.
      const auto x = static_cast<double>(a);
      filter[a] = std::exp(-(x - nearest) * (x + nearest - 2 * mean) / (2 * w.sigma * w.sigma));
      sum += filter[a];
    }
    for (std::size_t a = 0; a < pixels; ++a) out[a] += filter[a] / sum / static_cast<double>(n);
  }
  return out;
}

/// The same, as a mean over a centre on every pixel.
std::vector<double> weight_by_chance(const DrawingWindow& w, std::int64_t n, std::int64_t size) {
  std::vector<double> out(static_cast<std::size_t>(size));
  for (std::int64_t centre = 0; centre < size; ++centre) {
    const std::vector<double> one = weight_along(static_cast<double>(centre), w, n, size);
    for (std::size_t a = 0; a < out.size(); ++a) out[a] += one[a] / static_cast<double>(size);
  }
  return out;
}

/// [height,width], true within a box.
std::vector<bool> covered_by(const at::Tensor& boxes, std::int64_t height, std::int64_t width) {
  std::vector<bool> out(static_cast<std::size_t>(height * width));
  for (std::int64_t i = 0; i < boxes.size(0); ++i) {
    const auto side = [&](std::int64_t k) { return boxes[i][k].item<std::int64_t>(); };
    const std::int64_t left = side(0), top = side(1), right = left + side(2),
                       bottom = top + side(3);
    if (left < 0 || top < 0 || right > width || bottom > height)
      fail_usage("attend::explain::on_objects: box " + std::to_string(i) +
                 " reaches beyond its image");
    for (std::int64_t y = top; y < bottom; ++y)
      for (std::int64_t x = left; x < right; ++x)
        out[static_cast<std::size_t>(y * width + x)] = true;
  }
  return out;
}

}  // namespace

OnObjects on_objects(const DrawingWindow& window, std::int64_t n, std::int64_t height,
                     std::int64_t width, const at::Tensor& boxes) {
  const std::vector<bool> covered = covered_by(boxes, height, width);
  const auto within = [&](const std::vector<double>& down, const std::vector<double>& across) {
    double sum = 0;
    for (std::size_t y = 0; y < down.size(); ++y)
      for (std::size_t x = 0; x < across.size(); ++x)
        if (covered[y * across.size() + x]) sum += down[y] * across[x];
    return sum;
  };
  const auto at = [&](double y, double x) {
    return within(weight_along(y, window, n, height), weight_along(x, window, n, width));
  };
  // Column and row of a random centre are independent of each other, so the mean of the products is that of the means.
  return {
      at(window.y, window.x),
      within(weight_by_chance(window, n, height), weight_by_chance(window, n, width)),
      at(static_cast<double>(height - 1) / 2, static_cast<double>(width - 1) / 2),
  };
}

}  // namespace attend::explain
