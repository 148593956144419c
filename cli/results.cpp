#include "results.h"

#include <nlohmann/json.hpp>

#include "output.h"

namespace attend::cli {
namespace {

using nlohmann::json;

/// accuracy first, as readers look for it; the rest by name.
std::string metrics_text(const train::Metrics& metrics) {
  std::string text;
  const auto add = [&](const std::string& name, double value) {
    text += (text.empty() ? "" : "  ") + name + " " + fixed(value, 4);
  };
  if (const auto found = metrics.find("accuracy"); found != metrics.end())
    add(found->first, found->second);
  for (const auto& [name, value] : metrics)
    if (name != "accuracy") add(name, value);
  return text;
}

}  // namespace

json document_of(const train::TrainResult& r) {
  json metrics = {{"train", r.train}, {"validation", r.validation}};
  if (!r.test.empty()) metrics["test"] = r.test;
  return {
      {"run", r.run},
      {"recipe", r.recipe},
      {"data", r.data},
      {"seed", r.seed},
      {"parameters", r.parameters},
      {"epochs", r.epochs},
      {"best_epoch", r.best_epoch},
      {"rows", {{"train", r.rows_train}, {"validation", r.rows_validation}, {"test", r.rows_test}}},
      {"metrics", metrics},
      {"seconds", {{"total", r.seconds}, {"epochs", r.epoch_seconds}}}};
}

json document_of(const Summary& summary) {
  json document = json::object();
  for (const auto& [name, value] : summary)
    document[name] = {{"mean", value.mean}, {"sd", value.sd}, {"n", value.n}};
  return document;
}

json document_of(const train::SeedsResult& result) {
  auto runs = json::array();
  for (const auto& run : result.runs) runs.push_back(document_of(run));
  return {{"runs", runs}, {"summary", document_of(result.summary)}};
}

json document_of(const train::Settings& settings) {
  json document = json::object();
  for (const auto& [key, value] : settings)
    document[key] = std::visit([](const auto& v) { return json(v); }, value);
  return document;
}

std::string text_of(const train::Settings& settings) {
  std::string text;
  for (const auto& [key, value] : settings)
    text += (text.empty() ? "" : " ") + key + "=" + train::to_text(value);
  return text;
}

std::string epoch_line(const train::EpochRecord& e) {
  std::string line = "epoch " + std::to_string(e.epoch) + "  " + metrics_text(e.train);
  if (!e.validation.empty()) line += "  |  validation  " + metrics_text(e.validation);
  return line + "  (" + seconds_text(e.seconds) + ")";
}

void print(Output& out, const train::TrainResult& r) {
  Table table({Align::kLeft, Align::kLeft});
  table.row({"run", r.run});
  table.row({"recipe", r.recipe + " on " + r.data + ", seed " + std::to_string(r.seed)});
  table.row({"rows", grouped(r.rows_train) + " train, " + grouped(r.rows_validation) +
                         " validation, " + grouped(r.rows_test) + " test"});
  table.row({"weights", grouped(r.parameters)});
  table.row(
      {"epochs",
       std::to_string(r.epochs) +
           (r.best_epoch != r.epochs ? ", weights of epoch " + std::to_string(r.best_epoch) : "")});
  table.row({"train", metrics_text(r.train)});
  if (!r.validation.empty()) table.row({"validation", metrics_text(r.validation)});
  if (!r.test.empty()) table.row({"test", metrics_text(r.test)});
  table.row({"time", seconds_text(r.seconds)});
  out.table(table);
}

void print(Output& out, const train::SeedsResult& result) {
  Table table({Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kLeft});
  table.head({"seed", "train", "validation", "test", "run"});
  const auto accuracy = [](const train::Metrics& m) {
    const auto found = m.find("accuracy");
    return found == m.end() ? std::string("–") : fixed(found->second, 4);
  };
  for (const auto& run : result.runs)
    table.row({std::to_string(run.seed), accuracy(run.train), accuracy(run.validation),
               accuracy(run.test), run.run});
  out.line("accuracy");
  out.table(table);
  out.line("");
  Table summary({Align::kLeft, Align::kLeft});
  for (const auto& [name, value] : result.summary)
    summary.row(
        {name, mean_sd(value.mean, value.sd, 4) + " (n = " + std::to_string(value.n) + ")"});
  out.table(summary);
}

}  // namespace attend::cli
