#include "attend/models/image_encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/nn/init.h"
#include "models/field_range.h"

namespace attend::models {
namespace {

constexpr std::int64_t kColours = 3, kInputs = 5;  // with x and y
constexpr std::int64_t kLeastChannels = 16;        // of a convolution, as far as D allows
constexpr double kMiddle = 127.5,
                 kDeviation = 64.;  // of 8-bit levels, so that inputs have about unit scale

std::int64_t halvings(const ImageEncoderConfig& c) {
  return std::bit_width(static_cast<std::uint64_t>(c.stride)) - 1;
}

std::int64_t channels_of(const ImageEncoderConfig& c, std::int64_t layer) {
  const std::int64_t behind = std::max<std::int64_t>(0, halvings(c) - 1 - layer);
  return std::max(c.width >> behind, std::min(kLeastChannels, c.width));
}

/// x and y of each pixel's middle, from −1 at one edge to 1 at the other.
at::Tensor coordinates(std::int64_t side, at::ScalarType dtype) {
  const at::Tensor line =
      (at::arange(side, at::TensorOptions().dtype(dtype)) * 2 + 1) / static_cast<double>(side) - 1;
  const at::Tensor x = line.unsqueeze(0).expand({side, side});
  return at::stack({x, x.t()}).unsqueeze(0);  // [1,2,S,S]
}

}  // namespace

void check_config(const ImageEncoderConfig& c) {
  if (c.stride < 2 || c.stride > 32 || !std::has_single_bit(static_cast<std::uint64_t>(c.stride)))
    fail_usage("model.stride is " + std::to_string(c.stride) + ": it must be 2, 4, 8, 16 or 32");
  if (c.image_size < c.stride || c.image_size > 1024 || c.image_size % c.stride != 0)
    fail_usage("data.image_size is " + std::to_string(c.image_size) +
               ": it must be a multiple of model.stride = " + std::to_string(c.stride) +
               ", at most 1024");
  if (c.layers < halvings(c) || c.layers > 64)
    fail_usage("model.layers is " + std::to_string(c.layers) + ": a stride of " +
               std::to_string(c.stride) + " takes " + std::to_string(halvings(c)) +
               " convolutions at least, and 64 are the most");
  in_field("annotation_width", c.width, 1, 65536);
}

ImageEncoder::ImageEncoder(const ImageEncoderConfig& config, std::uint64_t seed,
                           at::ScalarType dtype)
    : config_(config) {
  check_config(config);
  planes_ = coordinates(config.image_size, dtype);
  std::int64_t inputs = kInputs;
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::int64_t outputs = channels_of(config, i), kernel = i < halvings(config) ? 4 : 3;
    Random random(seed, Purpose::kInit, static_cast<std::uint64_t>(i));
    const double limit = std::sqrt(6.0 / static_cast<double>(inputs * kernel * kernel));
    const std::string name = "layer" + std::to_string(i);
    named_.emplace_back(name + ".weight",
                        nn::uniform({outputs, inputs, kernel, kernel}, limit, random, dtype));
    named_.emplace_back(name + ".bias", at::zeros({outputs}, at::TensorOptions().dtype(dtype)));
    inputs = outputs;
  }
  for (auto& [name, tensor] : named_) tensor.set_requires_grad(true);
}

at::Tensor ImageEncoder::annotate(const at::Tensor& images) const {
  const std::int64_t side = config_.image_size;
  if (!images.defined() || images.dim() != 4 || images.scalar_type() != at::kByte ||
      images.size(1) != side || images.size(2) != side || images.size(3) != kColours)
    fail_usage("image encoder: images are uint8 [B," + std::to_string(side) + "," +
               std::to_string(side) + ",3]");
  const std::int64_t batch = images.size(0);
  const at::Tensor colours =
      (images.permute({0, 3, 1, 2}).to(planes_.scalar_type()) - kMiddle) / kDeviation;  // [B,3,S,S]
  at::Tensor x = at::cat({colours, planes_.expand({batch, 2, side, side})}, 1);
  for (std::int64_t i = 0; i < config_.layers; ++i) {
    const auto at = static_cast<std::size_t>(2 * i);
    const std::int64_t step = i < halvings(config_) ? 2 : 1;
    x = at::conv2d(x, named_[at].second, named_[at + 1].second, {step, step}, {1, 1}).relu();
  }
  return x.flatten(2).transpose(1, 2).contiguous();  // [B,L,D]
}

}  // namespace attend::models
