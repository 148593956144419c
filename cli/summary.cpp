// attend summary RECIPE|RUN: layers, output shapes, parameters, like Keras' model.summary().
#include "attend/models/summary.h"

#include <sys/stat.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/train/run.h"
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

models::ClassifierConfig config_of(const SummaryOptions& o) {
  if (is_folder(o.target)) {
    if (!o.settings.empty() || o.vocabulary || o.classes)
      fail_usage("'" + o.target +
                 "' is a trained run: --set, --vocabulary and --classes go with a recipe");
    return train::load_run(o.target).config;
  }
  train::Recipe recipe = train::load_recipe(o.target);
  for (const std::string& setting : o.settings) train::set_recipe_value(recipe, setting);
  const auto vocabulary = o.vocabulary ? *o.vocabulary
                          : recipe.data.num_words > 0
                              ? static_cast<std::uint64_t>(recipe.data.num_words - 1)
                              : std::uint64_t{10'000};
  return train::classifier_config(recipe, static_cast<std::int64_t>(vocabulary),
                                  static_cast<std::int64_t>(o.classes.value_or(2)));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + (shape[i] < 0 ? "B" : std::to_string(shape[i]));
  return text + ")";
}

int summary(Output& out, const SummaryOptions& o) {
  const models::ClassifierConfig config = config_of(o);
  const auto layers = models::summarize(config);
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
    out.document({{"model", o.target},
                  {"vocabulary", config.vocabulary},
                  {"classes", config.classes},
                  {"layers", list},
                  {"parameters", total},
                  {"trainable", trainable}});
    return 0;
  }
  Table table({Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight});
  table.head({"layer", "type", "output", "parameters"});
  for (const auto& layer : layers)
    table.row({layer.name, layer.type, shape_text(layer.shape), grouped(layer.parameters)});
  table.row({"total", "", "", grouped(total)});
  out.table(table);
  out.line("");
  out.line(grouped(trainable) + " trainable parameters, " +
           bytes_text(static_cast<double>(total) * 4) + " as float32; vocabulary " +
           grouped(config.vocabulary) +
           (is_folder(o.target) || o.vocabulary
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
              "number of words (default: 10000, or the recipe's data.num_words)");
  verb.number("--classes", o->classes, 2, 1'000'000, "number of labels (default: 2)");
  verb.example("attend summary guide/sentiment-lstm-attention --vocabulary 4000");
  verb.run([o](Output& out) { return summary(out, *o); });
}

}  // namespace attend::cli
