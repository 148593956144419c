#include <iomanip>
#include <sstream>

#include "train/run_folder.h"

namespace attend::train {
namespace {

using Names = std::vector<std::string>;

/// Those that the training measured.
Names columns_of(const TrainResult& result) {
  Names out;
  for (const char* name :
       {"accuracy", "f1", "bleu", "exact_match", "pointing", "bleu4", "cider", "perplexity",
        "bits_per_character", "elbo_nats", "reconstruction_nats", "kl_nats", "loss"})
    if (result.train.contains(name) || result.validation.contains(name) ||
        result.test.contains(name))
      out.push_back(name);
  return out;
}

void row(std::ostringstream& out, const char* part, std::int64_t rows, const Metrics& metrics,
         const Names& columns) {
  if (rows == 0) return;
  out << "| " << part << " | " << rows << " |";
  for (const std::string& name : columns) {
    const auto found = metrics.find(name);
    if (found == metrics.end())
      out << " |";
    else
      out << " " << std::fixed << std::setprecision(4) << found->second << " |";
  }
  out << "\n";
}

/// What the Hugging Face hub calls the task.
std::string pipeline_tag(TaskKind kind) {
  switch (kind) {
    case TaskKind::kClassification:
      return "text-classification";
    case TaskKind::kTranslation:
      return "translation";
    case TaskKind::kLanguage:
      return "text-generation";
    case TaskKind::kCaptioning:
      return "image-to-text";
    case TaskKind::kGeneration:
      return "unconditional-image-generation";
  }
  return "other";
}

std::string what_loss_is(TaskKind kind) {
  if (kind == TaskKind::kGeneration)
    return "loss is elbo_nats, the mean over images of an upper bound on −log p(x) in nats: the "
           "sum of "
           "reconstruction_nats and kl_nats; lower is better. ";
  return "loss is the mean cross-entropy in nats, without the regulariser. ";
}

std::string what_it_knows(TaskKind kind) {
  if (kind == TaskKind::kGeneration)
    return "The model draws what its training images show and nothing else. ";
  const std::string own = kind == TaskKind::kCaptioning ? "images" : "texts";
  return "The model knows the words and the tone of its training data and no others; check it on "
         "your own " +
         own + " before it decides anything.";
}

}  // namespace

std::string model_card(const Recipe& recipe, const TrainResult& result) {
  std::ostringstream out;
  out << "---\nlibrary_name: attend\npipeline_tag: " << pipeline_tag(recipe.task.kind)
      << "\n---\n# " << recipe.name << "\n\n";
  if (!recipe.task.description.empty())
    out << "A model of attend: " << recipe.task.description << ". ";
  out << result.parameters << " parameters, trained for " << result.epochs << " epochs on `"
      << recipe.data.name << "`, seed " << result.seed;
  if (result.best_epoch != result.epochs)
    out << "; the weights are those of epoch " << result.best_epoch;
  const Names columns = columns_of(result);
  out << ".\n\n| part | rows |";
  for (const std::string& name : columns) out << " " << name << " |";
  out << "\n|---|---|";
  for (std::size_t i = 0; i < columns.size(); ++i) out << "---|";
  out << "\n";
  row(out, "training, as it went", result.rows_train, result.train, columns);
  row(out, "validation", result.rows_validation, result.validation, columns);
  row(out, "test", result.rows_test, result.test, columns);
  out << "\n" << what_loss_is(recipe.task.kind);
  if (result.rows_validation > 0)
    out << "Validation rows guided whoever chose this recipe, so their figures flatter; test rows "
           "were not looked at. ";
  out << what_it_knows(recipe.task.kind)
      << "\n\n"
         "`recipe.toml` holds every setting: `attend train recipe.toml` repeats the training, to "
         "the last bit on "
         "the same machine with the same number of threads. `SHA256SUMS` guards the files.\n";
  return out.str();
}

}  // namespace attend::train
