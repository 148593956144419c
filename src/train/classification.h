#pragma once
#include <memory>
#include <string>
#include <vector>

#include "attend/models/classifier.h"
#include "attend/train/recipe.h"
#include "train/task.h"

namespace attend::train {

std::unique_ptr<Task> make_classification(const Recipe& recipe);

/// config.json of a run, and back. `name` is the file in messages; every field is checked.
struct RunConfig {
  models::ClassifierConfig model;
  std::vector<std::string> label_names;
};
std::string to_config_json(const RunConfig& config);
RunConfig from_config_json(const std::string& text, const std::string& name);

/// Probabilities [N,classes] and attention weights [N,T] (undefined without attention) without dropout, in batches.
struct Outputs {
  at::Tensor probabilities, weights;
};
Outputs run_batches(models::Classifier& classifier, const models::ClassifierBatch& batch);

}  // namespace attend::train
