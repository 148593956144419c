#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/train/translation_metrics.h"

namespace attend::train {
namespace {

void check_bootstrap(const SegmentScores& scores, const BootstrapOptions& options) {
  if (options.samples < 40 || options.samples > 1'000'000)
    fail_usage("bootstrap: samples is " + std::to_string(options.samples) +
               "; give 40…1000000 (the interval leaves out 1 in 40 at either end)");
  if (scores.segments.empty()) fail_usage("bootstrap: there are no segments");
}

/// Scores of resample `sample` of each system, all on the same segments.
std::vector<double> resampled(std::initializer_list<const SegmentScores*> systems,
                              const BootstrapOptions& options, std::int64_t sample) {
  Random random(options.seed, Purpose::kSplit, static_cast<std::uint64_t>(sample));
  const std::size_t n = (*systems.begin())->segments.size();
  std::vector<SegmentCounts> sums;
  for (const SegmentScores* system : systems) sums.emplace_back(system->segments[0].size());
  for (std::size_t i = 0; i < n; ++i) {
    const auto segment = static_cast<std::size_t>(random.below(n));
    std::size_t s = 0;
    for (const SegmentScores* system : systems) {
      const SegmentCounts& counts = system->segments[segment];
      for (std::size_t k = 0; k < counts.size(); ++k) sums[s][k] += counts[k];
      ++s;
    }
  }
  std::vector<double> out;
  std::size_t s = 0;
  for (const SegmentScores* system : systems) out.push_back(system->score(sums[s++]));
  return out;
}

}  // namespace

Bootstrap bootstrap(const SegmentScores& scores, const BootstrapOptions& options) {
  check_bootstrap(scores, options);
  std::vector<double> values;
  Bootstrap out;
  for (std::int64_t i = 0; i < options.samples; ++i) {
    values.push_back(resampled({&scores}, options, i)[0]);
    out.mean += values.back() / static_cast<double>(options.samples);
  }
  std::sort(values.begin(), values.end());
  const std::size_t low = values.size() / 40;
  out.interval = {values[low], values[values.size() - low - 1]};
  out.half_width = (out.interval[1] - out.interval[0]) / 2;
  return out;
}

PairedBootstrap paired_bootstrap(const SegmentScores& a, const SegmentScores& b,
                                 const BootstrapOptions& options) {
  check_bootstrap(a, options);
  if (a.segments.size() != b.segments.size())
    fail_usage("paired_bootstrap: " + std::to_string(a.segments.size()) + " segments against " +
               std::to_string(b.segments.size()));
  if (a.signature != b.signature)
    fail_usage("paired_bootstrap: different scores: " + a.signature + " and " + b.signature);
  PairedBootstrap out;
  out.a = a.corpus();
  out.b = b.corpus();
  std::vector<double> differences;
  double mean = 0, wins = 0;
  const auto samples = static_cast<double>(options.samples);
  for (std::int64_t i = 0; i < options.samples; ++i) {
    const std::vector<double> scores = resampled({&a, &b}, options, i);
    differences.push_back(std::abs(scores[1] - scores[0]));
    mean += differences.back() / samples;
    wins += scores[1] > scores[0];
  }
  double beyond = 0;
  for (const double difference : differences) beyond += difference - mean > std::abs(out.b - out.a);
  out.p = (beyond + 1) / (samples + 1);
  out.wins = wins / samples;
  return out;
}

}  // namespace attend::train
