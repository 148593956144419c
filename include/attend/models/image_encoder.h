#pragma once
#include <ATen/core/Tensor.h>
#include <attend/nn/parameters.h>

#include <cstdint>
#include <vector>

namespace attend::models {

/// A small convolutional network that is trained along with what reads its map.
struct ImageEncoderConfig {
  std::int64_t image_size = 48;  // S, side of the square image in pixels: a multiple of stride
  std::int64_t stride = 4;       // side of a place in pixels: 2, 4, 8, 16 or 32
  std::int64_t layers = 4;       // convolutions, log₂ stride of which halve the map
  std::int64_t width = 64;       // D, of an annotation

  std::int64_t side() const { return image_size / stride; }  // places in a row and in a column
  std::int64_t places() const { return side() * side(); }    // L
};

/// Pixels to annotation vectors, one for each place of a square map, row by row (Xu et al. 2015, §3.1.1):
///   five planes, red, green, blue in −2…2 and the pixel's x and y in −1…1 (Liu et al. 2018, "CoordConv"),
///   → log₂ stride convolutions of 4 × 4 with step 2 and ReLU, D, D/2, … channels counted from the last
///   → 3 × 3 with step 1 and ReLU, D channels each
/// x and y are there because the decoder's first state is a mean over all places, which would lose where each thing stood.
/// 4 × 4 and not 3 × 3, because the field of an output is then centred on its own place: place (r, c) looks at the pixels
/// around ((c + ½) · stride, (r + ½) · stride), and a map can be laid over the image without a shift.
class ImageEncoder {
 public:
  /// A pure function of config and seed: weights U(−l, l), l = √(6 / fan-in) (He et al. 2015), biases 0. Throws kUsage on a
  /// config that makes no sense.
  ImageEncoder(const ImageEncoderConfig& config, std::uint64_t seed,
               at::ScalarType dtype = at::kFloat);

  /// images [B,S,S,3] uint8, as data::Image holds them → annotations [B,L,D]. Differentiable in the weights. Throws kUsage for
  /// another shape or dtype.
  at::Tensor annotate(const at::Tensor& images) const;

  /// layer0.weight [O,I,K,K], layer0.bias [O], layer1.weight, …
  const nn::NamedTensors& parameters() const { return named_; }
  const ImageEncoderConfig& config() const { return config_; }

 private:
  ImageEncoderConfig config_;
  at::Tensor planes_;  // [1,2,S,S], x and y
  nn::NamedTensors named_;
};

/// Throws kUsage naming the first field that is out of its range, and the range.
void check_config(const ImageEncoderConfig& config);

}  // namespace attend::models
