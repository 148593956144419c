#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/nearest.h"
#include "data/json.h"
#include "train/classification.h"

namespace attend::train {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t kRunFormatVersion = 1;
constexpr char kModelType[] = "attend-classifier";

/// Takes checked fields out of an object; what is left over at the end is unknown.
class Fields {
 public:
  Fields(nlohmann::json object, std::string name)
      : object_(std::move(object)), name_(std::move(name)) {
    if (!object_.is_object()) fail_input(name_ + ": expected an object");
  }

  const nlohmann::json& at(const char* key) {
    known_.push_back(key);
    const auto found = object_.find(key);
    if (found == object_.end()) fail_input(name_ + ": '" + key + "' is missing");
    return *found;
  }
  std::int64_t whole(const char* key) {
    const nlohmann::json& v = at(key);
    if (!v.is_number_integer() || (v.is_number_unsigned() && v.get<std::uint64_t>() > INT64_MAX))
      refuse(key, "a whole number");
    return v.get<std::int64_t>();
  }
  double real(const char* key) {
    if (!at(key).is_number()) refuse(key, "a number");
    return at(key).get<double>();
  }
  bool flag(const char* key) {
    if (!at(key).is_boolean()) refuse(key, "true or false");
    return at(key).get<bool>();
  }
  std::string text(const char* key) {
    if (!at(key).is_string()) refuse(key, "text");
    return at(key).get<std::string>();
  }
  std::vector<std::string> texts(const char* key) {
    std::vector<std::string> out;
    if (!at(key).is_array()) refuse(key, "a list of texts");
    for (const nlohmann::json& v : at(key)) {
      if (!v.is_string()) refuse(key, "a list of texts");
      out.push_back(v.get<std::string>());
    }
    return out;
  }
  std::size_t choice(const char* key, const std::vector<std::string>& names) {
    const std::string value = text(key);
    for (std::size_t i = 0; i < names.size(); ++i)
      if (names[i] == value) return i;
    fail_input(name_ + ": '" + key + "' is '" + value + "'" + did_you_mean(value, names));
  }
  void finish() const {
    for (const auto& item : object_.items())
      if (std::find(known_.begin(), known_.end(), item.key()) == known_.end())
        fail_input(name_ + ": unknown key '" + item.key() + "'" + did_you_mean(item.key(), known_));
  }

 private:
  [[noreturn]] void refuse(const char* key, const char* expected) const {
    fail_input(name_ + ": '" + key + "' must be " + expected);
  }
  nlohmann::json object_;
  std::string name_;
  std::vector<std::string> known_;
};

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
  if (const std::string type = fields.text("model_type"); type != kModelType)
    fail_input(name + ": model_type is '" + type + "', this version reads '" + kModelType + "'");
  if (const auto version = fields.whole("attend_format_version"); version != kRunFormatVersion)
    fail_input(name + ": attend_format_version is " + std::to_string(version) +
               ", this version reads " + std::to_string(kRunFormatVersion));
  fields.texts("architectures");
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
