#include "attend/models/language_model.h"
#include "attend/models/summary.h"

namespace attend::models {

std::vector<LayerSummary> summarize(const LanguageConfig& c) {
  const NamedTensors all = make_language_model(c, 0)->parameters();
  std::vector<LayerSummary> rows;
  const auto add = [&](const std::string& name, const std::string& type, std::int64_t width) {
    std::int64_t n = 0;
    for (const auto& [parameter, tensor] : all)
      if (parameter.starts_with(name + ".")) n += tensor.numel();
    rows.push_back({name, type, {-1, c.max_length, width}, n, true});
  };
  add("embedding", "Embedding", c.embedding_width);
  const std::string times = c.layers == 1 ? "" : " × " + std::to_string(c.layers);
  switch (c.architecture) {
    case LanguageArchitecture::kLstm:
      add("lstm", "LSTM" + times, c.hidden);
      break;
    case LanguageArchitecture::kLstmn:
      add("lstmn", "LSTMN" + times, c.hidden);
      break;
    case LanguageArchitecture::kTransformer:
      add("transformer", "TransformerEncoderLayer" + times, c.embedding_width);
      break;
  }
  add("output", "Dense", c.vocabulary);
  return rows;
}

}  // namespace attend::models
