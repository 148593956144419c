#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "attend/models/classifier.h"
#include "attend/train/optimizer.h"
#include "attend/train/trainer.h"
#include "train/checkpoint.h"
#include "train/run_folder.h"
#include "train/step_sum.h"
#include "train/task.h"

namespace attend::train {

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// Throws kUsage where the CPU lacks the products that are asked for.
void check_processor(ProductPrecision wanted, bool has_bfloat16);

/// The loop over epochs and steps of one training. Knows nothing of what is learned: that is the Task's.
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
        per_epoch_(static_cast<std::int64_t>(task_->batches(0).size())) {
    check_processor(recipe_.train.precision, has_bfloat16_products());
    if (options.ranks != nullptr) step_sum_.emplace(*options.ranks, parameters_);
  }

  void restore(const Checkpoint& checkpoint);
  TrainResult run();

 private:
  bool early_stopping() const { return recipe_.train.patience > 0; }
  bool keeps_best() const { return early_stopping() && recipe_.train.restore_best; }
  std::int64_t averaged_epochs() const {  // the last ones; 1: none but the last itself
    return std::min(recipe_.train.average, recipe_.train.epochs);
  }
  bool averages() const { return averaged_epochs() > 1; }
  bool is_averaged(std::int64_t epoch) const {  // from 1
    return averages() && epoch > recipe_.train.epochs - averaged_epochs();
  }
  bool first() const { return options_.ranks == nullptr || options_.ranks->first(); }
  int ranks() const { return options_.ranks == nullptr ? 1 : options_.ranks->size(); }
  std::int64_t part_rows() const;
  at::Tensor loss_of(const at::Tensor& rows, std::size_t part, Tally& tally);
  std::uint64_t pass_seed(std::size_t part) const;
  double seconds() const { return seconds_before_ + clock_.seconds(); }

  bool finished() const;
  void run_epoch();
  void run_step(const at::Tensor& rows);
  StepSums differentiate(const at::Tensor& rows);
  void end_epoch(double epoch_seconds);
  EpochRecord measure_epoch(double epoch_seconds);
  void watch(const EpochRecord& record);
  void add_to_sum();
  void set_average();
  int asked_to_stop() const { return options_.stop == nullptr ? 0 : options_.stop->load(); }
  void stop_if_asked();
  [[noreturn]] void end_without(const LostRank& lost);
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
  const models::NamedTensors parameters_;
  const std::unique_ptr<Optimizer> optimizer_;
  const std::int64_t rows_, per_epoch_;
  TrainState state_;
  models::NamedTensors best_, sum_;  // sum_: of the weights after the epochs that are averaged
  Clock clock_, since_checkpoint_;
  std::optional<StepSum> step_sum_;
  int signal_ = 0;  // on which all ranks agreed after the last step
  std::optional<Clock> epoch_clock_;
  double seconds_before_ = 0, epoch_seconds_before_ = 0;
  std::optional<Checkpoint> good_;  // state at the start of the epoch, should the loss diverge
};

}  // namespace attend::train
