#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "attend/models/draw.h"
#include "attend/train/run.h"

namespace attend::train {

/// A trained DRAW model. Its folder is that of Run (run.h), without a tokenizer.
struct GenerationRun : RunFiles {
  models::DrawConfig config;
  std::unique_ptr<models::Draw> draw;
};

/// Throws as load_run.
GenerationRun load_generation(const std::string& path);

/// The configuration that a recipe means for images of this size.
models::DrawConfig draw_config(const Recipe& recipe, std::int64_t channels, std::int64_t height,
                               std::int64_t width);

/// Images as the run reads them, float [N,C,height,width] in [0,1], binarised as its recipe says (by chance, but the same at
/// every call), and the names of their data and part.
struct ImageSet {
  std::string data, split;
  at::Tensor images;
  at::Tensor
      boxes;  // uint8 [N,objects,4] (left, top, width, height): where the objects are; undefined
              // when not known
};
/// `data` ("" = what the run was trained on) and its part `split` (train, validation or test; "" = the first of test,
/// validation, train that has images). Throws kUsage on a part that is unknown or empty, kBadInput on images of another size.
ImageSet image_set(const GenerationRun& run, const std::string& data = "",
                   const std::string& split = "");
/// One image: a PNG or JPEG file, resized to the run's size; or "PART:NUMBER" (test:0 is the first test image of the run's
/// data). A path that exists is a file. Throws kIo, kBadInput, kUsage.
ImageSet one_image(const GenerationRun& run, const std::string& input,
                   const std::string& data = "");

struct GenerationEvaluation {
  std::string run, data, split;
  std::int64_t n = 0;
  /// elbo_nats = reconstruction_nats + kl_nats, a mean over images of an upper bound on −log p(x); loss is the same number.
  Metrics metrics;
  double elbo_sd = 0;                          // between images
  std::int64_t samples = 0, likelihood_n = 0;  // of log_likelihood_nats, if asked for
};

struct EvaluateGeneration {
  std::string data, split;
  std::int64_t samples = 0;  // importance samples an image for log_likelihood_nats; 0: not measured
  std::int64_t images = 500;  // of the part, its first ones, for it
};
GenerationEvaluation evaluate(const GenerationRun& run, const EvaluateGeneration& options = {});

}  // namespace attend::train
