#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/base/nearest.h"
#include "train/embedded_recipes.h"
#include "train/run_folder.h"
#include "train/schema.h"

namespace attend::train {
namespace {

class Reader {
 public:
  Reader(Recipe& recipe, std::string file) : recipe_(recipe), file_(std::move(file)) {}

  /// Which keys there are depends on the task's kind, so it comes first.
  void read(const toml::table& table) {
    if (const toml::table* task = table["task"].as_table()) read(*task, "task.");
    read(table, "");
  }

 private:
  void read(const toml::table& table, const std::string& prefix) {
    for (const auto& [name, node] : table) {
      const std::string key = prefix + std::string(name.str());
      if (key == "made") continue;
      if (const toml::table* inner = node.as_table(); inner && is_table(key)) {
        read(*inner, key + ".");
      } else {
        const std::string where = file_ + ":" + std::to_string(line_of(name, node)) + ": ";
        const SchemaEntry& entry = entry_of(key, inner != nullptr, where);
        entry.set(recipe_, checked(entry.spec, value_of(node, entry.spec, where), where));
      }
    }
  }

  static long line_of(const toml::key& name, const toml::node& node) {
    const auto line = name.source().begin.line;
    return static_cast<long>(line ? line : node.source().begin.line);
  }

  bool is_table(const std::string& key) const {
    const auto inside = [&](const SchemaEntry& e) {
      return applies(e.spec, recipe_.task.kind) && e.spec.key.rfind(key + ".", 0) == 0;
    };
    return std::any_of(schema().begin(), schema().end(), inside);
  }

  const SchemaEntry& entry_of(const std::string& key, bool is_a_table,
                              const std::string& where) const {
    if (!is_a_table) return schema_entry(recipe_.task.kind, key, where);
    std::vector<std::string> tables;
    for (const SchemaEntry& e : schema())
      tables.push_back(e.spec.key.substr(0, e.spec.key.rfind('.')));
    const bool known = std::any_of(schema().begin(), schema().end(),
                                   [&](const SchemaEntry& e) { return e.spec.key == key; });
    if (known) fail_usage(where + key + " is a key, not a table");
    fail_usage(where + "unknown table [" + key + "]" + did_you_mean(key, tables));
  }

  static Value value_of(const toml::node& node, const KeySpec& spec, const std::string& where) {
    if (const auto* b = node.as_boolean()) return b->get();
    if (const auto* i = node.as_integer()) return i->get();
    if (const auto* d = node.as_floating_point()) return d->get();
    if (const auto* s = node.as_string()) return s->get();
    fail_usage(where + spec.key + ": expected one value, not a list, table or date");
  }

  Recipe& recipe_;
  std::string file_;
};

bool looks_like_path(const std::string& name) {
  return name.ends_with(".toml") || name.starts_with(".") || name.starts_with("/");
}

}  // namespace

Recipe parse_recipe(const std::string& text, const std::string& file, const std::string& name) {
  if (text.size() > (1u << 20)) fail_input(file + ": a recipe is at most 1 MiB");
  Recipe recipe;
  recipe.name = name;
  try {
    const toml::table table = toml::parse(text);
    Reader(recipe, file).read(table);
    check_recipe(recipe);
  } catch (const toml::parse_error& e) {
    fail_input(file + ":" + std::to_string(e.source().begin.line) + ": " +
               std::string(e.description()));
  } catch (const Error& e) {  // a file's mistake is bad input, a command line's is usage
    const std::string what = e.what();
    fail_input(what.starts_with(file) ? what : file + ": " + what);
  }
  return recipe;
}

std::map<std::string, std::string> read_made(const std::string& text, const std::string& file) {
  std::map<std::string, std::string> out;
  try {
    const toml::table table = toml::parse(text);
    const toml::table* made = table["made"].as_table();
    if (made == nullptr) return out;
    for (const auto& [name, node] : *made) {
      if (const auto* s = node.as_string()) out[std::string(name.str())] = s->get();
      if (const auto* i = node.as_integer())
        out[std::string(name.str())] = std::to_string(i->get());
    }
  } catch (const toml::parse_error& e) {
    fail_input(file + ":" + std::to_string(e.source().begin.line) + ": " +
               std::string(e.description()));
  }
  return out;
}

std::vector<RecipeInfo> list_recipes() {
  std::vector<RecipeInfo> out;
  for (const EmbeddedRecipe& e : embedded_recipes()) {
    const Recipe r = parse_recipe(e.text, "recipes/" + std::string(e.name) + ".toml", e.name);
    const Value kind = recipe_value(r, "task.kind");
    out.push_back({r.name, std::get<std::string>(kind), r.task.description});
  }
  std::sort(out.begin(), out.end(), [](const RecipeInfo& a, const RecipeInfo& b) {
    return std::tie(a.task, a.name) < std::tie(b.task, b.name);
  });
  return out;
}

Recipe load_recipe(const std::string& name_or_path) {
  if (looks_like_path(name_or_path))
    return parse_recipe(read_file(name_or_path), name_or_path, name_or_path);
  std::vector<std::string> names;
  for (const EmbeddedRecipe& e : embedded_recipes()) {
    if (name_or_path == e.name)
      return parse_recipe(e.text, "recipes/" + name_or_path + ".toml", e.name);
    names.push_back(e.name);
  }
  fail_usage("no recipe '" + name_or_path + "'" + did_you_mean(name_or_path, names) +
             " (attend recipes lists them)");
}

}  // namespace attend::train
