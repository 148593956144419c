// The layers of the networks that read images.
#include "models/encoder_stages.h"

#include <algorithm>
#include <array>
#include <bit>

#include "attend/base/error.h"

namespace attend::models {
namespace {

constexpr std::int64_t kLeastChannels = 16;  // of a small network's convolution, as far as D allows

struct MobileBlock {
  std::int64_t channels, step;
};
/// Howard et al. 2017, table 1.
constexpr std::array<MobileBlock, 13> kMobileBlocks{{{64, 1},
                                                     {128, 2},
                                                     {128, 1},
                                                     {256, 2},
                                                     {256, 1},
                                                     {512, 2},
                                                     {512, 1},
                                                     {512, 1},
                                                     {512, 1},
                                                     {512, 1},
                                                     {512, 1},
                                                     {1024, 2},
                                                     {1024, 1}}};
constexpr std::int64_t kMobileFirst = 32;

struct Fire {
  std::int64_t squeeze, expand;
  bool pooled;
};
/// Iandola et al. 2016, table 1: fire2 … fire9.
constexpr std::array<Fire, 8> kFires{{{16, 64, true},
                                      {16, 64, false},
                                      {32, 128, false},
                                      {32, 128, true},
                                      {48, 192, false},
                                      {48, 192, false},
                                      {64, 256, false},
                                      {64, 256, true}}};
constexpr std::int64_t kSqueezeFirst = 96;

EncoderStage stage_of(Convolution part) { return {{std::move(part)}, false}; }

std::vector<EncoderStage> small_stages(const ImageEncoderConfig& c) {
  std::vector<EncoderStage> out;
  std::int64_t inputs = 5;  // with x and y
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const bool halves = i < halvings(c);
    const std::int64_t behind = std::max<std::int64_t>(0, halvings(c) - 1 - i),
                       outputs = std::max(c.width >> behind, std::min(kLeastChannels, c.width));
    out.push_back(stage_of(
        {"layer" + std::to_string(i), inputs, outputs, halves ? 4 : 3, halves ? 2 : 1, 1, 1, 1}));
    inputs = outputs;
  }
  return out;
}

/// A 3 × 3 convolution; with step 2 it is padded behind only, as Keras does.
Convolution mobile_convolution(const std::string& name, std::int64_t inputs, std::int64_t outputs,
                               std::int64_t step, std::int64_t groups) {
  return {name, inputs, outputs, 3, step, groups, step == 1 ? 1 : 0, 1};
}

std::vector<EncoderStage> mobile_stages(const ImageEncoderConfig& c) {
  const auto scaled = [&](std::int64_t channels) {
    return static_cast<std::int64_t>(static_cast<double>(channels) * c.multiplier);
  };
  std::int64_t inputs = scaled(kMobileFirst), stride = 2;
  std::vector<EncoderStage> out{stage_of(mobile_convolution("conv1", 3, inputs, 2, 1))};
  for (std::size_t i = 0; i < kMobileBlocks.size(); ++i) {
    const auto [channels, step] = kMobileBlocks[i];
    if (stride * step > c.stride) break;
    stride *= step;
    const std::string number = std::to_string(i + 1);
    out.push_back(stage_of(mobile_convolution("dw" + number, inputs, inputs, step, inputs)));
    out.push_back(stage_of({"pw" + number, inputs, scaled(channels)}));
    inputs = scaled(channels);
  }
  return out;
}

std::vector<EncoderStage> squeeze_stages(const ImageEncoderConfig& c) {
  std::vector<EncoderStage> out{stage_of({"conv1", 3, kSqueezeFirst, 7, 2})};
  std::int64_t inputs = kSqueezeFirst, stride = 2;
  for (std::size_t i = 0; i < kFires.size(); ++i) {
    const Fire& fire = kFires[i];
    if (fire.pooled) stride *= 2;
    if (stride > c.stride) break;
    const std::string name = "fire" + std::to_string(i + 2);
    out.push_back({{{name + ".squeeze", inputs, fire.squeeze}}, fire.pooled});
    out.push_back({{{name + ".expand1", fire.squeeze, fire.expand},
                    {name + ".expand3", fire.squeeze, fire.expand, 3, 1, 1, 1, 1}},
                   false});
    inputs = 2 * fire.expand;
  }
  return out;
}

}  // namespace

std::int64_t halvings(const ImageEncoderConfig& c) {
  return std::bit_width(static_cast<std::uint64_t>(c.stride)) - 1;
}

std::vector<EncoderStage> encoder_stages(const ImageEncoderConfig& c) {
  switch (c.network) {
    case EncoderNetwork::kMobileNet:
      return mobile_stages(c);
    case EncoderNetwork::kSqueezeNet:
      return squeeze_stages(c);
    case EncoderNetwork::kSmall:
      break;
  }
  return small_stages(c);
}

// Output i of a convolution of K with step 2 and no padding in front has its middle at input 2i + (K − 1)/2; so does a pooling.
//   MobileNet, log₂ s of K = 3:            s·i + s − 1 behind stride s          wanted: s·i + (s − 1)/2
//   SqueezeNet, K = 7, then 3 and 3 (and 3): 8i + 9 behind stride 8, 16i + 17 behind 16
// The margin behind is as wide as the last place needs, and no wider, for the number of places to be S / s.
EncoderMargin encoder_margin(const ImageEncoderConfig& c) {
  if (c.network == EncoderNetwork::kMobileNet) return {c.stride / 2, 0};
  if (c.network != EncoderNetwork::kSqueezeNet) return {};
  return c.stride == 8 ? EncoderMargin{6, 5} : EncoderMargin{10, 9};
}

std::int64_t width_of(EncoderNetwork network, std::int64_t stride, double multiplier) {
  if (network == EncoderNetwork::kSmall)
    fail_usage("width_of: a small network has the D it is given");
  const bool mobile = network == EncoderNetwork::kMobileNet;
  if (stride != 8 && stride != 16 && !(mobile && stride == 32)) return 0;
  ImageEncoderConfig c;
  c.network = network, c.stride = stride, c.multiplier = multiplier;
  return encoder_stages(c).back().outputs();
}

}  // namespace attend::models
