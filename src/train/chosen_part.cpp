#include "train/chosen_part.h"

#include <algorithm>
#include <vector>

#include "attend/base/error.h"
#include "attend/base/nearest.h"

namespace attend::train {
namespace {

const std::vector<std::string> kPartNames{"train", "validation", "test"};  // by Part

}  // namespace

const std::string& part_name(Part part) { return kPartNames[static_cast<std::size_t>(part)]; }

Part chosen_part(std::string& split, const std::string& data, const std::string& rows,
                 const std::function<bool(Part)>& has_rows) {
  if (split.empty()) {
    Part part = Part::kTrain;
    for (const Part later : {Part::kValidation, Part::kTest})
      if (has_rows(later)) part = later;
    split = part_name(part);
  }
  const auto found = std::find(kPartNames.begin(), kPartNames.end(), split);
  if (found == kPartNames.end())
    fail_usage("no split '" + split + "' of " + data + did_you_mean(split, kPartNames));
  const auto part = static_cast<Part>(found - kPartNames.begin());
  if (!has_rows(part))
    fail_usage(data + " has no " + split + " " + rows + " under this run's recipe");
  return part;
}

Recipe recipe_on(const Recipe& recipe, const std::string& data) {
  Recipe out = recipe;
  if (!data.empty() && data != recipe.data.name)
    out.data.name = data, out.data.validation = out.data.test = 0;
  return out;
}

}  // namespace attend::train
