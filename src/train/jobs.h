#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "attend/train/sweep.h"
#include "attend/train/trainer.h"

namespace attend::train {

/// One training of a sweep, in a folder named by its recipe.
struct Job {
  Settings settings;
  Recipe recipe;
};

struct JobOutcome {
  std::string run;
  TrainResult result;
  std::string failure;  // "" = it went well
};

/// Trains every job that OUT does not hold yet, at most `jobs` at a time, and returns outcomes in the order given. Adds a line
/// to OUT/sweep.jsonl for each. A training that diverges is an outcome; any other error ends the sweep.
std::vector<JobOutcome> run_jobs(const std::vector<Job>& jobs, const SweepOptions& options,
                                 const std::string& out);

/// `out`, or a new runs/sweep-NAME-K.
std::string sweep_folder(const SweepOptions& options);

}  // namespace attend::train
