#include <nlohmann/json.hpp>

#include "data/json.h"
#include "train/config_fields.h"
#include "train/translation.h"

namespace attend::train {
namespace {

constexpr char kTranslatorType[] = "attend-translator";
const std::vector<std::string> kArchitectures{"bahdanau", "luong", "transformer"};
const std::vector<std::string> kScores{"additive", "dot",        "general", "concat",
                                       "location", "scaled-dot", "cosine"};
const std::vector<std::string> kSpans{"global", "local-m", "local-p"};
const std::vector<std::string> kNorms{"first", "last"};
const std::vector<std::string> kShared{"none", "target", "all"};

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
  if (m.architecture == models::Architecture::kTransformer &&
      m.share_embeddings == models::SharedEmbeddings::kAll && !recipe.data.share_vocabulary)
    fail_usage(
        "model.share_embeddings is all: source and target must have one vocabulary "
        "(data.share_vocabulary = true)");
  return out;
}

std::string to_config_json(const models::TranslatorConfig& c) {
  nlohmann::ordered_json json;
  json["model_type"] = kTranslatorType;
  json["architectures"] = {"Translator"};
  json["attend_format_version"] = kRunFormatVersion;
  json["architecture"] = kArchitectures[static_cast<std::size_t>(c.architecture)];
  json["source_vocabulary"] = c.source_vocabulary;
  json["target_vocabulary"] = c.target_vocabulary;
  json["max_length"] = c.max_length;
  json["embedding_width"] = c.embedding_width;
  json["hidden"] = c.hidden;
  json["layers"] = c.layers;
  json["dropout"] = c.dropout;
  json["attention"] = c.attention;
  json["score"] = kScores[static_cast<std::size_t>(c.score)];
  json["span"] = kSpans[static_cast<std::size_t>(c.span)];
  json["window"] = c.window;
  json["attention_width"] = c.attention_width;
  json["input_feeding"] = c.input_feeding;
  json["reverse_source"] = c.reverse_source;
  json["heads"] = c.heads;
  json["feed_forward"] = c.feed_forward;
  json["norm"] = kNorms[static_cast<std::size_t>(c.norm)];
  json["share_embeddings"] = kShared[static_cast<std::size_t>(c.share_embeddings)];
  return json.dump(2) + "\n";
}

models::TranslatorConfig translator_from_config_json(const std::string& text,
                                                     const std::string& name) {
  Fields fields(data::parse_json(text, name), name);
  fields.expect_model(kTranslatorType);
  models::TranslatorConfig c;
  c.architecture = static_cast<models::Architecture>(fields.choice("architecture", kArchitectures));
  c.source_vocabulary = fields.whole("source_vocabulary");
  c.target_vocabulary = fields.whole("target_vocabulary");
  c.max_length = fields.whole("max_length");
  c.embedding_width = fields.whole("embedding_width");
  c.hidden = fields.whole("hidden");
  c.layers = fields.whole("layers");
  c.dropout = fields.real("dropout");
  c.attention = fields.flag("attention");
  c.score = static_cast<nn::Score>(fields.choice("score", kScores));
  c.span = static_cast<nn::Span>(fields.choice("span", kSpans));
  c.window = fields.whole("window");
  c.attention_width = fields.whole("attention_width");
  c.input_feeding = fields.flag("input_feeding");
  c.reverse_source = fields.flag("reverse_source");
  c.heads = fields.whole("heads");
  c.feed_forward = fields.whole("feed_forward");
  c.norm = static_cast<models::NormPlace>(fields.choice("norm", kNorms));
  c.share_embeddings =
      static_cast<models::SharedEmbeddings>(fields.choice("share_embeddings", kShared));
  fields.finish();
  try {
    models::check_config(c);
  } catch (const Error& e) {
    fail_input(name + ": " + e.what());
  }
  return c;
}

}  // namespace attend::train
