#include "train/training.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "attend/train/schedule.h"
#include "nn/seeds.h"

namespace attend::train {
namespace {

using models::NamedTensors;

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

NamedTensors copies_of(const NamedTensors& tensors) {
  const at::NoGradGuard no_grad;
  NamedTensors out;
  for (const auto& [name, tensor] : tensors) out.emplace_back(name, tensor.detach().clone());
  return out;
}

}  // namespace

void check_processor(ProductPrecision wanted, bool has_bfloat16) {
  if (wanted == ProductPrecision::kBFloat16 && !has_bfloat16)
    fail_usage(
        "train.precision = \"bfloat16\": this processor does not multiply bfloat16 (AVX512-BF16); "
        "take float32");
}

void Trainer::restore(const Checkpoint& checkpoint) {
  const std::string what = folder_.checkpoints();
  if (checkpoint.recipe_hash != recipe_hash(recipe_))
    fail_usage(folder_.file("recipe.toml") +
               " has changed since the training began; undo the change or begin a new run");
  if (checkpoint.fingerprint != task_->fingerprint())
    fail_usage(
        recipe_.data.name +
        ", or a pretrained model that the recipe names, has changed since the training began; "
        "restore it or begin a new run");
  copy_into(parameters_, checkpoint.tensors, "param.", what);
  copy_into(optimizer_->state(), checkpoint.tensors, "optim.", what);
  optimizer_->set_steps(checkpoint.state.step);
  state_ = checkpoint.state;
  if (keeps_best() && state_.best_epoch > 0) {
    best_ = copies_of(parameters_);
    copy_into(best_, checkpoint.tensors, "best.", what);
  }
  if (is_averaged(state_.epoch)) {
    sum_ = copies_of(parameters_);
    copy_into(sum_, checkpoint.tensors, "sum.", what);
  }
  seconds_before_ = state_.seconds;
}

bool Trainer::finished() const {
  return state_.epoch >= recipe_.train.epochs ||
         (early_stopping() && state_.waited >= recipe_.train.patience);
}

TrainResult Trainer::run() {
  if (first()) folder_.rewrite_history(state_.history);
  try {
    while (!finished()) run_epoch();
  } catch (const LostRank& lost) {
    end_without(lost);
  }
  return finish();
}

void Trainer::run_epoch() {
  good_ = capture(true);
  epoch_clock_.emplace();
  epoch_seconds_before_ = state_.epoch_seconds;
  const std::vector<at::Tensor> batches = task_->batches(state_.epoch);
  while (state_.batch < per_epoch_) {
    stop_if_asked();
    run_step(batches[static_cast<std::size_t>(state_.batch)]);
  }
  end_epoch(epoch_seconds_before_ + epoch_clock_->seconds());
}

void Trainer::run_step(const at::Tensor& rows) {
  const StepSums step =
      step_sum_ ? step_sum_->sum(differentiate(step_sum_->share(rows))) : differentiate(rows);
  if (!std::isfinite(step.loss)) diverge("loss", step.loss);
  if (recipe_.train.clip_norm > 0) {
    const double norm = clip_gradients(parameters_, recipe_.train.clip_norm);
    if (!std::isfinite(norm)) diverge("gradient's norm", norm);
  }
  optimizer_->step(
      learning_rate(recipe_.optim, state_.step, recipe_.train.epochs * per_epoch_, per_epoch_));
  ++state_.step;
  ++state_.batch;
  state_.tally += step.tally;
  signal_ = step.signal;
  if (options_.on_step && first())
    options_.on_step({state_.epoch + 1, recipe_.train.epochs, state_.batch, per_epoch_,
                      state_.tally.loss / static_cast<double>(state_.tally.rows),
                      epoch_seconds_before_ + epoch_clock_->seconds()});
}

/// Rows that this rank differentiates together at most.
std::int64_t Trainer::part_rows() const { return (recipe_.train.batch + ranks() - 1) / ranks(); }

/// Forward and backward of rows, perhaps none, part by part. With w_k rows (or tokens) in part k, gradients are Σ w_k g_k / Σ w_k;
/// of several ranks each differentiates what StepSum asks for, Σ w_k g_k. A step of one part costs nothing more.
StepSums Trainer::differentiate(const at::Tensor& rows) {
  StepSums step;
  step.signal = asked_to_stop();
  zero_gradients(parameters_);
  const std::vector<at::Tensor> parts = cut(rows, part_rows());
  const bool weighted = step_sum_ || parts.size() > 1;
  for (std::size_t k = 0; k < parts.size(); ++k) {
    Tally tally;
    const at::Tensor loss = loss_of(parts[k], k, tally);
    const auto weight = static_cast<double>(tally.rows);
    (weighted ? loss * weight : loss).backward();
    step.loss += loss.item<double>() * weight;
    step.tally += tally;
  }
  if (parts.empty()) return step;
  const auto weight = static_cast<double>(step.tally.rows);
  step.loss /= weight;
  if (weighted && !step_sum_) scale_gradients(parameters_, 1 / weight);
  return step;
}

at::Tensor Trainer::loss_of(const at::Tensor& rows, std::size_t part, Tally& tally) {
  const ProductPrecisionGuard products(recipe_.train.precision);
  return task_->loss(rows, {true, pass_seed(part), state_.step}, tally);
}

/// Rank 0's first part draws as one process alone would, every other rank and part from a stream of its own.
std::uint64_t Trainer::pass_seed(std::size_t part) const {
  constexpr std::uint64_t kRanks = std::uint64_t{1} << 32;  // beyond the parts of any module
  constexpr std::uint64_t kParts = std::uint64_t{1} << 33;
  auto seed = static_cast<std::uint64_t>(recipe_.train.seed);
  if (!first())
    seed = nn::derived_seed(seed, Purpose::kDropout,
                            kRanks + static_cast<std::uint64_t>(options_.ranks->rank()));
  return part == 0 ? seed : nn::derived_seed(seed, Purpose::kDropout, kParts + part);
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

/// Rank 0 measures, and all go on with what it found.
EpochRecord Trainer::measure_epoch(double epoch_seconds) {
  EpochRecord record;
  if (first()) {
    record.epoch = state_.epoch + 1;
    record.train = task_->metrics(state_.tally);
    record.validation = task_->evaluate(Part::kValidation);
    record.lr = learning_rate(recipe_.optim, state_.step - 1, recipe_.train.epochs * per_epoch_,
                              per_epoch_);
    record.seconds = epoch_seconds;
  }
  if (options_.ranks == nullptr) return record;
  const std::string line = options_.ranks->text_of_first(first() ? to_json_line(record) : "");
  return first() ? record : read_history(line, "metrics of rank 0").at(0);
}

void Trainer::end_epoch(double epoch_seconds) {
  const EpochRecord record = measure_epoch(epoch_seconds);
  state_.history.push_back(record);
  state_.epoch += 1;
  state_.batch = 0;
  state_.tally = {};
  state_.epoch_seconds = 0;
  if (early_stopping()) watch(record);
  if (is_averaged(state_.epoch)) add_to_sum();
  if (first()) {
    folder_.append_history(record);
    if (options_.on_epoch) options_.on_epoch(record);
    save_if_due();
  }
  if (options_.ranks != nullptr) options_.ranks->text_of_first("");  // the others wait for the disk
}

void Trainer::watch(const EpochRecord& record) {
  const Metric metric = recipe_.train.watch;
  const std::string name =
      std::get<std::string>(recipe_value(recipe_, "train.early_stopping.metric"));
  const double value = record.validation.at(name);
  const double gain = metric == Metric::kLoss ? state_.best - value : value - state_.best;
  if (state_.best_epoch > 0 && !(gain > recipe_.train.min_delta)) {
    ++state_.waited;
    return;
  }
  state_.best = value;
  state_.best_epoch = record.epoch;
  state_.waited = 0;
  if (keeps_best()) best_ = copies_of(parameters_);
}

void Trainer::add_to_sum() {
  if (sum_.empty()) {
    sum_ = copies_of(parameters_);
    return;
  }
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < sum_.size(); ++i) sum_[i].second.add_(parameters_[i].second);
}

void Trainer::set_average() {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < sum_.size(); ++i)
    at::Tensor(parameters_[i].second).copy_(sum_[i].second.div(averaged_epochs()));
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
  add("sum.", sum_);
  for (const auto& [name, tensor] : best_)
    out.tensors.emplace_back("best." + name, tensor);  // never written in place
  return out;
}

