#include "attend/train/trainer.h"

#include <csignal>
#include <cstdlib>
#include <optional>

#include "attend/base/threads.h"
#include "attend/ops/machine.h"
#include "train/captioning.h"
#include "train/classification.h"
#include "train/generation.h"
#include "train/language.h"
#include "train/schema.h"
#include "train/training.h"
#include "train/translation.h"

namespace attend::train {

std::unique_ptr<Task> make_task(const Recipe& recipe) {
  switch (recipe.task.kind) {
    case TaskKind::kClassification:
      return make_classification(recipe);
    case TaskKind::kTranslation:
      return make_translation(recipe);
    case TaskKind::kLanguage:
      return make_language(recipe);
    case TaskKind::kCaptioning:
      return make_captioning(recipe);
    case TaskKind::kGeneration:
      return make_generation(recipe);
  }
  fail_usage("task.kind is unknown");
}

namespace {

void tell_notes(const TrainOptions& options, const Task& task) {
  if (!options.on_note) return;
  for (const std::string& note : task.notes()) options.on_note(note);
}

/// A recipe that only its data show to be impossible.
void check_rows(const Recipe& recipe, const Task& task) {
  if (recipe.train.patience > 0 && task.rows(Part::kValidation) == 0)
    fail_usage(
        "train.early_stopping.patience needs validation rows: set data.validation, or patience to "
        "0");
}

TrainResult begin(const TrainOptions& options) {
  Recipe recipe = options.recipe;
  if (!options.data.empty()) recipe.data.name = options.data;
  check_recipe(recipe);
  use_threads(options.threads);
  std::unique_ptr<Task> task = make_task(recipe);
  check_rows(recipe, *task);
  tell_notes(options, *task);
  const RunFolder folder = RunFolder::create(options.out, recipe, threads());
  return Trainer(options, recipe, folder, std::move(task), threads()).run();
}

int threads_of(const MadeRecipe& made, const std::string& run) {
  const auto found = made.made.find("threads");
  const int n = found == made.made.end() ? 0 : std::atoi(found->second.c_str());
  if (n < 1)
    fail_input(run + "/recipe.toml: [made] lacks threads, the number the training began with");
  return n;
}

TrainResult resume(const TrainOptions& options) {
  std::string run = options.resume;
  while (run.size() > 1 && run.back() == '/') run.pop_back();
  if (is_finished_run(run)) {
    TrainResult out = read_result(run);
    out.finished_before = true;
    return out;
  }
  if (!is_unfinished_run(run))
    fail_usage(run + " is not a run that was begun: it lacks recipe.toml or checkpoints/");
  const MadeRecipe made = read_made_recipe(run);
  const int began_with = threads_of(made, run);
  if (options.threads > 0 && options.threads != began_with)
    fail_usage(run + " began with " + std::to_string(began_with) +
               " threads and goes on bit for bit only with as "
               "many; leave --threads out");
  use_threads(began_with);
  const RunFolder folder(run);
  const std::optional<Checkpoint> checkpoint = read_checkpoint(folder.checkpoints());
  std::unique_ptr<Task> task = make_task(made.recipe);
  check_rows(made.recipe, *task);
  tell_notes(options, *task);
  Trainer trainer(options, made.recipe, folder, std::move(task), began_with);
  if (checkpoint) trainer.restore(*checkpoint);
  return trainer.run();
}

}  // namespace

Interrupted::Interrupted(int signal, const std::string& run)
    : Error(ErrorKind::kFailure, std::string("stopped by ") +
                                     (signal == SIGINT    ? "SIGINT"
                                      : signal == SIGTERM ? "SIGTERM"
                                                          : "a signal") +
                                     "; continue with: attend train --resume " + run),
      signal_(signal),
      run_(run) {}

TrainResult train(const TrainOptions& options) {
  return options.resume.empty() ? begin(options) : resume(options);
}

}  // namespace attend::train
