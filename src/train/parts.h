#pragma once
#include <string>
#include <vector>

#include "attend/data/dataset.h"
#include "attend/train/recipe.h"

namespace attend::train {

/// The rows of a recipe: data.name parted as [data] says, with data.extra added to the training rows. Parts that a data set
/// brings are used as they are, except by split = folds, which parts all rows anew.
struct Parts {
  data::Dataset train, validation, test;
  std::vector<std::string> notes;
};
Parts load_parts(const Recipe& recipe);

/// Labels of `set` as places in `names`; throws kBadInput on a label that is not among them.
void rename_labels(data::Dataset& set, const std::vector<std::string>& names);

}  // namespace attend::train