void Trainer::save(const Checkpoint& checkpoint) {
  if (!first()) return;
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
  const int signal = step_sum_ ? signal_ : asked_to_stop();
  if (signal == 0) return;
  state_.epoch_seconds = epoch_seconds_before_ + epoch_clock_->seconds();
  save(capture(false));
  throw Interrupted(signal, folder_.path(), ranks());
}

/// Weights, optimiser and figures are those after the last complete step: the one that was lost has changed nothing yet.
void Trainer::end_without(const LostRank& lost) {
  if (epoch_clock_) state_.epoch_seconds = epoch_seconds_before_ + epoch_clock_->seconds();
  save(capture(false));
  throw LostRank("another rank was lost after step " + std::to_string(state_.step) + " (" +
                 lost.what() + "); " + (first() ? "the state is kept: " : "") +
                 "continue with: " + resume_command(folder_.path(), ranks()));
}

TrainResult Trainer::finish() {
  if (keeps_best() && !best_.empty()) copy_into(parameters_, best_, "", folder_.path());
  if (averages()) set_average();
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
  out.validation = averages() && first() ? task_->evaluate(Part::kValidation) : kept.validation;
  if (first()) out.test = task_->evaluate(Part::kTest);
  out.rows_train = rows_;
  out.rows_validation = task_->rows(Part::kValidation);
  out.rows_test = task_->rows(Part::kTest);
  for (const EpochRecord& record : state_.history) out.epoch_seconds.push_back(record.seconds);
  if (first()) folder_.finish(parameters_, task_->files(), recipe_, out, state_.history);
  out.seconds = seconds();
  return out;
}

}  // namespace attend::train
