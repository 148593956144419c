// attend summary RECIPE|RUN: layers, output shapes, parameters, like Keras' model.summary().
#include "attend/models/summary.h"

#include <sys/stat.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/train/captioning.h"
#include "attend/train/generation.h"
#include "attend/train/language.h"
#include "attend/train/run.h"
#include "attend/train/translation.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

using nlohmann::json;

struct SummaryOptions {
  std::string target;
  std::vector<std::string> settings;
  std::optional<std::uint64_t> vocabulary, classes;
};

bool is_folder(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

/// What is shown of a model, whatever it is for.
struct Described {
  std::vector<models::LayerSummary> layers;
  json sizes;             // of vocabularies and labels, by name
  std::string words;      // the same for a reader
  bool is_given = false;  // a vocabulary that no option changes
};

Described described(const models::ClassifierConfig& c) {
  return {models::summarize(c),
          {{"vocabulary", c.vocabulary}, {"classes", c.classes}},
          "vocabulary " + grouped(c.vocabulary),
          c.architecture == models::ClassifierArchitecture::kBert};
}

Described described(const models::TranslatorConfig& c) {
  return {models::summarize(c),
          {{"source_vocabulary", c.source_vocabulary}, {"target_vocabulary", c.target_vocabulary}},
          "vocabularies " + grouped(c.source_vocabulary) + " and " + grouped(c.target_vocabulary)};
}

Described described(const models::DrawConfig& c) {
  return {models::summarize(c),
          {{"height", c.height}, {"width", c.width}, {"channels", c.channels}},
          "images of " + std::to_string(c.height) + " x " + std::to_string(c.width) + ", " +
              std::to_string(c.channels) + (c.channels == 1 ? " channel" : " channels")};
}

Described described(const train::CaptioningConfig& c) {
  return {models::summarize(c.encoder, c.captioner),
          {{"vocabulary", c.captioner.vocabulary}},
          "vocabulary " + grouped(c.captioner.vocabulary)};
}

Described described(const models::LanguageConfig& c) {
  return {
      models::summarize(c), {{"vocabulary", c.vocabulary}}, "vocabulary " + grouped(c.vocabulary)};
}

Described described_run(const SummaryOptions& o) {
  if (!o.settings.empty() || o.vocabulary || o.classes)
    fail_usage("'" + o.target +
               "' is a trained run: --set, --vocabulary and --classes go with a recipe");
  const train::TaskKind kind = train::kind_of_run(o.target);
  if (kind == train::TaskKind::kTranslation)
    return described(train::load_translation(o.target).config);
  if (kind == train::TaskKind::kGeneration)
    return described(train::load_generation(o.target).config);
  if (kind == train::TaskKind::kCaptioning)
    return described(train::load_captioning(o.target).config);
  if (kind == train::TaskKind::kLanguage) return described(train::load_language(o.target).config);
  return described(train::load_run(o.target).config);
}

bool is_bert(const train::Recipe& recipe) {
  return recipe.task.kind == train::TaskKind::kClassification &&
         recipe.model.classifier == models::ClassifierArchitecture::kBert;
}

Described described_recipe(const SummaryOptions& o) {
  train::Recipe recipe = train::load_recipe(o.target);
  for (const std::string& setting : o.settings) train::set_recipe_value(recipe, setting);
  if (recipe.task.kind == train::TaskKind::kTranslation) {
    if (o.classes) fail_usage("--classes: a translator has no labels");
    const auto ids = static_cast<std::int64_t>(
        o.vocabulary.value_or(static_cast<std::uint64_t>(recipe.data.vocabulary_size)));
    return described(train::translator_config(recipe, ids, ids));
  }
  if (recipe.task.kind == train::TaskKind::kGeneration) {
    if (o.classes || o.vocabulary) fail_usage("--classes and --vocabulary: DRAW has neither");
    const std::int64_t side = recipe.data.image_size > 0 ? recipe.data.image_size : 28;
    return described(
        train::draw_config(recipe, recipe.data.colour == train::Colour::kRgb ? 3 : 1, side, side));
  }
  const auto words = static_cast<std::int64_t>(
      o.vocabulary.value_or(static_cast<std::uint64_t>(recipe.data.vocabulary_size)));
  if (recipe.task.kind == train::TaskKind::kLanguage) {
    if (o.classes) fail_usage("--classes: a language model has no labels");
    return described(train::language_config(recipe, words));
  }
  if (recipe.task.kind == train::TaskKind::kCaptioning) {
    if (o.classes) fail_usage("--classes: a captioner has no labels");
    return described(train::captioning_config(
        recipe, static_cast<std::int64_t>(o.vocabulary.value_or(
                    static_cast<std::uint64_t>(recipe.data.vocabulary_size)))));
  }
  if (o.vocabulary && is_bert(recipe))
    fail_usage("--vocabulary: a pretrained encoder brings its own");
  const auto vocabulary = o.vocabulary ? *o.vocabulary
                          : recipe.data.num_words > 0
                              ? static_cast<std::uint64_t>(recipe.data.num_words - 1)
                              : std::uint64_t{10'000};
  return described(train::classifier_config(recipe, static_cast<std::int64_t>(vocabulary),
                                            static_cast<std::int64_t>(o.classes.value_or(2))));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + (shape[i] < 0 ? "B" : std::to_string(shape[i]));
  return text + ")";
}

int summary(Output& out, const SummaryOptions& o) {
  const Described model = is_folder(o.target) ? described_run(o) : described_recipe(o);
  const auto& layers = model.layers;
  std::int64_t total = 0, trainable = 0;
  for (const auto& layer : layers) {
    total += layer.parameters;
    trainable += layer.trainable ? layer.parameters : 0;
  }
  if (out.json()) {
    auto list = json::array();
    for (const auto& layer : layers)
      list.push_back({{"name", layer.name},
                      {"type", layer.type},
                      {"shape", layer.shape},
                      {"parameters", layer.parameters},
                      {"trainable", layer.trainable}});
    json document = {
        {"model", o.target}, {"layers", list}, {"parameters", total}, {"trainable", trainable}};
    document.update(model.sizes);
    out.document(document);
    return 0;
  }
  Table table({Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight});
  table.head({"layer", "type", "output", "parameters"});
  for (const auto& layer : layers)
    table.row({layer.name, layer.type, shape_text(layer.shape), grouped(layer.parameters)});
  table.row({"total", "", "", grouped(total)});
  out.table(table);
  out.line("");
  out.line(
      grouped(trainable) + " trainable parameters, " + bytes_text(static_cast<double>(total) * 4) +
      " as float32; " + model.words +
      (is_folder(o.target) || o.vocabulary || model.is_given || model.sizes.contains("channels")
           ? ""
           : " (a run's comes from its data; --vocabulary N sets it here)"));
  return 0;
}

}  // namespace

void add_summary(Program& program) {
  const auto o = std::make_shared<SummaryOptions>();
  const Verb verb =
      program.verb("summary", "Show layers, output shapes and parameters of a recipe or a run");
  verb.positional("RECIPE|RUN", Kind::kRecipeOrRun, o->target, Need::kRequired,
                  "a recipe, or the folder of a run");
  verb.texts("--set", Kind::kKeyValue, o->settings, "change a key of the recipe");
  verb.number("--vocabulary", o->vocabulary, 1, 100'000'000,
              "number of words (default: as the recipe's data.num_words or data.vocabulary_size "
              "say, else 10000)");
  verb.number("--classes", o->classes, 2, 1'000'000,
              "number of a classifier's labels (default: 2)");
  verb.example("attend summary guide/sentiment-lstm-attention --vocabulary 4000");
  verb.example("attend summary translation/bahdanau");
  verb.run([o](Output& out) { return summary(out, *o); });
}

}  // namespace attend::cli
