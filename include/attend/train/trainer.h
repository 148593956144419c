#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "attend/base/error.h"
#include "attend/train/metrics.h"
#include "attend/train/ranks.h"
#include "attend/train/recipe.h"

namespace attend::train {

/// Where a training stands, after each step.
struct Progress {
  std::int64_t epoch = 0, epochs = 0;  // epoch counts from 1
  std::int64_t step = 0, steps = 0;    // within the epoch, from 1
  double loss = 0;                     // mean over the epoch so far, without regulariser
  double seconds = 0;                  // since the epoch began
};

/// One line of metrics.jsonl.
struct EpochRecord {
  std::int64_t epoch = 0;  // from 1
  Metrics train;           // means over the epoch's batches as they were trained, like Keras
  Metrics validation;      // of the weights after the epoch; empty without validation rows
  double lr = 0;           // of the epoch's last step
  double seconds = 0;
};

struct TrainOptions {
  Recipe recipe;       // ignored with `resume`, which has its own
  std::string data;    // overrides recipe.data.name when not empty
  std::string out;     // folder of the run; "" = runs/NAME-K with the first K that is free
  std::string resume;  // folder of an unfinished run to continue
  int threads =
      0;  // 0 = all cores, or this rank's share; a resumed run takes the number it began with
  Ranks* ranks = nullptr;  // the processes that train together; this one alone without them
  std::function<void(const Progress&)> on_step;
  std::function<void(const EpochRecord&)> on_epoch;
  std::function<void(const std::string&)>
      on_note;  // "412 of 2000 texts are longer than 32 words and were cut" …
  const std::atomic<int>* stop =
      nullptr;  // becomes a signal's number to end after the current step
};

struct TrainResult {
  std::string run;  // its folder
  std::string recipe, data;
  std::uint64_t seed = 0;
  std::int64_t parameters = 0;
  std::int64_t epochs = 0;          // trained
  std::int64_t best_epoch = 0;      // whose weights were kept
  Metrics train, validation, test;  // of the kept weights' epoch; test empty without test rows
  std::int64_t rows_train = 0, rows_validation = 0, rows_test = 0;
  double seconds = 0;  // whole call
  std::vector<double> epoch_seconds;
  bool finished_before = false;  // `resume` named a finished run: nothing was done
};

/// INTERFACE's document of `train --json`, and results.json of a run: one line, NaN as null.
std::string to_json(const TrainResult& result);

/// A signal ended the training. A checkpoint was written: `resume` with this run continues bit for
/// bit.
class Interrupted : public Error {
 public:
  Interrupted(int signal, const std::string& run, int ranks = 1);
  int signal() const { return signal_; }  // exit status 128 + signal
  const std::string& run() const { return run_; }

 private:
  int signal_;
  std::string run_;
};

/// Trains one model and writes its run folder (run.h). Same recipe, seed and thread count: same
/// bits in model.safetensors, resumed or not. SHA256SUMS comes last: a folder without it is an
/// unfinished run. Throws kUsage (out exists, nothing to resume, recipe changed), kBadInput (data),
/// kIo (not writable, disk full: what checkpoints/ holds stays loadable), kDiverged (loss or
/// gradient not finite, with the step's number; the state at the start of that epoch is in
/// checkpoints/), Interrupted.
///
/// With options.ranks every rank calls this with the same options, and each step's rows are shared out: gradients, loss and
/// figures of a step are those of all its rows, so that a recipe means the same whatever the number of ranks, and without
/// random draws (dropout, hard choice, DRAW's noise: each rank draws its own) the same losses and weights come out to rounding.
/// Same recipe, seed, threads and ranks: same bits. Rank 0 alone evaluates, calls back and writes; a resumed run is read by
/// every rank, and takes as many as it began with. The result of other ranks has no metrics of the test part. Where a rank is
/// lost, rank 0 writes a checkpoint of the last complete step, and all that are left throw LostRank.
TrainResult train(const TrainOptions& options);

struct SeedsResult {
  std::vector<TrainResult> runs;
  std::vector<std::pair<std::string, MeanSd>>
      summary;  // of validation metrics; "test_…" when there is a test part
};

/// Trains with seeds recipe.train.seed, +1, … in folders OUT/seed-K; runs that are already finished
/// are read, not repeated, and unfinished ones resumed, so that an interrupted call is continued by
/// calling it again with the same `out`.
SeedsResult train_seeds(const TrainOptions& options, std::int64_t seeds);

}  // namespace attend::train
