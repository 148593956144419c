#include "attend/train/trainer.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string_view>

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

bool is_first(const TrainOptions& options) {
  return options.ranks == nullptr || options.ranks->first();
}

int ranks_of(const TrainOptions& options) {
  return options.ranks == nullptr ? 1 : options.ranks->size();
}

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

/// Ranks on one machine share its cores.
void use_share_of_threads(const TrainOptions& options) {
  use_threads(options.threads);
  if (options.threads <= 0 && options.ranks != nullptr)
    use_threads(std::max(1, threads() / options.ranks->local_size()));
}

/// What every rank does before the training: where one fails, all do.
void set_up(Ranks* ranks, const std::function<void()>& act) {
  if (ranks == nullptr)
    act();
  else
    ranks->together(act);
}

TrainResult begin(const TrainOptions& options) {
  Recipe recipe = options.recipe;
  std::unique_ptr<Task> task;
  std::string run;
  set_up(options.ranks, [&] {
    if (!options.data.empty()) recipe.data.name = options.data;
    check_recipe(recipe);
    use_share_of_threads(options);
    task = make_task(recipe);
    check_rows(recipe, *task);
    if (!is_first(options)) return;
    tell_notes(options, *task);
    run = RunFolder::create(options.out, recipe, threads(), ranks_of(options)).path();
  });
  if (options.ranks != nullptr) run = options.ranks->text_of_first(run);
  return Trainer(options, recipe, RunFolder(run), std::move(task), threads()).run();
}

/// How many threads or ranks the training began with.
int made_with(const char* key, const MadeRecipe& made, const std::string& run) {
  const auto found = made.made.find(key);
  if (found == made.made.end() && std::string_view(key) == "ranks") return 1;
  const int n = found == made.made.end() ? 0 : std::atoi(found->second.c_str());
  if (n < 1)
    fail_input(run + "/recipe.toml: [made] lacks " + key + ", the number the training began with");
  return n;
}

/// A run goes on bit for bit only as it began.
void check_made_with(const TrainOptions& options, const MadeRecipe& made, const std::string& run) {
  const int with = made_with("threads", made, run), ranks = made_with("ranks", made, run);
  if (options.threads > 0 && options.threads != with)
    fail_usage(run + " began with " + std::to_string(with) +
               " threads and goes on bit for bit only with as "
               "many; leave --threads out");
  if (ranks != ranks_of(options))
    fail_usage(
        run + " began with " + std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks") +
        " and goes on bit for bit only with as many; continue with: " + resume_command(run, ranks));
}

/// The trainer of an unfinished run where it stopped.
std::unique_ptr<Trainer> trainer_of(const TrainOptions& options, const std::string& run) {
  if (!is_unfinished_run(run))
    fail_usage(run + " is not a run that was begun: it lacks recipe.toml or checkpoints/");
  const MadeRecipe made = read_made_recipe(run);
  check_made_with(options, made, run);
  const int began_with = made_with("threads", made, run);
  use_threads(began_with);
  const RunFolder folder(run);
  const std::optional<Checkpoint> checkpoint = read_checkpoint(folder.checkpoints());
  std::unique_ptr<Task> task = make_task(made.recipe);
  check_rows(made.recipe, *task);
  if (is_first(options)) tell_notes(options, *task);
  auto trainer =
      std::make_unique<Trainer>(options, made.recipe, folder, std::move(task), began_with);
  if (checkpoint) trainer->restore(*checkpoint);
  return trainer;
}

TrainResult resume(const TrainOptions& options) {
  std::string run = options.resume;
  while (run.size() > 1 && run.back() == '/') run.pop_back();
  if (is_finished_run(run)) {
    TrainResult out = read_result(run);
    out.finished_before = true;
    return out;
  }
  std::unique_ptr<Trainer> trainer;
  set_up(options.ranks, [&] { trainer = trainer_of(options, run); });
  return trainer->run();
}

}  // namespace

Interrupted::Interrupted(int signal, const std::string& run, int ranks)
    : Error(ErrorKind::kFailure, std::string("stopped by ") +
                                     (signal == SIGINT    ? "SIGINT"
                                      : signal == SIGTERM ? "SIGTERM"
                                                          : "a signal") +
                                     "; continue with: " + resume_command(run, ranks)),
      signal_(signal),
      run_(run) {}

TrainResult train(const TrainOptions& options) {
  return options.resume.empty() ? begin(options) : resume(options);
}

}  // namespace attend::train
