#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attend/data/batches.h"
#include "attend/data/codec.h"
#include "attend/models/classifier.h"
#include "attend/train/metrics.h"
#include "attend/train/recipe.h"

namespace attend::train {

enum class Part { kTrain, kValidation, kTest };

/// Sums over the rows of an epoch as they were trained.
struct Tally {
  double loss = 0;  // Σ over rows, without regulariser
  std::int64_t right = 0;
  std::int64_t rows = 0;  // of a translation: target tokens
  double kl = 0;          // of a generation: Σ kl_nats, part of the loss

  Tally& operator+=(const Tally& other) {
    loss += other.loss, right += other.right, rows += other.rows, kl += other.kl;
    return *this;
  }
};

/// What the training loop knows of a task: rows, a loss to differentiate, parameters, and the files that a run needs beside
/// its weights. Each kind of task ([task] kind) is one class of these.
class Task {
 public:
  virtual ~Task() = default;
  virtual std::int64_t rows(Part part) const = 0;
  /// The training rows of each step of an epoch: a function of the recipe's seed and the epoch, the same number for every epoch.
  virtual std::vector<at::Tensor> batches(std::int64_t epoch) const = 0;
  /// Forward on training rows (int64 [B], B > 0): the loss to differentiate, a mean over what it adds to tally.rows.
  virtual at::Tensor loss(const at::Tensor& rows, const models::Pass& pass, Tally& tally) = 0;
  virtual Metrics metrics(const Tally& tally) const = 0;
  /// Without dropout; empty for a part without rows.
  virtual Metrics evaluate(Part part) = 0;
  virtual models::NamedTensors parameters() = 0;
  /// SHA-256 of everything that was read from data; a resumed training must meet the same.
  virtual std::string fingerprint() const = 0;
  /// Names and bytes of the run's files other than weights, recipe, metrics and model card.
  virtual std::vector<std::pair<std::string, std::string>> files() const = 0;
  /// What a reader should know of the data: sizes, balance, lines left out.
  virtual std::vector<std::string> notes() const = 0;
};

/// 0 … rows − 1, shuffled where the recipe says so: a function of seed and epoch.
at::Tensor epoch_order(std::int64_t rows, const Recipe::Train& options, std::int64_t epoch);

/// Rows of a step.
inline std::int64_t step_rows(const Recipe::Train& options) {
  return options.batch * options.accumulate;
}

/// `order` cut into steps of `size` rows, the last one perhaps shorter.
std::vector<at::Tensor> cut(const at::Tensor& order, std::int64_t size);

/// The training rows of each step of an epoch, rows of like length together, so that little of a batch is padding; a function
/// of seed and epoch.
std::vector<at::Tensor> batches_by_length(const std::vector<data::PairLength>& lengths,
                                          const Recipe::Train& options, std::int64_t epoch);

/// How the vocabulary of a task that writes text is made.
data::CodecOptions codec_options(const Recipe::Data& options);

/// Loads data and builds the model. Throws kUsage, kBadInput, kIo.
std::unique_ptr<Task> make_task(const Recipe& recipe);

}  // namespace attend::train
