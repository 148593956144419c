// attend sweep RECIPE --grid key=v1,v2 …: grid or random search, ranked by validation.
#include "attend/train/sweep.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/ops/machine.h"
#include "attend/train/ranks.h"
#include "output.h"
#include "program.h"
#include "results.h"
#include "signals.h"

namespace attend::cli {
namespace {

using nlohmann::json;

struct SweepArguments {
  std::string recipe, data, out, metric = "accuracy";
  std::vector<std::string> settings, grid;
  std::optional<std::uint64_t> samples, search_seed, seeds, jobs, threads, outer, inner;
};

/// This very program, for sweeps that train in several processes.
std::string own_path() {
  std::array<char, 4096> path;
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size());
  if (n <= 0 || n == static_cast<ssize_t>(path.size()))
    fail_io("/proc/self/exe: cannot be read; use --jobs 1");
  return std::string(path.data(), static_cast<std::size_t>(n));
}

train::SweepOptions options_of(const SweepArguments& o) {
  train::SweepOptions options;
  options.recipe = train::load_recipe(o.recipe);
  for (const std::string& setting : o.settings) train::set_recipe_value(options.recipe, setting);
  if (!o.data.empty()) options.recipe.data.name = o.data;
  if (o.grid.empty()) fail_usage("'attend sweep' needs --grid KEY=V1,V2 at least once");
  for (const std::string& axis : o.grid)
    options.axes.push_back(train::parse_axis(axis, options.recipe.task.kind));
  options.samples = static_cast<std::int64_t>(o.samples.value_or(0));
  options.search_seed = o.search_seed.value_or(1);
  options.seeds = static_cast<std::int64_t>(o.seeds.value_or(1));
  options.jobs = static_cast<int>(o.jobs.value_or(1));
  options.threads = static_cast<int>(o.threads.value_or(1));
  options.program = own_path();
  options.out = o.out;
  options.metric = o.metric;
  return options;
}

void report_to(Progress& bar, train::SweepOptions& options) {
  options.on_run = [&bar](const train::Settings& settings, std::int64_t done, std::int64_t total) {
    const std::string count = std::to_string(done) + "/" + std::to_string(total);
    if (bar.shown())
      bar.update("trained " + count, static_cast<double>(done) / static_cast<double>(total),
                 text_of(settings));
    else
      std::fprintf(stderr, "trained %s  %s\n", count.c_str(), text_of(settings).c_str());
  };
}

json point_document(const train::SweepPoint& point) {
  json document = {{"settings", document_of(point.settings)},
                   {"runs", point.runs},
                   {"metrics", document_of(point.metrics)}};
  if (!point.failure.empty()) document["failure"] = point.failure;
  return document;
}

void print(Output& out, const train::SweepResult& result, const std::string& metric) {
  if (out.json()) {
    auto points = json::array();
    for (const auto& point : result.points) points.push_back(point_document(point));
    const bool any = !result.points.empty() && result.points.front().failure.empty();
    return out.document({{"out", result.out},
                         {"metric", metric},
                         {"points", points},
                         {"best", any ? json(points.front()) : json()}});
  }
  std::vector<std::string> names;
  for (const auto& point : result.points)
    for (const auto& [name, value] : point.metrics)
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  std::vector<std::string> head = names;
  head.push_back("setting");
  Table table(std::vector<Align>(head.size(), Align::kLeft));
  table.head(head);
  for (const auto& point : result.points) {
    std::vector<std::string> row;
    for (const std::string& name : names) {
      const auto found = std::find_if(point.metrics.begin(), point.metrics.end(),
                                      [&](const auto& m) { return m.first == name; });
      row.push_back(
          found == point.metrics.end() ? "–" : mean_sd(found->second.mean, found->second.sd, 4));
    }
    row.push_back(text_of(point.settings) +
                  (point.failure.empty() ? "" : "  failed: " + point.failure));
    table.row(row);
  }
  out.table(table);
  out.line("");
  out.line("ranked by " + metric + " on validation; runs in " + result.out);
}

int nested(Output& out, const train::NestedOptions& options) {
  const train::NestedResult result = train::nested_cross_validation(options);
  if (out.json()) {
    auto folds = json::array();
    for (const auto& fold : result.folds)
      folds.push_back({{"chosen", document_of(fold.chosen)},
                       {"inner_score", fold.inner_score},
                       {"test", fold.test},
                       {"runs", fold.runs}});
    out.document(
        {{"folds", folds}, {"summary", document_of(Summary{{"accuracy", result.accuracy}})}});
    return 0;
  }
  Table table({Align::kRight, Align::kRight, Align::kRight, Align::kLeft});
  table.head({"fold", "inner", "test", "chosen"});
  int number = 0;
  for (const auto& fold : result.folds) {
    const train::MeanSd test = train::mean_sd(fold.test);
    table.row({std::to_string(++number), fixed(fold.inner_score, 4), mean_sd(test.mean, test.sd, 4),
               text_of(fold.chosen)});
  }
  out.table(table);
  out.line("");
  out.line("accuracy on outer folds " + mean_sd(result.accuracy.mean, result.accuracy.sd, 4) +
           " (n = " + std::to_string(result.accuracy.n) + "), choice of the setting included");
  return 0;
}

int sweep(Output& out, const SweepArguments& o, const std::atomic<int>& stop) {
  train::SweepOptions options = options_of(o);
  options.stop = &stop;
  use_threads(options.threads);
  Progress bar;
  report_to(bar, options);
  if (o.outer)
    return nested(out, {options, static_cast<std::int64_t>(*o.outer),
                        static_cast<std::int64_t>(o.inner.value_or(3))});
  const train::SweepResult result = train::sweep(options);
  bar.clear();
  print(out, result, options.metric);
  return 0;
}

}  // namespace

