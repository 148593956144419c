#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "data/json.h"
#include "train/classification.h"
#include "train/config_fields.h"

namespace attend::train {
namespace {

using nlohmann::ordered_json;

constexpr char kModelType[] = "attend-classifier";

const std::vector<std::string> kCells{"lstm", "gru"};
const std::vector<std::string> kAttentions{"none", "pool"};

}  // namespace

std::string to_config_json(const RunConfig& config) {
  const models::ClassifierConfig& m = config.model;
  ordered_json json;
  json["model_type"] = kModelType;
  json["architectures"] = {"Classifier"};
  json["attend_format_version"] = kRunFormatVersion;
  json["vocabulary"] = m.vocabulary;
  json["max_length"] = m.max_length;
  json["embedding_width"] = m.embedding_width;
  json["hidden"] = m.hidden;
  json["layers"] = m.layers;
  json["classes"] = m.classes;
  json["cell"] = kCells[static_cast<std::size_t>(m.cell)];
  json["attention"] = kAttentions[static_cast<std::size_t>(m.attention)];
  json["bidirectional"] = m.bidirectional;
  json["mask_padding"] = m.mask_padding;
  json["dropout"] = m.dropout;
  json["recurrent_dropout"] = m.recurrent_dropout;
  json["embedding_l2"] = m.embedding_l2;
  json["freeze_embedding"] = m.freeze_embedding;
  json["label_names"] = config.label_names;
  return json.dump(2) + "\n";
}

RunConfig from_config_json(const std::string& text, const std::string& name) {
  Fields fields(data::parse_json(text, name), name);
  fields.expect_model(kModelType);
  RunConfig out;
  models::ClassifierConfig& m = out.model;
  m.vocabulary = fields.whole("vocabulary");
  m.max_length = fields.whole("max_length");
  m.embedding_width = fields.whole("embedding_width");
  m.hidden = fields.whole("hidden");
  m.layers = fields.whole("layers");
  m.classes = fields.whole("classes");
  m.cell = static_cast<models::Cell>(fields.choice("cell", kCells));
  m.attention = static_cast<models::Attention>(fields.choice("attention", kAttentions));
  m.bidirectional = fields.flag("bidirectional");
  m.mask_padding = fields.flag("mask_padding");
  m.dropout = fields.real("dropout");
  m.recurrent_dropout = fields.real("recurrent_dropout");
  m.embedding_l2 = fields.real("embedding_l2");
  m.freeze_embedding = fields.flag("freeze_embedding");
  out.label_names = fields.texts("label_names");
  fields.finish();
  if (static_cast<std::int64_t>(out.label_names.size()) != m.classes)
    fail_input(name + ": " + std::to_string(out.label_names.size()) + " label_names for " +
               std::to_string(m.classes) + " classes");
  try {
    models::check_config(m);
  } catch (const Error& e) {
    fail_input(name + ": " + e.what());
  }
  return out;
}

}  // namespace attend::train
