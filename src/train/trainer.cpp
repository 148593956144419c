#include "attend/train/trainer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <numeric>
#include <optional>

#include "attend/base/random.h"
#include "attend/base/threads.h"
#include "attend/ops/machine.h"
#include "attend/train/optimizer.h"
#include "attend/train/schedule.h"
#include "train/checkpoint.h"
#include "train/run_folder.h"
#include "train/schema.h"
#include "train/task.h"

namespace attend::train {
namespace {

using models::NamedTensors;

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// Row numbers of an epoch in the order in which they are trained: a function of seed and epoch.
at::Tensor epoch_order(std::int64_t rows, const Recipe::Train& options, std::int64_t epoch) {
  at::Tensor order = at::empty({rows}, at::kLong);
  std::int64_t* places = order.mutable_data_ptr<std::int64_t>();
  std::iota(places, places + rows, std::int64_t{0});
  if (!options.shuffle) return order;
  Random random(static_cast<std::uint64_t>(options.seed), Purpose::kShuffle,
                static_cast<std::uint64_t>(epoch));
  for (std::int64_t i = rows - 1; i > 0; --i)  // Fisher–Yates
    std::swap(places[i], places[random.below(static_cast<std::uint64_t>(i + 1))]);
  return order;
}

class Trainer {
 public:
  Trainer(const TrainOptions& options, Recipe recipe, RunFolder folder, std::unique_ptr<Task> task,
          int threads)
      : options_(options),
        recipe_(std::move(recipe)),
        folder_(std::move(folder)),
        task_(std::move(task)),
        threads_(threads),
        parameters_(task_->parameters()),
        optimizer_(make_optimizer(recipe_.optim, parameters_)),
        rows_(task_->rows(Part::kTrain)),
        per_epoch_((rows_ + recipe_.train.batch - 1) / recipe_.train.batch) {}

  void restore(const Checkpoint& checkpoint);
  TrainResult run();

 private:
  bool early_stopping() const { return recipe_.train.patience > 0; }
  bool keeps_best() const { return early_stopping() && recipe_.train.restore_best; }
  double seconds() const { return seconds_before_ + clock_.seconds(); }

  bool finished() const;
  void run_epoch();
  void run_step(const at::Tensor& order);
  void end_epoch(double epoch_seconds);
  void watch(const EpochRecord& record);
  void stop_if_asked();
  [[noreturn]] void diverge(const char* what, double value);
  Checkpoint capture(bool copy);
  void save(const Checkpoint& checkpoint);
  void save_if_due();
  TrainResult finish();

  const TrainOptions& options_;
  const Recipe recipe_;
  const RunFolder folder_;
  const std::unique_ptr<Task> task_;
  const int threads_;
  const NamedTensors parameters_;
  const std::unique_ptr<Optimizer> optimizer_;
  const std::int64_t rows_, per_epoch_;
  TrainState state_;
  NamedTensors best_;
  Clock clock_, since_checkpoint_;
  std::optional<Clock> epoch_clock_;
  double seconds_before_ = 0, epoch_seconds_before_ = 0;
  std::optional<Checkpoint> good_;  // state at the start of the epoch, should the loss diverge
};

/// Copies tensors into others of the same names and shapes.
void copy_into(const NamedTensors& to, const NamedTensors& from, const std::string& prefix,
               const std::string& what) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : to) {
    const at::Tensor* source = nullptr;
    for (const auto& [other, candidate] : from)
      if (other == prefix + name) source = &candidate;
    if (source == nullptr || source->sizes() != tensor.sizes() ||
        source->scalar_type() != tensor.scalar_type())
      fail_input(what + ": tensor '" + prefix + name + "' is missing or has another shape");
    at::Tensor(tensor).copy_(*source);
  }
}

