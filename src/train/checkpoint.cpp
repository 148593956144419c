#include "train/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/interop/safetensors.h"
#include "data/json.h"
#include "train/metrics_json.h"

namespace attend::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kCheckpointVersion = 1;

Metrics metrics_of(const json& object) {
  Metrics out;
  for (const auto& item : object.items())
    out[item.key()] = item.value().is_null() ? std::nan("") : item.value().get<double>();
  return out;
}

ordered_json record_json(const EpochRecord& r) {
  ordered_json out;
  out["epoch"] = r.epoch;
  out["train"] = metrics_json(r.train);
  out["validation"] = metrics_json(r.validation);
  out["lr"] = r.lr;
  out["seconds"] = r.seconds;
  return out;
}

EpochRecord record_of(const json& line) {
  EpochRecord r;
  r.epoch = line.at("epoch").get<std::int64_t>();
  r.train = metrics_of(line.at("train"));
  r.validation = metrics_of(line.at("validation"));
  r.lr = line.at("lr").get<double>();
  r.seconds = line.at("seconds").get<double>();
  return r;
}

std::string state_json(const Checkpoint& c) {
  const TrainState& s = c.state;
  ordered_json out;
  out["version"] = kCheckpointVersion;
  out["recipe_hash"] = c.recipe_hash;
  out["fingerprint"] = c.fingerprint;
  out["threads"] = c.threads;
  out["step"] = s.step;
  out["epoch"] = s.epoch;
  out["batch"] = s.batch;
  out["tally"] = {
      {"loss", s.tally.loss}, {"right", s.tally.right}, {"rows", s.tally.rows}, {"kl", s.tally.kl}};
  out["epoch_seconds"] = s.epoch_seconds;
  out["seconds"] = s.seconds;
  out["best_epoch"] = s.best_epoch;
  out["best"] = s.best;
  out["waited"] = s.waited;
  out["history"] = ordered_json::array();
  for (const EpochRecord& r : s.history) out["history"].push_back(record_json(r));
  return out.dump();
}

void read_state(const std::string& text, const std::string& path, Checkpoint& c) {
  const json in = data::parse_json(text, path);
  try {
    if (in.at("version").get<int>() != kCheckpointVersion)
      fail_input(path + ": written by another version");
    c.recipe_hash = in.at("recipe_hash").get<std::string>();
    c.fingerprint = in.at("fingerprint").get<std::string>();
    c.threads = in.at("threads").get<int>();
    TrainState& s = c.state;
    s.step = in.at("step").get<std::int64_t>();
    s.epoch = in.at("epoch").get<std::int64_t>();
    s.batch = in.at("batch").get<std::int64_t>();
    s.tally.kl = in.at("tally").value("kl", 0.0);
    s.tally.loss = in.at("tally").at("loss").get<double>();
    s.tally.right = in.at("tally").at("right").get<std::int64_t>();
    s.tally.rows = in.at("tally").at("rows").get<std::int64_t>();
    s.epoch_seconds = in.at("epoch_seconds").get<double>();
    s.seconds = in.at("seconds").get<double>();
    s.best_epoch = in.at("best_epoch").get<std::int64_t>();
    s.best = in.at("best").get<double>();
    s.waited = in.at("waited").get<std::int64_t>();
    for (const json& line : in.at("history")) s.history.push_back(record_of(line));
  } catch (const json::exception& e) {
    fail_input(path + ": not a checkpoint's state: " + e.what());
  }
}

std::string file_name(std::int64_t step) {
  std::string digits = std::to_string(step);
  return "step-" + std::string(digits.size() < 9 ? 9 - digits.size() : 0, '0') + digits +
         ".safetensors";
}

/// Leaves `current` and the newest of those before it; later ones were never pointed to, and whatever else
/// begins with "step-" is a temporary file that a crash left. Best effort: a file too many is no error.
void remove_old(const std::string& folder, const std::string& current, std::int64_t keep) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& file : fs::directory_iterator(folder, ignored)) {
    const std::string name = file.path().filename();
    if (name.starts_with("step-") && name != current) names.push_back(name);
  }
  std::sort(names.begin(), names.end(), std::greater<>());
  std::int64_t kept = 1;
  for (const std::string& name : names)
    if (name.ends_with(".safetensors") && name < current && kept < keep)
      ++kept;
    else
      fs::remove(fs::path(folder) / name, ignored);
}

}  // namespace

std::string to_json_line(const EpochRecord& record) { return record_json(record).dump(); }

std::vector<EpochRecord> read_history(const std::string& text, const std::string& name) {
  std::vector<EpochRecord> out;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string where = name + ":" + std::to_string(out.size() + 1);
    try {
      out.push_back(record_of(data::parse_json(text.substr(begin, end - begin), where)));
    } catch (const json::exception& e) {
      fail_input(where + ": not an epoch's metrics: " + e.what());
    }
    begin = end + 1;
  }
  return out;
}

void write_checkpoint(const std::string& folder, const Checkpoint& checkpoint, std::int64_t keep) {
  interop::SafetensorsFile file;
  file.tensors = checkpoint.tensors;
  file.metadata = {{"format", "pt"}, {"attend.state", state_json(checkpoint)}};
  const std::string bytes = interop::safetensors_bytes(file);
  const std::string name = file_name(checkpoint.state.step);
  write_file_atomically(folder + "/" + name, bytes);
  write_file_atomically(folder + "/latest", name + " " + sha256(bytes) + "\n");
  remove_old(folder, name, keep);
}

std::optional<Checkpoint> read_checkpoint(const std::string& folder) {
  const std::string pointer_path = folder + "/latest";
  if (!fs::exists(pointer_path)) return std::nullopt;
  const std::string pointer = read_file(pointer_path);
  const std::size_t space = pointer.find(' ');
  if (!pointer.starts_with("step-") || space == std::string::npos ||
      pointer.find('/') != std::string::npos)
    fail_input(pointer_path + ": not the name of a checkpoint and its SHA-256");
  const std::string path = folder + "/" + pointer.substr(0, space);
  if (pointer.substr(space + 1) != sha256_of_file(path) + "\n")
    fail_input(path +
               ": its bytes are not those that were written (SHA-256 differs); "
               "remove " +
               pointer_path + " to begin the training again");
  interop::SafetensorsFile file = interop::read_safetensors(path);
  Checkpoint out;
  out.tensors = std::move(file.tensors);
  read_state(file.metadata["attend.state"], path, out);
  return out;
}

}  // namespace attend::train
