#pragma once
#include <attend/models/captioner.h>
#include <attend/models/classifier.h>
#include <attend/models/draw.h>
#include <attend/models/image_encoder.h>
#include <attend/models/language_model.h>
#include <attend/models/translator.h>

#include <cstdint>
#include <string>
#include <vector>

namespace attend::models {

/// One row of a table like Keras' model.summary().
struct LayerSummary {
  std::string name;  // "embedding", "lstm", "attention", "dense", …
  std::string type;  // "Embedding", "LSTM", "Bidirectional(LSTM)", "AttentionPool", …
  std::vector<std::int64_t> shape;  // output shape, −1 for the batch
  std::int64_t parameters = 0;
  bool trainable = true;
};

/// The layers in order. The same parameter counts as the built model and as Keras; builds no
/// tensor.
std::vector<LayerSummary> summarize(const ClassifierConfig& config);

/// The same of a translator, in the order that a token takes; sources and targets have max_length steps, and attention's output
/// is the context. Builds the model and counts its parameters. Throws kUsage as make_translator.
std::vector<LayerSummary> summarize(const TranslatorConfig& config);

/// The same of DRAW, in the order of a step. Builds no tensor.
std::vector<LayerSummary> summarize(const DrawConfig& config);
/// The same of a captioner with its encoder; captions have max_length words and an end. Throws kUsage as the models do.
std::vector<LayerSummary> summarize(const ImageEncoderConfig& encoder,
                                    const CaptionerConfig& captioner);
/// The same of a language model, whose rows have max_length steps.
std::vector<LayerSummary> summarize(const LanguageConfig& config);

}  // namespace attend::models
