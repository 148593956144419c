// Resampling with a kernel widened to the scale, in fixed point, step by step as Pillow's
// Resample.c does it, so that the pixels are the same.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "attend/base/error.h"
#include "attend/data/image.h"
#include "data/image_codecs.h"

namespace attend::data {
namespace {

constexpr int kWeightBits = 22;  // 8 bits of a sample and 2 of overshoot make 32

double bilinear(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

double sinc(double x) {
  if (x == 0) return 1;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

struct ResizeKernel {
  double (*value)(double);
  double reach;
};

ResizeKernel kernel_of(ResizeFilter filter) {
  if (filter == ResizeFilter::kBilinear) return {bilinear, 1};
  return filter == ResizeFilter::kBicubic ? ResizeKernel{bicubic, 2} : ResizeKernel{lanczos, 3};
}

/// What one new pixel is made of: source pixels first… with weights.
struct Taps {
  std::int64_t first;
  std::vector<std::int32_t> weights;
};

std::int64_t nearest_place(double x) { return static_cast<std::int64_t>(std::floor(x + 0.5)); }

Taps taps_of(std::int64_t place, std::int64_t from, std::int64_t to, const ResizeKernel& kernel) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double widening = std::max(1.0, scale);
  const double reach = kernel.reach * widening;
  const double center = (static_cast<double>(place) + 0.5) * scale;
  const auto first = std::max(std::int64_t{0}, nearest_place(center - reach));
  const auto last = std::min(from, nearest_place(center + reach));
  std::vector<double> values;
  double sum = 0;
  for (std::int64_t j = first; j < last; ++j) {
    const double x = (static_cast<double>(j) - center + 0.5) * (1.0 / widening);
    values.push_back(kernel.value(x));
    sum += values.back();
  }
  Taps out{first, {}};
  for (double value : values) {
    if (sum != 0) value /= sum;
    const double fixed = value * (1 << kWeightBits);
    out.weights.push_back(static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
  }
  return out;
}

std::vector<Taps> all_taps(std::int64_t from, std::int64_t to, const ResizeKernel& kernel) {
  std::vector<Taps> out;
  for (std::int64_t i = 0; i < to; ++i) out.push_back(taps_of(i, from, to, kernel));
  return out;
}

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

constexpr std::int32_t kHalf = 1 << (kWeightBits - 1);

Image along_x(const Image& image, std::int64_t width, const ResizeKernel& kernel) {
  const std::vector<Taps> taps = all_taps(image.width, width, kernel);
  Image out{image.height, width, {}};
  out.pixels.resize(static_cast<std::size_t>(image.height * width * 3));
  std::uint8_t* into = out.pixels.data();
  for (std::int64_t y = 0; y < image.height; ++y)
    for (const Taps& tap : taps) {
      const std::uint8_t* from = image.pixels.data() + (y * image.width + tap.first) * 3;
      std::int32_t red = kHalf, green = kHalf, blue = kHalf;
      for (const std::int32_t weight : tap.weights) {
        red += weight * from[0];
        green += weight * from[1];
        blue += weight * from[2];
        from += 3;
      }
      *into++ = rounded(red);
      *into++ = rounded(green);
      *into++ = rounded(blue);
    }
  return out;
}

Image along_y(const Image& image, std::int64_t height, const ResizeKernel& kernel) {
  const std::size_t stride = static_cast<std::size_t>(image.width) * 3;
  Image out{height, image.width, {}};
  out.pixels.resize(static_cast<std::size_t>(height) * stride);
  std::vector<std::int32_t> sums(stride);
  for (std::int64_t y = 0; y < height; ++y) {
    const Taps tap = taps_of(y, image.height, height, kernel);
    std::fill(sums.begin(), sums.end(), kHalf);
    const std::uint8_t* from = image.pixels.data() + static_cast<std::size_t>(tap.first) * stride;
    for (const std::int32_t weight : tap.weights) {
      for (std::size_t x = 0; x < stride; ++x) sums[x] += weight * from[x];
      from += stride;
    }
    std::uint8_t* into = out.pixels.data() + static_cast<std::size_t>(y) * stride;
    for (std::size_t x = 0; x < stride; ++x) into[x] = rounded(sums[x]);
  }
  return out;
}

std::string size_text(std::int64_t height, std::int64_t width) {
  return std::to_string(width) + " × " + std::to_string(height) + " pixels";
}

}  // namespace

Image resize(const Image& image, std::int64_t height, std::int64_t width, ResizeFilter filter) {
  if (height < 1 || width < 1 || height > kMostPixels || width > kMostPixels / height)
    fail_usage("resize: to " + size_text(height, width) + "; give 1…" +
               std::to_string(kMostPixels) + " pixels");
  if (image.pixels.empty()) fail_usage("resize: the image is empty");
  const ResizeKernel kernel = kernel_of(filter);
  const bool keeps_x = width == image.width, keeps_y = height == image.height;
  if (keeps_x && keeps_y) return image;
  if (keeps_x) return along_y(image, height, kernel);
  const Image wide = along_x(image, width, kernel);
  return keeps_y ? wide : along_y(wide, height, kernel);
}

Image center_crop(const Image& image, std::int64_t height, std::int64_t width) {
  if (height < 1 || width < 1 || height > image.height || width > image.width)
    fail_usage("center_crop: " + size_text(height, width) + " out of " +
               size_text(image.height, image.width) + "; resize it first");
  Image out{height, width, {}};
  out.pixels.reserve(static_cast<std::size_t>(height * width * 3));
  const std::int64_t top = (image.height - height) / 2, left = (image.width - width) / 2;
  for (std::int64_t y = top; y < top + height; ++y) {
    const auto row = image.pixels.begin() + (y * image.width + left) * 3;
    out.pixels.insert(out.pixels.end(), row, row + width * 3);
  }
  return out;
}

}  // namespace attend::data
