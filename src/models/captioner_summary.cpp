#include <string>

#include "attend/models/captioner.h"
#include "attend/models/image_encoder.h"
#include "attend/models/summary.h"

namespace attend::models {
namespace {

/// Trained values in the parameters whose name begins with `layer` and a point.
std::int64_t values_of(const NamedTensors& all, const std::string& layer) {
  std::int64_t n = 0;
  for (const auto& [name, tensor] : all)
    if (name.starts_with(layer + ".") && tensor.requires_grad()) n += tensor.numel();
  return n;
}

}  // namespace

std::vector<LayerSummary> summarize(const ImageEncoderConfig& e, const CaptionerConfig& c) {
  const NamedTensors encoder = ImageEncoder(e, 0).parameters(),
                     decoder = Captioner(c, 0).parameters();
  std::vector<LayerSummary> rows;
  std::int64_t side = e.image_size;
  for (std::int64_t i = 0; i < e.layers; ++i) {
    const std::string name = "layer" + std::to_string(i);
    const at::Tensor& weight = encoder[static_cast<std::size_t>(2 * i)].second;
    if (weight.size(2) == 4) side /= 2;
    rows.push_back({"encoder." + name,
                    "Conv2D",
                    {-1, side, side, weight.size(0)},
                    values_of(encoder, name),
                    true});
  }
  const auto add = [&](const char* name, const char* type, std::vector<std::int64_t> shape) {
    rows.push_back({name, type, std::move(shape), values_of(decoder, name), true});
  };
  const std::int64_t steps = c.max_length + 1;
  add("initial", "Dense(tanh) × 2", {-1, c.hidden});
  add("embedding", "Embedding", {-1, steps, c.embedding_width});
  if (c.attention != CaptionAttention::kUniform)
    add("attention", c.attention == CaptionAttention::kHard ? "HardAttention" : "AdditiveAttention",
        {-1, steps, c.annotation_width});
  add("gate", "Dense(sigmoid)", {-1, steps, 1});
  add("lstm", "LSTM", {-1, steps, c.hidden});
  add("readout", "Dense(tanh)", {-1, steps, c.embedding_width});
  add("output", "Dense", {-1, steps, c.vocabulary});
  return rows;
}

}  // namespace attend::models
