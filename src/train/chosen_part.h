#pragma once
#include <functional>
#include <string>

#include "attend/train/recipe.h"
#include "train/task.h"

/// Which rows a finished run is measured on, for tasks whose data come in three parts.
namespace attend::train {

/// "train", "validation", "test".
const std::string& part_name(Part part);

/// The part of `data` that `split` names; "": the first of test, validation, train that has rows, by whose name `split` is then
/// replaced. Throws kUsage on a part that is unknown or has no `rows` ("pairs", "images", …).
Part chosen_part(std::string& split, const std::string& data, const std::string& rows,
                 const std::function<bool(Part)>& has_rows);

/// That part of a corpus with the members train, validation and test.
template <class Corpus>
auto& part_of(Corpus& corpus, Part part) {
  return part == Part::kTrain        ? corpus.train
         : part == Part::kValidation ? corpus.validation
                                     : corpus.test;
}

/// A run's recipe on `data` ("" = its own): of other data nothing is cut off for validation or test.
Recipe recipe_on(const Recipe& recipe, const std::string& data);

}  // namespace attend::train
