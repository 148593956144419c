#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/models/image_encoder.h"

namespace attend::models {

struct Convolution {
  std::string name;
  std::int64_t inputs = 0, outputs = 0, kernel = 1, step = 1, groups = 1;
  std::int64_t before = 0, after = 0;  // padding with 0 above and left, below and right
};

/// Convolutions of one input side by side, their outputs joined, each behind the network's rectifier.
struct EncoderStage {
  std::vector<Convolution> parts;
  bool pooled = false;  // the input is the largest of 3 × 3 first, with step 2 and no padding

  std::int64_t outputs() const {
    std::int64_t sum = 0;
    for (const Convolution& part : parts) sum += part.outputs;
    return sum;
  }
};

/// The layers of a network up to its stride.
std::vector<EncoderStage> encoder_stages(const ImageEncoderConfig& config);

/// Rows and columns of the mean colour that are put around an image, so that the field of place (r, c) lies around it.
struct EncoderMargin {
  std::int64_t before = 0, after = 0;
};
EncoderMargin encoder_margin(const ImageEncoderConfig& config);

/// log₂ of the stride.
std::int64_t halvings(const ImageEncoderConfig& config);

}  // namespace attend::models
