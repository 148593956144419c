#pragma once
#include <string>
#include <vector>

namespace attend::train {

struct EmbeddedRecipe {
  const char* name;  // "guide/sentiment-lstm"
  const char* text;  // the TOML file
};

/// recipes/**.toml, compiled in by embed_recipes.cmake.
const std::vector<EmbeddedRecipe>& embedded_recipes();

}  // namespace attend::train