void Trainer::restore(const Checkpoint& checkpoint) {
  const std::string what = folder_.checkpoints();
  if (checkpoint.recipe_hash != recipe_hash(recipe_))
    fail_usage(folder_.file("recipe.toml") +
               " has changed since the training began; undo the change or begin a new run");
  if (checkpoint.fingerprint != task_->fingerprint())
    fail_usage(recipe_.data.name +
               " has changed since the training began; restore it or begin a new run");
  copy_into(parameters_, checkpoint.tensors, "param.", what);
  copy_into(optimizer_->state(), checkpoint.tensors, "optim.", what);
  optimizer_->set_steps(checkpoint.state.step);
  state_ = checkpoint.state;
  if (keeps_best() && state_.best_epoch > 0) {
    const at::NoGradGuard no_grad;
    for (const auto& [name, tensor] : parameters_)
      best_.emplace_back(name, tensor.detach().clone());
    copy_into(best_, checkpoint.tensors, "best.", what);
  }
  seconds_before_ = state_.seconds;
}

bool Trainer::finished() const {
  return state_.epoch >= recipe_.train.epochs ||
         (early_stopping() && state_.waited >= recipe_.train.patience);
}

TrainResult Trainer::run() {
  folder_.rewrite_history(state_.history);
  while (!finished()) run_epoch();
  return finish();
}

void Trainer::run_epoch() {
  good_ = capture(true);
  epoch_clock_.emplace();
  epoch_seconds_before_ = state_.epoch_seconds;
  const at::Tensor order = epoch_order(rows_, recipe_.train, state_.epoch);
  while (state_.batch < per_epoch_) {
    stop_if_asked();
    run_step(order);
  }
  end_epoch(epoch_seconds_before_ + epoch_clock_->seconds());
}

void Trainer::run_step(const at::Tensor& order) {
  const std::int64_t begin = state_.batch * recipe_.train.batch;
  const at::Tensor rows = order.narrow(0, begin, std::min(recipe_.train.batch, rows_ - begin));
  const models::Pass pass{true, static_cast<std::uint64_t>(recipe_.train.seed), state_.step};
  zero_gradients(parameters_);
  const at::Tensor loss = task_->loss(rows, pass, state_.tally);
  const double value = loss.item<double>();
  if (!std::isfinite(value)) diverge("loss", value);
  loss.backward();
  if (recipe_.train.clip_norm > 0) {
    const double norm = clip_gradients(parameters_, recipe_.train.clip_norm);
    if (!std::isfinite(norm)) diverge("gradient's norm", norm);
  }
  optimizer_->step(
      learning_rate(recipe_.optim, state_.step, recipe_.train.epochs * per_epoch_, per_epoch_));
  ++state_.step;
  ++state_.batch;
  if (options_.on_step)
    options_.on_step({state_.epoch + 1, recipe_.train.epochs, state_.batch, per_epoch_,
                      state_.tally.loss / static_cast<double>(state_.tally.rows),
                      epoch_seconds_before_ + epoch_clock_->seconds()});
}

void Trainer::diverge(const char* what, double value) {
  if (good_) {
    try {
      save(*good_);
    } catch (const Error&) {  // the divergence is the news; an older checkpoint stays
    }
  }
  throw Error(ErrorKind::kDiverged, "step " + std::to_string(state_.step + 1) + " (epoch " +
                                        std::to_string(state_.epoch + 1) + "): the " + what +
                                        " is " + (std::isnan(value) ? "not a number" : "infinite") +
                                        "; lower optim.lr (" + to_text(recipe_.optim.lr) +
                                        ") or set train.clip_norm; the state before epoch " +
                                        std::to_string(good_ ? good_->state.epoch + 1 : 1) +
                                        " is kept in " + folder_.checkpoints());
}

void Trainer::end_epoch(double epoch_seconds) {
  EpochRecord record;
  record.epoch = state_.epoch + 1;
  record.train = task_->metrics(state_.tally);
  record.validation = task_->evaluate(Part::kValidation);
  record.lr =
      learning_rate(recipe_.optim, state_.step - 1, recipe_.train.epochs * per_epoch_, per_epoch_);
  record.seconds = epoch_seconds;
  state_.history.push_back(record);
  state_.epoch += 1;
  state_.batch = 0;
  state_.tally = {};
  state_.epoch_seconds = 0;
  if (early_stopping()) watch(record);
  folder_.append_history(record);
  if (options_.on_epoch) options_.on_epoch(record);
  save_if_due();
}

