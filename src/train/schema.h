#pragma once
#include <functional>
#include <string>
#include <vector>

#include "attend/train/recipe.h"

namespace attend::train {

/// A key, and the way to its field in a Recipe.
struct SchemaEntry {
  KeySpec spec;
  std::function<Value(const Recipe&)> get;
  std::function<void(Recipe&, const Value&)> set;  // of a checked value
};

const std::vector<SchemaEntry>& schema();

/// Throws kUsage with the nearest key, or saying whose key it is; `where` begins the message ("file:12: " or "").
const SchemaEntry& schema_entry(TaskKind kind, const std::string& key,
                                const std::string& where = "");

/// The value as this key holds it (an integer becomes a real where one is expected), or kUsage naming key,
/// expectation and what was given.
Value checked(const KeySpec& spec, const Value& value, const std::string& where = "");

/// The names that a choice may take, in the order of its enum's values.
const std::vector<std::string>& choices_of(TaskKind kind, const std::string& key);

/// Rules that tie keys together (validation + test below 1, fold below folds …); throws kUsage.
void check_recipe(const Recipe& recipe);

}  // namespace attend::train
