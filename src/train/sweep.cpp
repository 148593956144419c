#include "attend/train/sweep.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "train/jobs.h"
#include "train/schema.h"

namespace attend::train {
namespace {

constexpr std::int64_t kMostPoints = 100000;

bool is_number(const KeySpec& spec) {
  return spec.type == ValueType::kInteger || spec.type == ValueType::kReal;
}

double parse_bound(const std::string& text, const KeySpec& spec, TaskKind kind) {
  Recipe probe;
  probe.task.kind = kind;
  set_recipe_value(probe, spec.key + "=" + text);
  const Value v = recipe_value(probe, spec.key);
  return std::holds_alternative<double>(v) ? std::get<double>(v)
                                           : static_cast<double>(std::get<std::int64_t>(v));
}

Value draw(const Axis& axis, Random& random) {
  if (!axis.values.empty()) return axis.values[random.below(axis.values.size())];
  const double u = random.uniform();
  if (axis.logarithmic) {
    const double x = std::exp(std::log(axis.low) + u * (std::log(axis.high) - std::log(axis.low)));
    if (!axis.whole) return x;
    return static_cast<std::int64_t>(std::llround(x));
  }
  if (axis.whole)
    return static_cast<std::int64_t>(axis.low) +
           static_cast<std::int64_t>(
               random.below(static_cast<std::uint64_t>(axis.high - axis.low) + 1));
  return axis.low + u * (axis.high - axis.low);
}

std::vector<Settings> grid(const std::vector<Axis>& axes) {
  std::vector<Settings> points{{}};
  for (const Axis& axis : axes) {
    if (axis.values.empty())
      fail_usage(axis.key + ": a range needs random search; a grid takes values, " + axis.key +
                 "=a,b,c");
    std::vector<Settings> longer;
    for (const Settings& point : points)
      for (const Value& value : axis.values) {
        longer.push_back(point);
        longer.back().emplace_back(axis.key, value);
      }
    points = std::move(longer);
    if (points.size() > static_cast<std::size_t>(kMostPoints))
      fail_usage("the grid has more than " + std::to_string(kMostPoints) +
                 " points; give fewer values or search at random");
  }
  return points;
}

bool smaller_is_better(const std::string& metric) { return metric == "loss"; }

SweepPoint gather(const Settings& settings, const std::vector<JobOutcome>& outcomes) {
  SweepPoint point;
  point.settings = settings;
  std::map<std::string, std::vector<double>> values;
  for (const JobOutcome& outcome : outcomes) {
    point.runs.push_back(outcome.run);
    if (!outcome.failure.empty()) {
      point.failure = outcome.failure;
      continue;
    }
    for (const auto& [name, value] : outcome.result.validation) values[name].push_back(value);
    for (const auto& [name, value] : outcome.result.test) values["test_" + name].push_back(value);
  }
  if (!point.failure.empty()) return point;
  for (const auto& [name, list] : values) point.metrics.emplace_back(name, mean_sd(list));
  return point;
}

double score_of(const SweepPoint& point, const std::string& metric) {
  const double worst = -std::numeric_limits<double>::infinity();
  if (!point.failure.empty()) return worst;
  for (const auto& [name, value] : point.metrics)
    if (name == metric) return smaller_is_better(metric) ? -value.mean : value.mean;
  fail_usage("no validation metric '" + metric +
             "': a sweep needs validation rows (data.validation) and a metric "
             "that the recipe's task has");
}

Recipe with(const Recipe& base, const Settings& settings, std::int64_t seed) {
  Recipe recipe = base;
  recipe.train.seed = seed;
  for (const auto& [key, value] : settings) set_recipe_value(recipe, key, value);
  check_recipe(recipe);
  return recipe;
}

}  // namespace

Axis parse_axis(const std::string& text, TaskKind kind) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    fail_usage("'" + text + "': expected key=v1,v2 or key=low..high");
  Axis axis;
  axis.key = text.substr(0, equals);
  std::string rest = text.substr(equals + 1);
  const KeySpec& spec = schema_entry(kind, axis.key).spec;
  axis.whole = spec.type == ValueType::kInteger;
  if (axis.key == "train.seed") fail_usage("train.seed is no axis: use --seeds N");
  axis.logarithmic = rest.starts_with("log:");
  if (axis.logarithmic) rest = rest.substr(4);
  const auto dots = rest.find("..");
  if (is_number(spec) && dots != std::string::npos) {
    axis.low = parse_bound(rest.substr(0, dots), spec, kind);
    axis.high = parse_bound(rest.substr(dots + 2), spec, kind);
    if (!(axis.low < axis.high)) fail_usage("'" + text + "': the range is empty");
    if (axis.logarithmic && axis.low <= 0)
      fail_usage("'" + text + "': a logarithmic range begins above 0");
    return axis;
  }
  if (axis.logarithmic)
    fail_usage("'" + text + "': log: needs a range of numbers, " + axis.key + "=log:low..high");
  for (std::size_t begin = 0; begin <= rest.size();) {
    const std::size_t end = std::min(rest.find(',', begin), rest.size());
    Recipe probe;
    probe.task.kind = kind;
    set_recipe_value(probe, axis.key + "=" + rest.substr(begin, end - begin));
    axis.values.push_back(recipe_value(probe, axis.key));
    begin = end + 1;
  }
  return axis;
}

