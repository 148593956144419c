#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "attend/train/metrics.h"
#include "attend/train/recipe.h"

namespace attend::train {

/// Values of one key to try. Grid: "optim.lr=1e-3,1e-2". Random search: the same list (drawn
/// evenly), or a range "optim.lr=1e-4..1e-2" (evenly), "optim.lr=log:1e-4..1e-2" (evenly in the
/// logarithm); integer keys give whole numbers.
struct Axis {
  std::string key;
  std::vector<Value> values;  // of a list
  double low = 0, high = 0;   // of a range, when values is empty
  bool logarithmic = false;
  bool whole = false;  // of a range: whole numbers only
};
/// Checks key, types and ranges against what recipes of this kind of task know; throws kUsage like set_recipe_value.
Axis parse_axis(const std::string& text, TaskKind kind = TaskKind::kClassification);

using Settings = std::vector<std::pair<std::string, Value>>;

struct SweepOptions {
  Recipe recipe;
  std::vector<Axis> axes;
  std::int64_t samples = 0;       // 0 = every point of the grid; > 0: so many random points
  std::uint64_t search_seed = 1;  // of the random points
  std::int64_t seeds = 1;         // trainings of each point
  int jobs = 1;                   // trainings at a time; more than one are processes of `program`
  int threads = 1;                // of each training (results depend on it, not on `jobs`)
  std::string program;            // path of `attend`, for jobs > 1
  std::string out;                // folder; "" = runs/sweep-NAME-K. The same folder again resumes.
  std::string metric = "accuracy";  // validation metric; "loss" is best when small
  const std::atomic<int>* stop = nullptr;
  /// After each training: what was trained, how many are done and how many there are.
  std::function<void(const Settings&, std::int64_t done, std::int64_t total)> on_run;
};

struct SweepPoint {
  Settings settings;
  std::vector<std::string> runs;  // folders, one a seed: OUT/HASH-seed
  std::vector<std::pair<std::string, MeanSd>>
      metrics;          // validation metrics over seeds; "test_…" too when there is a test part
  std::string failure;  // why it has no metrics (diverged …)
};

struct SweepResult {
  std::string out;
  std::vector<SweepPoint> points;  // best first; failed ones last
};

/// Trains every point with every seed and ranks by the validation metric; test metrics are
/// reported, never ranked by. Each training is a run folder named by the hash of its resolved
/// recipe, so a call that was stopped (or one with more points) repeats nothing; sweep.jsonl holds
/// a line per finished training. A point that diverges is noted, not fatal. Throws kUsage, kIo,
/// Interrupted.
SweepResult sweep(const SweepOptions& options);

/// The points that will be trained: grid in the order of the axes, last fastest; or random points.
std::vector<Settings> sweep_points(const SweepOptions& options);

/// Nested cross-validation: for each outer fold, every setting is judged on inner folds of the
/// other rows alone, the best is trained on them and tested once on the fold. The mean over outer
/// folds is an honest estimate of the whole procedure, selection included (Varma & Simon 2006).
struct NestedOptions {
  SweepOptions sweep;  // axes: the candidates
  std::int64_t outer = 5, inner = 3;
};
struct NestedFold {
  Settings chosen;
  double inner_score = 0;
  std::vector<double> test;  // accuracy on the outer fold, one a seed
  std::vector<std::string> runs;
};
struct NestedResult {
  std::vector<NestedFold> folds;
  MeanSd accuracy;  // over outer folds, each the mean of its seeds
};
NestedResult nested_cross_validation(const NestedOptions& options);

}  // namespace attend::train
