#include <string>

#include "attend/models/captioner.h"
#include "attend/models/image_encoder.h"
#include "attend/models/summary.h"
#include "models/encoder_stages.h"

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
  check_config(e);
  const std::unique_ptr<Captioner> model = make_captioner(c, 0);
  const NamedTensors& decoder = model->parameters();
  std::vector<LayerSummary> rows;
  const auto [before, after] = encoder_margin(e);
  std::int64_t side = e.image_size + before + after;
  for (const EncoderStage& stage : encoder_stages(e)) {
    if (stage.pooled) side = (side - 3) / 2 + 1;
    const Convolution& first = stage.parts.front();
    side = (side + first.before + first.after - first.kernel) / first.step + 1;
    for (const Convolution& part : stage.parts)
      rows.push_back({"encoder." + part.name,
                      part.groups > 1 ? "DepthwiseConv2D" : "Conv2D",
                      {-1, side, side, part.outputs},
                      part.outputs * (part.inputs / part.groups * part.kernel * part.kernel + 1),
                      !e.frozen});
  }
  const auto add = [&](const char* name, const std::string& type, std::vector<std::int64_t> shape) {
    rows.push_back({name, type, std::move(shape), values_of(decoder, name), true});
  };
  const std::int64_t steps = c.max_length + 1;
  if (c.architecture == CaptionArchitecture::kTransformer) {
    add("embedding", "Embedding", {-1, steps, c.embedding_width});
    add("memory", "Dense", {-1, e.side() * e.side(), c.embedding_width});
    const std::string times = c.layers == 1 ? "" : " × " + std::to_string(c.layers);
    add("transformer", "TransformerDecoderLayer" + times, {-1, steps, c.embedding_width});
    add("output", "Dense", {-1, steps, c.vocabulary});
    return rows;
  }
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
