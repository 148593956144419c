#include <cmath>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "data/json.h"
#include "train/metrics_json.h"
#include "train/run_folder.h"

namespace attend::train {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

Metrics metrics_of(const json& parent, const char* key) {
  Metrics out;
  if (!parent.contains(key)) return out;
  for (const auto& item : parent.at(key).items())
    out[item.key()] = item.value().is_null() ? std::nan("") : item.value().get<double>();
  return out;
}

}  // namespace

std::string to_json(const TrainResult& r) {
  ordered_json out;
  out["run"] = r.run;
  out["recipe"] = r.recipe;
  out["data"] = r.data;
  out["seed"] = r.seed;
  out["parameters"] = r.parameters;
  out["epochs"] = r.epochs;
  out["best_epoch"] = r.best_epoch;
  out["rows"] = {{"train", r.rows_train}, {"validation", r.rows_validation}, {"test", r.rows_test}};
  ordered_json& metrics = out["metrics"];
  metrics["train"] = metrics_json(r.train);
  metrics["validation"] = metrics_json(r.validation);
  if (!r.test.empty()) metrics["test"] = metrics_json(r.test);
  out["seconds"] = {{"total", r.seconds}, {"epochs", r.epoch_seconds}};
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

TrainResult read_result(const std::string& run) {
  const std::string path = run + "/results.json";
  const json in = data::parse_json(read_file(path), path);
  TrainResult r;
  try {
    r.run = run;
    r.recipe = in.at("recipe").get<std::string>();
    r.data = in.at("data").get<std::string>();
    r.seed = in.at("seed").get<std::uint64_t>();
    r.parameters = in.at("parameters").get<std::int64_t>();
    r.epochs = in.at("epochs").get<std::int64_t>();
    r.best_epoch = in.at("best_epoch").get<std::int64_t>();
    r.rows_train = in.at("rows").at("train").get<std::int64_t>();
    r.rows_validation = in.at("rows").at("validation").get<std::int64_t>();
    r.rows_test = in.at("rows").at("test").get<std::int64_t>();
    r.train = metrics_of(in.at("metrics"), "train");
    r.validation = metrics_of(in.at("metrics"), "validation");
    r.test = metrics_of(in.at("metrics"), "test");
    r.seconds = in.at("seconds").at("total").get<double>();
    r.epoch_seconds = in.at("seconds").at("epochs").get<std::vector<double>>();
  } catch (const json::exception& e) {
    fail_input(path + ": not the results of a training: " + e.what());
  }
  return r;
}

}  // namespace attend::train
