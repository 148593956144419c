#include "train/config_fields.h"
#include "train/language.h"
#include "train/schema.h"

namespace attend::train {
namespace {

constexpr char kLanguageType[] = "attend-language-model";

const std::vector<std::string>& language_names(const char* key) {
  return choices_of(TaskKind::kLanguage, key);
}

constexpr auto kLanguageFields = [](auto& f, auto& c) {
  f("architecture", c.architecture, language_names("model.architecture"));
  f("vocabulary", c.vocabulary);
  f("max_length", c.max_length);
  f("embedding_width", c.embedding_width);
  f("hidden", c.hidden);
  f("layers", c.layers);
  f("dropout", c.dropout);
  f("attention_width", c.attention_width);
  f("heads", c.heads);
  f("feed_forward", c.feed_forward);
  f("norm", c.norm, language_names("model.norm"));
  f("share_embeddings", c.share_embeddings);
};

}  // namespace

models::LanguageConfig language_config(const Recipe& recipe, std::int64_t vocabulary) {
  const Recipe::Model& m = recipe.model;
  models::LanguageConfig out;
  out.architecture = m.language;
  out.vocabulary = vocabulary, out.max_length = recipe.data.row_tokens;
  out.embedding_width = m.embedding_width, out.hidden = m.hidden, out.layers = m.layers;
  out.dropout = m.dropout, out.attention_width = m.attention_width;
  out.heads = m.heads, out.feed_forward = m.feed_forward, out.norm = m.norm;
  out.share_embeddings = m.share_embedding;
  return out;
}

std::string to_config_json(const models::LanguageConfig& c) {
  return write_config(kLanguageType, "LanguageModel", c, kLanguageFields);
}

models::LanguageConfig language_from_config_json(const std::string& text, const std::string& name) {
  return read_config<models::LanguageConfig>(text, name, kLanguageType, kLanguageFields,
                                             [](const auto& c) { models::check_config(c); });
}

}  // namespace attend::train
