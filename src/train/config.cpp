#include "attend/base/error.h"
#include "train/classification.h"
#include "train/config_fields.h"
#include "train/pretrained.h"
#include "train/schema.h"

namespace attend::train {
namespace {

constexpr char kModelType[] = "attend-classifier";
constexpr char kBertModelType[] = "attend-bert-classifier";

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
  f.added("attention_width", m.attention_width);
  f("attention", m.attention, names_of_choice("model.attention.kind"));
  f("bidirectional", m.bidirectional);
  f("mask_padding", m.mask_padding);
  f("dropout", m.dropout);
  f("recurrent_dropout", m.recurrent_dropout);
  f("embedding_l2", m.embedding_l2);
  f("freeze_embedding", m.freeze_embedding);
  f("label_names", c.label_names);
};

/// Sizes under Hugging Face's names.
constexpr auto kBertFields = [](auto& f, auto& c) {
  auto& m = c.model;
  static const std::vector<std::string> activations{"none", "relu", "gelu", "gelu_new"};
  f("vocab_size", m.bert.vocabulary);
  f("hidden_size", m.bert.width);
  f("num_hidden_layers", m.bert.layers);
  f("num_attention_heads", m.bert.heads);
  f("intermediate_size", m.bert.feed_forward);
  f("hidden_act", m.bert.activation, activations);
  f("max_position_embeddings", m.bert.max_positions);
  f("type_vocab_size", m.bert.token_types);
  f("layer_norm_eps", m.bert.layer_norm_eps);
  f("begin_id", m.begin_id);
  f("end_id", m.end_id);
  f("max_length", m.max_length);
  f("pooling", m.pooling, names_of_choice("model.pooling"));
  f("classes", m.classes);
  f("dropout", m.dropout);
  f("freeze_embedding", m.freeze_embedding);
  f("label_names", c.label_names);
};

void check_run_config(const RunConfig& c) {
  if (static_cast<std::int64_t>(c.label_names.size()) != c.model.classes)
    fail_usage(std::to_string(c.label_names.size()) + " label_names for " +
               std::to_string(c.model.classes) + " classes");
  models::check_config(c.model);
}

bool is_bert(const std::string& text, const std::string& name) {
  const nlohmann::json root = data::parse_json(text, name);
  return root.is_object() && root.value("model_type", nlohmann::json()) == kBertModelType;
}

}  // namespace

std::string to_config_json(const RunConfig& config) {
  if (config.model.architecture == models::ClassifierArchitecture::kBert)
    return write_config(kBertModelType, "BertClassifier", config, kBertFields);
  return write_config(kModelType, "Classifier", config, kClassifierFields);
}

RunConfig from_config_json(const std::string& text, const std::string& name) {
  if (!is_bert(text, name))
    return read_config<RunConfig>(text, name, kModelType, kClassifierFields, check_run_config);
  RunConfig out = read_config<RunConfig>(text, name, kBertModelType, kBertFields, [](RunConfig c) {
    complete(c.model);
    check_run_config(c);
  });
  complete(out.model);
  return out;
}

}  // namespace attend::train
