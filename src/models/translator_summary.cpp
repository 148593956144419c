#include "attend/models/summary.h"
#include "attend/models/translator.h"

namespace attend::models {
namespace {

/// Values in the parameters whose name begins with `layer` and a point; a side's embedding is a layer of its own.
std::int64_t parameters_of(const NamedTensors& all, const std::string& layer) {
  std::int64_t n = 0;
  for (const auto& [name, tensor] : all)
    if (name.starts_with(layer + ".") && !name.starts_with(layer + ".embedding."))
      n += tensor.numel();
  return n;
}

std::string stacked(const std::string& cell, std::int64_t layers) {
  return layers == 1 ? cell : cell + " × " + std::to_string(layers);
}

/// A table that both sides or the projection share stands where it is first used and counts once.
std::vector<LayerSummary> transformer_rows(const TranslatorConfig& c, const NamedTensors& all) {
  std::vector<LayerSummary> rows;
  const auto add = [&](const char* name, const std::string& type, std::int64_t width) {
    rows.push_back({name, type, {-1, c.max_length, width}, parameters_of(all, name), true});
  };
  const std::int64_t width = c.embedding_width;
  const bool shared = parameters_of(all, "embedding") > 0;
  add(shared ? "embedding" : "encoder.embedding", "Embedding", width);
  add("encoder", stacked("TransformerEncoderLayer", c.layers), width);
  if (!shared) add("decoder.embedding", "Embedding", width);
  add("decoder", stacked("TransformerDecoderLayer", c.layers), width);
  add("output", "Dense", c.target_vocabulary);
  return rows;
}

std::vector<LayerSummary> lstmn_rows(const TranslatorConfig& c, const NamedTensors& all) {
  std::vector<LayerSummary> rows;
  const auto add = [&](const char* name, const std::string& type, std::int64_t width) {
    rows.push_back({name, type, {-1, c.max_length, width}, parameters_of(all, name), true});
  };
  const bool deep = c.fusion == Fusion::kDeep;
  add("encoder.embedding", "Embedding", c.embedding_width);
  add("encoder.lstmn", "LSTMN", c.hidden);
  add("decoder.embedding", "Embedding", c.embedding_width);
  add("decoder.lstmn", "LSTMN", c.hidden);
  add("attention", deep ? "Deep fusion" : "Alignment", c.hidden);
  if (!deep) add("attentional", "Dense(tanh)", c.hidden);
  add("output", "Dense", c.target_vocabulary);
  return rows;
}

}  // namespace

std::vector<LayerSummary> summarize(const TranslatorConfig& c) {
  const NamedTensors all = make_translator(c, 0)->parameters();
  if (c.architecture == Architecture::kLstmn) return lstmn_rows(c, all);
  if (c.architecture == Architecture::kTransformer) return transformer_rows(c, all);
  const bool bahdanau = c.architecture == Architecture::kBahdanau;
  const std::int64_t steps = c.max_length, e = c.embedding_width, h = c.hidden;
  std::vector<LayerSummary> rows;
  const auto add = [&](const char* name, const std::string& type, std::int64_t width) {
    rows.push_back({name, type, {-1, steps, width}, parameters_of(all, name), true});
  };
  add("encoder.embedding", "Embedding", e);
  if (bahdanau) {
    add("encoder.gru", "Bidirectional(GRU)", 2 * h);
    add("decoder.initial", "Dense(tanh)", h);
    rows.back().shape = {-1, h};
  } else {
    add("encoder.lstm", stacked("LSTM", c.layers), h);
  }
  add("decoder.embedding", "Embedding", e);
  if (!bahdanau) add("decoder.lstm", stacked("LSTM", c.layers), h);
  if (c.attention) add("attention", "Alignment", bahdanau ? 2 * h : h);
  if (bahdanau) {
    add("decoder.gru", "GRU", h);
    add("readout", "Maxout", e);
  } else if (c.attention) {
    add("attentional", "Dense(tanh)", h);
  }
  add("output", "Dense", c.target_vocabulary);
  return rows;
}

}  // namespace attend::models