std::vector<Settings> sweep_points(const SweepOptions& options) {
  if (options.axes.empty()) fail_usage("a sweep needs at least one axis, key=v1,v2");
  for (std::size_t i = 0; i < options.axes.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (options.axes[i].key == options.axes[j].key)
        fail_usage(options.axes[i].key + " is given twice");
  if (options.samples == 0) return grid(options.axes);
  if (options.samples < 0 || options.samples > kMostPoints)
    fail_usage("samples must lie between 1 and " + std::to_string(kMostPoints));
  std::vector<Settings> points;
  for (std::int64_t i = 0; i < options.samples; ++i) {
    Random random(options.search_seed, Purpose::kSearch, static_cast<std::uint64_t>(i));
    Settings point;
    for (const Axis& axis : options.axes) point.emplace_back(axis.key, draw(axis, random));
    points.push_back(std::move(point));
  }
  return points;
}

SweepResult sweep(const SweepOptions& options) {
  const std::vector<Settings> points = sweep_points(options);
  if (options.seeds < 1) fail_usage("seeds must be at least 1");
  std::vector<Job> jobs;
  for (const Settings& point : points)
    for (std::int64_t s = 0; s < options.seeds; ++s)
      jobs.push_back({point, with(options.recipe, point, options.recipe.train.seed + s)});
  SweepResult result;
  result.out = sweep_folder(options);
  const std::vector<JobOutcome> outcomes = run_jobs(jobs, options, result.out);
  const auto seeds = static_cast<std::ptrdiff_t>(options.seeds);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto first = outcomes.begin() + static_cast<std::ptrdiff_t>(i) * seeds;
    result.points.push_back(gather(points[i], {first, first + seeds}));
  }
  std::stable_sort(result.points.begin(), result.points.end(),
                   [&](const SweepPoint& a, const SweepPoint& b) {
                     return score_of(a, options.metric) > score_of(b, options.metric);
                   });
  return result;
}

NestedResult nested_cross_validation(const NestedOptions& options) {
  const std::vector<Settings> points = sweep_points(options.sweep);
  const std::string out = sweep_folder(options.sweep);
  const std::int64_t seeds = options.sweep.seeds, first_seed = options.sweep.recipe.train.seed;
  NestedResult result;
  std::vector<double> accuracies;
  for (std::int64_t f = 0; f < options.outer; ++f) {
    Recipe base = options.sweep.recipe;
    base.data.split = Split::kFolds;
    base.data.folds = options.outer;
    base.data.fold = f;
    base.data.inner_folds = options.inner;
    std::vector<Job> inner;
    for (const Settings& point : points)
      for (std::int64_t j = 0; j < options.inner; ++j)
        for (std::int64_t s = 0; s < seeds; ++s) {
          base.data.inner_fold = j;
          inner.push_back({point, with(base, point, first_seed + s)});
        }
    const std::vector<JobOutcome> judged = run_jobs(inner, options.sweep, out);
    NestedFold fold;
    fold.inner_score = -std::numeric_limits<double>::infinity();
    const auto each = static_cast<std::ptrdiff_t>(options.inner * seeds);
    for (std::size_t i = 0; i < points.size(); ++i) {
      const auto begin = judged.begin() + static_cast<std::ptrdiff_t>(i) * each;
      const double score = score_of(gather(points[i], {begin, begin + each}), options.sweep.metric);
      if (score <= fold.inner_score) continue;
      fold.inner_score = score;
      fold.chosen = points[i];
    }
    if (fold.chosen.empty()) fail_usage("every setting diverged on fold " + std::to_string(f));
    base.data.inner_folds = 0;
    base.data.inner_fold = 0;
    if (base.train.patience == 0) base.data.validation = 0;  // else early stopping needs its share
    std::vector<Job> last;
    for (std::int64_t s = 0; s < seeds; ++s)
      last.push_back({fold.chosen, with(base, fold.chosen, first_seed + s)});
    for (const JobOutcome& outcome : run_jobs(last, options.sweep, out)) {
      if (!outcome.failure.empty())
        throw Error(ErrorKind::kDiverged, outcome.run + ": " + outcome.failure);
      fold.runs.push_back(outcome.run);
      fold.test.push_back(outcome.result.test.at("accuracy"));
    }
    accuracies.push_back(mean_sd(fold.test).mean);
    result.folds.push_back(std::move(fold));
  }
  result.accuracy = mean_sd(accuracies);
  return result;
}

}  // namespace attend::train
