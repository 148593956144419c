#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "attend/models/classifier.h"
#include "attend/train/trainer.h"

namespace attend::train {

/// The folder of a run while it is made. It counts as a run when SHA256SUMS is there.
class RunFolder {
 public:
  /// Makes the folder (`out`, or the first free runs/NAME-K) with checkpoints/ and recipe.toml, so that an interrupted
  /// training can be resumed from its start. Throws kUsage when `out` holds something, kIo when it can't be written.
  static RunFolder create(const std::string& out, const Recipe& recipe, int threads, int ranks = 1);
  /// An unfinished one.
  explicit RunFolder(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string checkpoints() const { return path_ + "/checkpoints"; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  /// Appends one line to metrics.jsonl in one write; rewrite_history replaces it as a whole.
  void append_history(const EpochRecord& record) const;
  void rewrite_history(const std::vector<EpochRecord>& history) const;

  /// Writes the last files, SHA256SUMS at the end. Throws kIo, and then removes what it wrote: checkpoints stay.
  void finish(const models::NamedTensors& parameters,
              const std::vector<std::pair<std::string, std::string>>& files, const Recipe& recipe,
              const TrainResult& result, const std::vector<EpochRecord>& history) const;

 private:
  std::string path_;
};

/// "guide/sentiment-lstm" -> "guide-sentiment-lstm"; a path gives its file's name.
std::string folder_name(const std::string& recipe);
/// Makes the first of runs/NAME-1, -2 … that is free.
std::string claim_free_folder(const std::string& name);

bool is_finished_run(const std::string& path);
bool is_unfinished_run(const std::string& path);

/// The recipe of a run's folder and its [made] table (every value as text).
struct MadeRecipe {
  Recipe recipe;
  std::map<std::string, std::string> made;
};
MadeRecipe read_made_recipe(const std::string& run);
std::map<std::string, std::string> read_made(const std::string& text, const std::string& file);

/// results.json of a finished run.
TrainResult read_result(const std::string& run);

std::string model_card(const Recipe& recipe, const TrainResult& result);

}  // namespace attend::train
