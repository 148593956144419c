#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attend/models/draw.h"

namespace attend::explain {

/// A window in pixels counted from 0: N x N filters of width sigma, `stride` apart, around (x, y).
struct DrawingWindow {
  double x = 0, y = 0, stride = 0, sigma = 0, intensity = 0;
};

struct DrawingStep {
  std::vector<std::uint8_t>
      canvas;          // [height,width,channels], 0 … 255: the mean that the canvas stands for
  double kl_nats = 0;  // what this step took in of the image; 0 in a sample
  std::optional<DrawingWindow> read, write;
};

/// How a model drew one image.
struct DrawingExplanation {
  std::int64_t height = 0, width = 0, channels = 0;
  std::int64_t read_size = 0, write_size = 0;  // N of the windows; 0 without attention
  std::vector<std::uint8_t> image;             // what it was shown, as a canvas
  double reconstruction_nats = 0, kl_nats = 0;
  std::vector<DrawingStep> steps;
};

/// Shows the image [1,C,height,width] to the model. The latents' noise is stream 0 of the seed: the same picture at every call.
DrawingExplanation explain_drawing(const models::Draw& draw, const at::Tensor& image,
                                   std::uint64_t seed);

/// The document attend.explain/1: {"schema","run","input","output":{"elbo_nats","reconstruction_nats","kl_nats"},"steps":
/// [{"kl_nats","read":{"x","y","stride","sigma","intensity"},"write":{…}}]}; a window that is not there is null.
std::string to_json(const DrawingExplanation& explanation, const std::string& input,
                    const std::string& run);

}  // namespace attend::explain
