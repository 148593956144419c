#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "decode/rows.h"

namespace attend::decode {
namespace {

void check_sampling(const SampleOptions& o) {
  const auto fail = [](const std::string& what) { fail_usage("sample: " + what); };
  if (o.samples < 1 || o.samples > 1000)
    fail("samples is " + std::to_string(o.samples) + "; give 1…1000");
  if (!(o.temperature > 0) || std::isinf(o.temperature))
    fail("temperature is " + std::to_string(o.temperature) + "; give more than 0 (greedy is 0)");
  if (o.top_k < 0) fail("top_k is " + std::to_string(o.top_k) + "; give 0 (all) or more");
  if (!(o.top_p > 0 && o.top_p <= 1))
    fail("top_p is " + std::to_string(o.top_p) + "; give more than 0, at most 1");
}

/// A token and its weight, not yet divided by the sum.
struct Weighted {
  std::int64_t token = 0;
  double weight = 0;
};

/// The tokens that may be drawn, likeliest first when there is a cut.
std::vector<Weighted> candidates_of(const double* log_p, std::int64_t n, const SampleOptions& o) {
  const double most = *std::max_element(log_p, log_p + n);
  std::vector<Weighted> out;
  if (std::isinf(most)) return out;
  for (std::int64_t token = 0; token < n; ++token)
    if (!std::isinf(log_p[token]))
      out.push_back({token, std::exp((log_p[token] - most) / o.temperature)});
  if (o.top_k == 0 && o.top_p == 1) return out;
  std::stable_sort(out.begin(), out.end(),
                   [](const Weighted& a, const Weighted& b) { return a.weight > b.weight; });
  if (o.top_k > 0 && out.size() > static_cast<std::size_t>(o.top_k))
    out.resize(static_cast<std::size_t>(o.top_k));
  double all = 0;
  for (const Weighted& w : out) all += w.weight;
  double sum = 0;
  std::size_t kept = 0;
  while (kept < out.size() && (kept == 0 || sum < o.top_p * all)) sum += out[kept++].weight;
  if (o.top_p < 1) out.resize(kept);
  return out;
}

std::int64_t draw(const std::vector<Weighted>& candidates, Random& random) {
  double all = 0;
  for (const Weighted& w : candidates) all += w.weight;
  double left = random.uniform() * all;
  for (const Weighted& w : candidates) {
    left -= w.weight;
    if (left < 0) return w.token;
  }
  return candidates.back().token;  // rounding
}

}  // namespace

Hypotheses sample(models::StepModel& model, const SearchOptions& options, const SampleOptions& o) {
  check_sampling(o);
  Stepper stepper("sample", model, options);
  Hypotheses out(static_cast<std::size_t>(stepper.sources()));
  std::vector<Row> rows;
  std::vector<Random> streams;  // one for each row
  for (const Row& row : stepper.first_rows())
    for (std::int64_t s = 0; s < o.samples; ++s) {
      rows.push_back(row);
      // 1,024 streams a source, whatever `samples` is: more samples leave the first ones as they are
      const std::uint64_t number = o.first_source + static_cast<std::uint64_t>(row.source);
      streams.emplace_back(o.seed, Purpose::kSearch, number * 1024 + static_cast<std::uint64_t>(s));
    }
  while (!rows.empty()) {
    StepRows step = stepper.step(rows);
    std::vector<Row> next;
    std::vector<Random> next_streams;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto place = static_cast<std::int64_t>(r);
      auto& found = out[static_cast<std::size_t>(rows[r].source)];
      const double* row = step.scores(r);
      const auto candidates = candidates_of(row, step.vocabulary(), o);
      if (candidates.empty()) {
        found.push_back(to_hypothesis(rows[r].trail, rows[r].log_probability));
        found.back().ended = false;
        continue;
      }
      const std::int64_t token = draw(candidates, streams[r]);
      const double log_p = rows[r].log_probability + row[token];
      if (stepper.is_eos(token)) {
        found.push_back(to_hypothesis(rows[r].trail, log_p));
      } else {
        next.push_back(
            {rows[r].source, place, token, log_p, extend(rows[r].trail, token, step.attention(r))});
        next_streams.push_back(streams[r]);
      }
    }
    rows = std::move(next);
    streams = std::move(next_streams);
  }
  for (auto& found : out)
    std::stable_sort(found.begin(), found.end(), [](const Hypothesis& a, const Hypothesis& b) {
      return a.log_probability > b.log_probability;
    });
  return out;
}

}  // namespace attend::decode
