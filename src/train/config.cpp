#include "attend/base/error.h"
#include "data/json.h"
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

template <class F, class C>
void visit_classifier_fields(F& f, C& c) {
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
}

}  // namespace

std::string to_config_json(const RunConfig& config) {
  ConfigWriter writer(kModelType, "Classifier");
  visit_classifier_fields(writer, config);
  return writer.text();
}

RunConfig from_config_json(const std::string& text, const std::string& name) {
  Fields fields(data::parse_json(text, name), name);
  fields.expect_model(kModelType);
  RunConfig out;
  visit_classifier_fields(fields, out);
  const models::ClassifierConfig& m = out.model;
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
