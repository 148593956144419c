#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attend/models/classifier.h"
#include "attend/train/trainer.h"
#include "train/task.h"

namespace attend::train {

/// Everything besides tensors that a training needs to go on as if it had never stopped. Random numbers need no state: order
/// and dropout are functions of seed, epoch and step.
struct TrainState {
  std::int64_t step = 0;   // steps done in all
  std::int64_t epoch = 0;  // epochs done
  std::int64_t batch = 0;  // steps done in the epoch that has begun
  Tally tally;             // of that epoch
  double epoch_seconds = 0, seconds = 0;
  std::int64_t best_epoch = 0;  // from 1; 0 = none yet
  double best = 0;
  std::int64_t waited = 0;  // epochs since
  std::vector<EpochRecord> history;
};

struct Checkpoint {
  TrainState state;
  std::string recipe_hash, fingerprint;
  int threads = 0;
  models::NamedTensors tensors;  // "param.…", "optim.…", "best.…", "sum.…"
};

/// Writes FOLDER/step-N.safetensors, then the pointer FOLDER/latest (its name and SHA-256), each atomically, then removes
/// all but the newest `keep`. Whatever fails, what `latest` pointed to before stays. Throws kIo.
void write_checkpoint(const std::string& folder, const Checkpoint& checkpoint, std::int64_t keep);

/// The one that `latest` names, or nothing when there is none. Throws kBadInput when its bytes are not what was written.
std::optional<Checkpoint> read_checkpoint(const std::string& folder);

/// One line of metrics.jsonl without its end, and back.
std::string to_json_line(const EpochRecord& record);
std::vector<EpochRecord> read_history(const std::string& text, const std::string& name);

}  // namespace attend::train