void add_sweep(Program& program) {
  const auto o = std::make_shared<SweepArguments>();
  const Verb verb =
      program.verb("sweep", "Train a recipe at many settings and rank them by validation");
  verb.positional("RECIPE", Kind::kRecipe, o->recipe, Need::kRequired,
                  "a recipe's name, or the path of a .toml file");
  verb.texts(
      "--grid", Kind::kKeyValue, o->grid,
      "a key and its values: KEY=V1,V2; with --samples also KEY=LOW..HIGH and KEY=log:LOW..HIGH");
  verb.number("--samples", o->samples, 1, 100'000,
              "try this many random points instead of the whole grid");
  verb.number("--search-seed", o->search_seed, 0, ~std::uint64_t{0},
              "seed of the random points (default: 1)");
  verb.number("--seeds", o->seeds, 1, 1000, "trainings of each point (default: 1)");
  verb.number("--jobs", o->jobs, 1, 256, "trainings at a time (default: 1)");
  verb.number("--threads", o->threads, 1, 1024, "threads of each training (default: 1)");
  verb.choice("--metric", {"accuracy", "loss", "f1"}, o->metric,
              "what ranks the points (default: accuracy)");
  verb.text("--data", Kind::kData, o->data, "data to train on, instead of the recipe's");
  verb.texts("--set", Kind::kKeyValue, o->settings, "change a key of the recipe for every point");
  verb.text("--out", Kind::kFolder, o->out,
            "folder of the sweep; the same again continues it (default: a new one in runs)");
  verb.number("--outer", o->outer, 2, 100, "nested cross-validation with this many outer folds");
  verb.number("--inner", o->inner, 2, 100, "inner folds of nested cross-validation (default: 3)");
  verb.example(
      "attend sweep guide/sentiment-lstm --grid optim.lr=1e-3,3e-3 --grid model.hidden=50,100 "
      "--seeds 3");
  verb.example(
      "attend sweep guide/sentiment-lstm --grid optim.lr=log:1e-4..1e-2 --samples 20 --jobs 2");
  verb.run([o](Output& out) {
    if (o->inner && !o->outer) fail_usage("--inner: goes with --outer N");
    if (train::rank_variables().size > 1)
      fail_usage("'attend sweep' shares no training out: start it once, with --jobs N");
    return stoppable([&](const std::atomic<int>& stop) { return sweep(out, *o, stop); });
  });
}

}  // namespace attend::cli
