#include "train/config_fields.h"
#include "train/schema.h"
#include "train/translation.h"

namespace attend::train {
namespace {

constexpr char kTranslatorType[] = "attend-translator";

/// Names of a choice, as recipes write them.
const std::vector<std::string>& translator_names(const char* key) {
  return choices_of(TaskKind::kTranslation, key);
}

constexpr auto kTranslatorFields = [](auto& f, auto& c) {
  f("architecture", c.architecture, translator_names("model.architecture"));
  f("source_vocabulary", c.source_vocabulary);
  f("target_vocabulary", c.target_vocabulary);
  f("max_length", c.max_length);
  f("embedding_width", c.embedding_width);
  f("hidden", c.hidden);
  f("layers", c.layers);
  f("dropout", c.dropout);
  f("attention", c.attention);
  f("score", c.score, translator_names("model.attention.score"));
  f("span", c.span, translator_names("model.attention.span"));
  f("window", c.window);
  f("attention_width", c.attention_width);
  f("input_feeding", c.input_feeding);
  f("reverse_source", c.reverse_source);
  f("heads", c.heads);
  f("feed_forward", c.feed_forward);
  f("norm", c.norm, translator_names("model.norm"));
  f("share_embeddings", c.share_embeddings, translator_names("model.share_embeddings"));
  f.added("fusion", c.fusion, translator_names("model.attention.fusion"));
  f.added("choice", c.choice, translator_names("model.attention.choice"));
  f.added("temperature", c.temperature);
  f.added("reward_weight", c.reward_weight);
  f.added("entropy_weight", c.entropy_weight);
  f.added("expected_share", c.expected_share);
};

}  // namespace

models::TranslatorConfig translator_config(const Recipe& recipe, std::int64_t source_vocabulary,
                                           std::int64_t target_vocabulary) {
  const Recipe::Model& m = recipe.model;
  models::TranslatorConfig out;
  out.architecture = m.architecture;
  out.source_vocabulary = source_vocabulary, out.target_vocabulary = target_vocabulary;
  out.max_length = recipe.data.max_tokens;
  out.embedding_width = m.embedding_width, out.hidden = m.hidden, out.layers = m.layers;
  out.dropout = m.dropout;
  out.attention = m.attend, out.score = m.score, out.span = m.span;
  out.window = m.window, out.attention_width = m.attention_width;
  out.input_feeding = m.input_feeding, out.reverse_source = m.reverse_source;
  out.heads = m.heads, out.feed_forward = m.feed_forward, out.norm = m.norm;
  out.share_embeddings = m.share_embeddings;
  out.fusion = m.fusion, out.choice = m.choice, out.temperature = m.temperature;
  out.reward_weight = recipe.train.reward_weight;
  out.entropy_weight = recipe.train.entropy_weight;
  out.expected_share = recipe.train.expected_share;
  if (m.architecture == models::Architecture::kTransformer &&
      m.share_embeddings == models::SharedEmbeddings::kAll && !recipe.data.share_vocabulary)
    fail_usage(
        "model.share_embeddings is all: source and target must have one vocabulary "
        "(data.share_vocabulary = true)");
  return out;
}

std::string to_config_json(const models::TranslatorConfig& c) {
  return write_config(kTranslatorType, "Translator", c, kTranslatorFields);
}

models::TranslatorConfig translator_from_config_json(const std::string& text,
                                                     const std::string& name) {
  return read_config<models::TranslatorConfig>(text, name, kTranslatorType, kTranslatorFields,
                                               [](const auto& c) { models::check_config(c); });
}

}  // namespace attend::train
