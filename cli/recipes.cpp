// attend recipes: what can be trained.
#include <memory>
#include <nlohmann/json.hpp>

#include "attend/train/recipe.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

using nlohmann::json;

json value_document(const train::Value& value) {
  return std::visit([](const auto& v) { return json(v); }, value);
}

void print_list(Output& out) {
  const auto recipes = train::list_recipes();
  if (out.json()) {
    auto list = json::array();
    for (const auto& r : recipes)
      list.push_back({{"name", r.name}, {"task", r.task}, {"description", r.description}});
    return out.document({{"recipes", list}});
  }
  Table table({Align::kLeft, Align::kLeft});
  std::string task;
  for (const auto& r : recipes) {
    if (r.task != task) table.row({(task.empty() ? "" : "\n") + r.task});
    task = r.task;
    table.row({"  " + r.name, r.description});
  }
  out.table(table);
}

void print_keys(Output& out) {
  if (!out.json()) return out.raw(train::recipe_schema_markdown());
  auto keys = json::array();
  for (const auto& spec : train::recipe_schema()) {
    json key = {
        {"key", spec.key}, {"default", value_document(spec.default_value)}, {"doc", spec.doc}};
    for (const train::TaskKind kind : spec.tasks) key["tasks"].push_back(train::task_name(kind));
    if (spec.type == train::ValueType::kChoice) key["choices"] = spec.choices;
    if (spec.type == train::ValueType::kInteger || spec.type == train::ValueType::kReal)
      key["range"] = {spec.minimum, spec.maximum};
    keys.push_back(key);
  }
  out.document({{"keys", keys}});
}

void print_one(Output& out, const std::string& name) {
  const train::Recipe recipe = train::load_recipe(name);
  if (!out.json()) return out.raw(train::to_toml(recipe));
  json values = json::object();
  for (const auto& spec : train::recipe_schema())
    if (train::applies(spec, recipe.task.kind))
      values[spec.key] = value_document(train::recipe_value(recipe, spec.key));
  out.document({{"name", recipe.name}, {"values", values}});
}

}  // namespace

void add_recipes(Program& program) {
  struct Options {
    std::string name;
    bool keys = false;
  };
  const auto o = std::make_shared<Options>();
  const Verb verb = program.verb("recipes", "List every recipe, one line each, grouped by task");
  verb.positional("RECIPE", Kind::kRecipe, o->name, Need::kOptional,
                  "print this recipe with every key");
  verb.flag("--keys", o->keys, "list every key of a recipe with its range, default and meaning");
  verb.example("attend recipes").example("attend recipes guide/sentiment-lstm");
  verb.run([o](Output& out) {
    if (o->keys)
      print_keys(out);
    else if (!o->name.empty())
      print_one(out, o->name);
    else
      print_list(out);
    return 0;
  });
}

}  // namespace attend::cli