void Trainer::watch(const EpochRecord& record) {
  const Metric metric = recipe_.train.watch;
  const char* name = metric == Metric::kLoss       ? "loss"
                     : metric == Metric::kAccuracy ? "accuracy"
                                                   : "f1";
  const double value = record.validation.at(name);
  const double gain = metric == Metric::kLoss ? state_.best - value : value - state_.best;
  if (state_.best_epoch > 0 && !(gain > recipe_.train.min_delta)) {
    ++state_.waited;
    return;
  }
  state_.best = value;
  state_.best_epoch = record.epoch;
  state_.waited = 0;
  if (!keeps_best()) return;
  const at::NoGradGuard no_grad;
  best_.clear();
  for (const auto& [parameter, tensor] : parameters_)
    best_.emplace_back(parameter, tensor.detach().clone());
}

Checkpoint Trainer::capture(bool copy) {
  const at::NoGradGuard no_grad;
  Checkpoint out;
  out.state = state_;
  out.state.seconds = seconds();
  out.recipe_hash = recipe_hash(recipe_);
  out.threads = threads_;
  const auto add = [&](const std::string& prefix, const NamedTensors& tensors) {
    for (const auto& [name, tensor] : tensors)
      out.tensors.emplace_back(prefix + name, copy ? tensor.detach().clone() : tensor.detach());
  };
  add("param.", parameters_);
  add("optim.", optimizer_->state());
  for (const auto& [name, tensor] : best_)
    out.tensors.emplace_back("best." + name, tensor);  // never written in place
  return out;
}

void Trainer::save(const Checkpoint& checkpoint) {
  Checkpoint complete = checkpoint;
  complete.fingerprint = task_->fingerprint();
  write_checkpoint(folder_.checkpoints(), complete, recipe_.train.keep);
  since_checkpoint_ = Clock();
}

void Trainer::save_if_due() {
  const Recipe::Train& t = recipe_.train;
  if (t.checkpoint_every == 0 || finished() || state_.epoch % t.checkpoint_every != 0) return;
  if (since_checkpoint_.seconds() >= t.checkpoint_seconds) save(capture(false));
}

void Trainer::stop_if_asked() {
  const int signal = options_.stop == nullptr ? 0 : options_.stop->load();
  if (signal == 0) return;
  state_.epoch_seconds = epoch_seconds_before_ + epoch_clock_->seconds();
  save(capture(false));
  throw Interrupted(signal, folder_.path());
}

TrainResult Trainer::finish() {
  if (keeps_best() && !best_.empty()) copy_into(parameters_, best_, "", folder_.path());
  TrainResult out;
  out.run = folder_.path();
  out.recipe = recipe_.name;
  out.data = recipe_.data.name;
  out.seed = static_cast<std::uint64_t>(recipe_.train.seed);
  for (const auto& parameter : parameters_) out.parameters += parameter.second.numel();
  out.epochs = state_.epoch;
  out.best_epoch = keeps_best() && state_.best_epoch > 0 ? state_.best_epoch : state_.epoch;
  const EpochRecord& kept = state_.history.at(static_cast<std::size_t>(out.best_epoch - 1));
  out.train = kept.train;
  out.validation = kept.validation;
  out.test = task_->evaluate(Part::kTest);
  out.rows_train = rows_;
  out.rows_validation = task_->rows(Part::kValidation);
  out.rows_test = task_->rows(Part::kTest);
  for (const EpochRecord& record : state_.history) out.epoch_seconds.push_back(record.seconds);
  folder_.finish(parameters_, task_->files(), recipe_, out, state_.history);
  out.seconds = seconds();
  return out;
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
