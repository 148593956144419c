#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attend/models/draw.h"

namespace attend::explain {

/// How much of a window lies on the objects of its image. A window looks at pixel (a, b) with the weight
/// Σ_i F_Y[i,b] Σ_j F_X[j,a] / N² of its filters, which adds up to 1 over the image wherever the window is. `share` is that
/// weight within the objects' boxes, `chance` the mean share of the same window with its centre on any pixel of the image, and
/// `middle` its share with the centre in the middle of the image, where a model that cannot tell would rather stay, because
/// objects lie there more often than at the border.
struct OnObjects {
  double share = 0, chance = 0, middle = 0;
};

/// A window in pixels counted from 0: N x N filters of width sigma, `stride` apart, around (x, y).
struct DrawingWindow {
  double x = 0, y = 0, stride = 0, sigma = 0, intensity = 0;
  std::optional<OnObjects> on_objects{};  // where the objects' boxes are known
};

/// `boxes` [objects,4], integers (left, top, width, height) within an image of height x width pixels; n = N filters a side.
/// Cost: N (height + width) exponentials for each row and column of the image.
OnObjects on_objects(const DrawingWindow& window, std::int64_t n, std::int64_t height,
                     std::int64_t width, const at::Tensor& boxes);

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
  std::optional<OnObjects> read_on_objects, write_on_objects;  // means over the steps
};

/// Shows the image [1,C,height,width] to the model. The latents' noise is stream 0 of the seed: the same picture at every call.
/// `boxes` [1,objects,4] says where the image's objects are; undefined: not known.
DrawingExplanation explain_drawing(const models::Draw& draw, const at::Tensor& image,
                                   std::uint64_t seed, const at::Tensor& boxes = {});

/// The document attend.explain/1: {"schema","run","input","output":{"elbo_nats","reconstruction_nats","kl_nats"},"steps":
/// [{"kl_nats","read":{"x","y","stride","sigma","intensity"},"write":{…}}]}; a window that is not there is null. Where objects
/// are known every window has "on_objects":{"share","chance","middle"}, and the document {"read","write"} of their means.
std::string to_json(const DrawingExplanation& explanation, const std::string& input,
                    const std::string& run);

}  // namespace attend::explain
