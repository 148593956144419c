#pragma once
#include <ATen/core/Tensor.h>
#include <attend/nn/parameters.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace attend::models {

/// Which network makes the map.
enum class EncoderNetwork {
  kSmall,      // a small one, trained along with what reads its map
  kMobileNet,  // MobileNet v1 (Howard et al. 2017), batch normalisation folded into the convolutions
  kSqueezeNet,  // SqueezeNet 1.0 (Iandola et al. 2016)
};

struct ImageEncoderConfig {
  std::int64_t image_size = 48;  // S, side of the square image in pixels: a multiple of stride
  std::int64_t stride = 4;  // side of a place in pixels: 2, 4, 8, 16 or 32; of MobileNet 8, 16 or
                            // 32, of SqueezeNet 8 or 16
  std::int64_t layers = 4;  // small: convolutions, log₂ stride of which halve the map
  std::int64_t width = 64;  // D, of an annotation; of the larger networks width_of
  EncoderNetwork network = EncoderNetwork::kSmall;
  double multiplier = 1;  // α, MobileNet: share of the paper's channels
  bool frozen = false;    // weights stay as they are: no gradients

  std::int64_t side() const { return image_size / stride; }  // places in a row and in a column
  std::int64_t places() const { return side() * side(); }    // L
};

struct EncoderStage;

/// Pixels to annotation vectors, one for each place of a square map, row by row (Xu et al. 2015, §3.1.1).
///
/// Small:
///   five planes, red, green, blue in −2…2 and the pixel's x and y in −1…1 (Liu et al. 2018, "CoordConv"),
///   → log₂ stride convolutions of 4 × 4 with step 2 and ReLU, D, D/2, … channels counted from the last
///   → 3 × 3 with step 1 and ReLU, D channels each
/// x and y are there because the decoder's first state is a mean over all places, which would lose where each thing stood.
/// 4 × 4 and not 3 × 3, because the field of an output is then centred on its own place: place (r, c) looks at the pixels
/// around ((c + ½) · stride, (r + ½) · stride), and a map can be laid over the image without a shift.
///
/// MobileNet and SqueezeNet are cut off behind the last layer of their stride (16: MobileNet's block 11, fire9; as the paper
/// takes VGG's map before its last pooling). Their steps of 2 pad one side only, or none, which moves the field of a place by up
/// to half a place; so the image is padded with the mean colour ahead of the first convolution until fields lie around their
/// places here too, to half a pixel. Inputs are what the networks were trained with: x / 127.5 − 1 (MobileNet), blue, green, red
/// less (104, 117, 123) (SqueezeNet).
class ImageEncoder {
 public:
  /// A pure function of config and seed: weights U(−l, l), l = √(6 / fan-in) (He et al. 2015), biases 0. Throws kUsage on a
  /// config that makes no sense.
  ImageEncoder(const ImageEncoderConfig& config, std::uint64_t seed,
               at::ScalarType dtype = at::kFloat);

  /// images [B,S,S,3] uint8, as data::Image holds them → annotations [B,L,D]. Differentiable in the weights unless frozen.
  /// Throws kUsage for another shape or dtype.
  at::Tensor annotate(const at::Tensor& images) const;

  /// Fixed order: NAME.weight [O,I/groups,K,K], NAME.bias [O] of each convolution. Names are layer0, layer1, …; MobileNet's conv1,
  /// dw1, pw1, dw2, …; SqueezeNet's conv1, fire2.squeeze, fire2.expand1, fire2.expand3, fire3.squeeze, …
  const nn::NamedTensors& parameters() const { return named_; }
  const ImageEncoderConfig& config() const { return config_; }

 private:
  at::Tensor inputs(const at::Tensor& images) const;
  ImageEncoderConfig config_;
  std::shared_ptr<const std::vector<EncoderStage>> stages_;
  at::Tensor
      planes_;  // [1,2,S,S], x and y of the small network; [1,3,1,1], what SqueezeNet's inputs are less
  nn::NamedTensors named_;
};

/// D of a larger network at a stride it can be cut at, 0 at another. Throws kUsage for the small one, whose D is free.
std::int64_t width_of(EncoderNetwork network, std::int64_t stride, double multiplier);

/// Throws kUsage naming the first field that is out of its range, and the range.
void check_config(const ImageEncoderConfig& config);

}  // namespace attend::models
