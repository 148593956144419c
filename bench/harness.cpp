#include "harness.h"

#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "attend/base/threads.h"

namespace attend::bench {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<std::function<std::vector<Case>()>>& registry() {
  static std::vector<std::function<std::vector<Case>()>> makers;
  return makers;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Of all threads of this process.
long involuntary_switches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

struct Sample {
  double value = 0;
  bool clean = true;
};

/// Seconds of one call, averaged over `repeats` calls in a row.
Sample timed(const std::function<void()>& call, int repeats) {
  const long before = involuntary_switches();
  const auto start = Clock::now();
  for (int i = 0; i < repeats; ++i) call();
  const double seconds = seconds_since(start) / repeats;
  return {seconds, involuntary_switches() == before};
}

/// So many calls that one timing lasts about 2 ms: below that the clock and the first cold call
/// would show.
int repeats_for(const std::function<void()>& call) {
  constexpr double kSecondsPerTiming = 2e-3;
  call();  // allocates, faults pages in, wakes threads
  call();
  const double once = std::max(timed(call, 1).value, 1e-9);
  return static_cast<int>(std::clamp(std::ceil(kSecondsPerTiming / once), 1.0, 1e6));
}

int count_clean(const std::vector<Sample>& samples) {
  return static_cast<int>(std::ranges::count_if(samples, [](const Sample& s) { return s.clean; }));
}

/// Median of the clean samples; of all where fewer than `enough` are clean.
double median_of_clean(const std::vector<Sample>& samples, int enough) {
  const bool all = count_clean(samples) < enough;
  std::vector<double> values;
  for (const Sample& s : samples)
    if (all || s.clean) values.push_back(s.value);
  return median(std::move(values));
}

struct Series {
  std::vector<Sample> ours, peer, peak, copy;
};

Series alternate(const Case& what, const Runs& runs, int threads, const Options& options) {
  CopyProbe probe(what.bytes, threads);
  const std::function<void()> copy = [&] { probe.seconds(); };
  const int copy_repeats = what.bytes > 0 ? repeats_for(copy) : 0;
  const int ours_repeats = repeats_for(runs.ours), peer_repeats = repeats_for(runs.peer);
  Series series;
  const auto start = Clock::now();
  for (;;) {
    const double elapsed = seconds_since(start);
    const int clean = std::min(count_clean(series.ours), count_clean(series.peer));
    const bool enough_runs = static_cast<int>(series.ours.size()) >= options.alternations;
    if (enough_runs && clean >= options.alternations && elapsed >= options.seconds) break;
    if (enough_runs && elapsed >= options.patience) break;
    series.ours.push_back(timed(runs.ours, ours_repeats));
    series.peer.push_back(timed(runs.peer, peer_repeats));
    const long before = involuntary_switches();
    const double peak = fma_gflops(what.dtype, threads);
    series.peak.push_back({peak, involuntary_switches() == before});
    if (what.bytes > 0) series.copy.push_back(timed(copy, copy_repeats));
  }
  return series;
}

}  // namespace

CopyProbe::CopyProbe(double bytes, int threads)
    : threads_(threads),
      from_(static_cast<std::size_t>(bytes / 8), 1.0F),
      to_(from_.size(), 0.0F) {}

double CopyProbe::seconds() {
  const auto start = Clock::now();
  const std::size_t n = from_.size(), part = n / static_cast<std::size_t>(threads_) + 1;
  parallel_run(threads_, [&](int i) {
    const std::size_t begin = std::min(n, part * static_cast<std::size_t>(i));
    const std::size_t end = std::min(n, begin + part);
    if (end > begin) std::memcpy(&to_[begin], &from_[begin], (end - begin) * sizeof(float));
  });
  return seconds_since(start);
}

Registration::Registration(std::function<std::vector<Case>()> cases) {
  registry().push_back(std::move(cases));
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& make : registry())
    for (Case& one : make()) cases.push_back(std::move(one));
  std::ranges::stable_sort(cases, {}, &Case::op);  // registration order differs between linkers
  return cases;
}

Row measure(const Case& what, const Options& options) {
  attend::set_threads(options.threads);
  const int threads = attend::threads();
  at::set_num_threads(threads);

  const Runs runs = what.prepare();
  const Series series = alternate(what, runs, threads, options);
  const int clean = std::min(count_clean(series.ours), count_clean(series.peer));
  const int all = static_cast<int>(series.ours.size());

  Row row;
  row.what = what;
  row.threads = threads;
  row.runs = clean >= options.alternations ? clean : all;
  row.dropped = all - row.runs;
  row.ours_ms = 1e3 * median_of_clean(series.ours, options.alternations);
  row.peer_ms = 1e3 * median_of_clean(series.peer, options.alternations);
  row.ratio = row.peer_ms / row.ours_ms;
  row.peak_gflops =
      std::ranges::max_element(series.peak, {}, &Sample::value)->value;  // noise only lowers it
  if (what.flops > 0) {
    row.gflops = what.flops / row.ours_ms * 1e-6;
    row.fraction_of_peak = row.gflops / row.peak_gflops;
    row.limit_ms = what.flops / row.peak_gflops * 1e-6;
  }
  if (what.bytes > 0) {
    const double seconds = median_of_clean(series.copy, options.alternations);
    row.copy_gbps = what.bytes / seconds * 1e-9;
    row.limit_ms = std::max(row.limit_ms, 1e3 * seconds);
  }
  return row;
}

}  // namespace attend::bench
