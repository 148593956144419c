#include "attend/models/image_encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <bit>
#include <cmath>
#include <string>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/nn/init.h"
#include "models/encoder_stages.h"
#include "models/field_range.h"

namespace attend::models {
namespace {

constexpr std::int64_t kColours = 3;
constexpr double kMiddle = 127.5,
                 kDeviation = 64.;  // of 8-bit levels, so that inputs have about unit scale
constexpr double kMostMultiplier = 4;

/// x and y of each pixel's middle, from −1 at one edge to 1 at the other.
at::Tensor coordinates(std::int64_t side, at::ScalarType dtype) {
  const at::Tensor line =
      (at::arange(side, at::TensorOptions().dtype(dtype)) * 2 + 1) / static_cast<double>(side) - 1;
  const at::Tensor x = line.unsqueeze(0).expand({side, side});
  return at::stack({x, x.t()}).unsqueeze(0);  // [1,2,S,S]
}

void check_size(const ImageEncoderConfig& c) {
  if (c.image_size < c.stride || c.image_size > 1024 || c.image_size % c.stride != 0)
    fail_usage("data.image_size is " + std::to_string(c.image_size) +
               ": it must be a multiple of model.stride = " + std::to_string(c.stride) +
               ", at most 1024");
}

void check_small(const ImageEncoderConfig& c) {
  if (c.stride < 2 || c.stride > 32 || !std::has_single_bit(static_cast<std::uint64_t>(c.stride)))
    fail_usage("model.stride is " + std::to_string(c.stride) + ": it must be 2, 4, 8, 16 or 32");
  check_size(c);
  if (c.layers < halvings(c) || c.layers > 64)
    fail_usage("model.layers is " + std::to_string(c.layers) + ": a stride of " +
               std::to_string(c.stride) + " takes " + std::to_string(halvings(c)) +
               " convolutions at least, and 64 are the most");
  in_field("annotation_width", c.width, 1, 65536);
}

}  // namespace

void check_config(const ImageEncoderConfig& c) {
  if (c.network == EncoderNetwork::kSmall) return check_small(c);
  const bool mobile = c.network == EncoderNetwork::kMobileNet;
  if (!(c.multiplier >= 1.0 / 32 && c.multiplier <= kMostMultiplier))
    fail_usage("the encoder's multiplier is " + std::to_string(c.multiplier) +
               ": it must be in [1/32, 4]");
  const std::int64_t width = width_of(c.network, c.stride, c.multiplier);
  if (width == 0)
    fail_usage(
        "model.stride is " + std::to_string(c.stride) + ": " +
        (mobile ? "MobileNet can be cut at 8, 16 or 32" : "SqueezeNet can be cut at 8 or 16"));
  check_size(c);
  if (c.width != width)
    fail_usage("annotation_width is " + std::to_string(c.width) + ": the encoder's is " +
               std::to_string(width));
}

ImageEncoder::ImageEncoder(const ImageEncoderConfig& config, std::uint64_t seed,
                           at::ScalarType dtype)
    : config_(config) {
  check_config(config);
  stages_ = std::make_shared<const std::vector<EncoderStage>>(encoder_stages(config));
  if (config.network == EncoderNetwork::kSmall) planes_ = coordinates(config.image_size, dtype);
  if (config.network == EncoderNetwork::kSqueezeNet)
    planes_ = at::tensor({104., 117., 123.}, at::TensorOptions().dtype(dtype)).view({1, 3, 1, 1});
  std::uint64_t stream = 0;
  for (const EncoderStage& stage : *stages_)
    for (const Convolution& c : stage.parts) {
      Random random(seed, Purpose::kInit, stream++);
      const std::int64_t inputs = c.inputs / c.groups;
      const double limit = std::sqrt(6.0 / static_cast<double>(inputs * c.kernel * c.kernel));
      named_.emplace_back(c.name + ".weight", nn::uniform({c.outputs, inputs, c.kernel, c.kernel},
                                                          limit, random, dtype));
      named_.emplace_back(c.name + ".bias",
                          at::zeros({c.outputs}, at::TensorOptions().dtype(dtype)));
    }
  for (auto& [name, tensor] : named_) tensor.set_requires_grad(!config.frozen);
}

/// uint8 [B,S,S,3] → what the first convolution reads.
at::Tensor ImageEncoder::inputs(const at::Tensor& images) const {
  const at::ScalarType dtype = named_.front().second.scalar_type();
  const at::Tensor colours = images.permute({0, 3, 1, 2}).to(dtype);  // [B,3,S,S]
  if (config_.network == EncoderNetwork::kSmall) {
    const at::Tensor scaled = (colours - kMiddle) / kDeviation;
    return at::cat({scaled, planes_.expand({images.size(0), -1, -1, -1})}, 1);  // [B,5,S,S]
  }
  const auto [before, after] = encoder_margin(config_);
  const at::Tensor scaled = config_.network == EncoderNetwork::kMobileNet
                                ? colours / kMiddle - 1
                                : colours.flip({1}) - planes_;
  return at::constant_pad_nd(scaled, {before, after, before, after});
}

at::Tensor ImageEncoder::annotate(const at::Tensor& images) const {
  const std::int64_t side = config_.image_size;
  if (!images.defined() || images.dim() != 4 || images.scalar_type() != at::kByte ||
      images.size(1) != side || images.size(2) != side || images.size(3) != kColours)
    fail_usage("image encoder: images are uint8 [B," + std::to_string(side) + "," +
               std::to_string(side) + ",3]");
  at::Tensor x = inputs(images);
  std::size_t parameter = 0;
  for (const EncoderStage& stage : *stages_) {
    if (stage.pooled) x = at::max_pool2d(x, {3, 3}, {2, 2});
    std::vector<at::Tensor> parts;
    for (const Convolution& c : stage.parts) {
      const at::Tensor &weight = named_[parameter].second, &bias = named_[parameter + 1].second;
      parameter += 2;
      const bool even = c.before == c.after;
      const at::Tensor padded =
          even ? x : at::constant_pad_nd(x, {c.before, c.after, c.before, c.after});
      const std::int64_t both = even ? c.before : 0;
      const at::Tensor y =
          at::conv2d(padded, weight, bias, {c.step, c.step}, {both, both}, {1, 1}, c.groups);
      parts.push_back(config_.network == EncoderNetwork::kMobileNet ? y.clamp(0, 6) : y.relu());
    }
    x = parts.size() == 1 ? parts.front() : at::cat(parts, 1);
  }
  return x.flatten(2).transpose(1, 2).contiguous();  // [B,L,D]
}

}  // namespace attend::models
