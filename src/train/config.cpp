#include "attend/base/error.h"
#include "train/classification.h"
#include "train/config_fields.h"
#include "train/schema.h"

namespace attend::train {
namespace {

constexpr char kModelType[] = "attend-classifier";

/// Names of a choice, as recipes write them.
const std::vector<std::string>& names_of_choice(const char* key) {
  return choices_of(TaskKind::kClassification, key);
}

constexpr auto kClassifierFields = [](auto& f, auto& c) {
  auto& m = c.model;
  f("vocabulary", m.vocabulary);
  f("max_length", m.max_length);
  f("embedding_width", m.embedding_width);
  f("hidden", m.hidden);
  f("layers", m.layers);
  f("classes", m.classes);
  f("cell", m.cell, names_of_choice("model.cell"));
  f("attention", m.attention, names_of_choice("model.attention.kind"));
  f("bidirectional", m.bidirectional);
  f("mask_padding", m.mask_padding);
  f("dropout", m.dropout);
  f("recurrent_dropout", m.recurrent_dropout);
  f("embedding_l2", m.embedding_l2);
  f("freeze_embedding", m.freeze_embedding);
  f("label_names", c.label_names);
};

}  // namespace

std::string to_config_json(const RunConfig& config) {
  return write_config(kModelType, "Classifier", config, kClassifierFields);
}

RunConfig from_config_json(const std::string& text, const std::string& name) {
  return read_config<RunConfig>(text, name, kModelType, kClassifierFields, [](const RunConfig& c) {
    if (static_cast<std::int64_t>(c.label_names.size()) != c.model.classes)
      fail_usage(std::to_string(c.label_names.size()) + " label_names for " +
                 std::to_string(c.model.classes) + " classes");
    models::check_config(c.model);
  });
}

}  // namespace attend::train
