#include <algorithm>
#include <cmath>
#include <limits>

#include "attend/explain/sentiment.h"
#include "explain/none.h"

namespace attend::explain {
namespace {

double median(std::vector<double> v) {
  v.erase(std::remove_if(v.begin(), v.end(), [](double x) { return std::isnan(x); }), v.end());
  if (v.empty()) return kNone;
  std::sort(v.begin(), v.end());
  const std::size_t half = v.size() / 2;
  return v.size() % 2 == 1 ? v[half] : (v[half - 1] + v[half]) / 2;
}

double mean(const std::vector<double>& v) {
  double total = 0, n = 0;
  for (const double x : v) {
    if (std::isnan(x)) continue;
    total += x;
    ++n;
  }
  return n > 0 ? total / n : kNone;
}

bool was_seen(Seen s) { return s == Seen::kSeen || s == Seen::kUnknown; }

// Σ_deciding |m| / Σ |m| over the words seen; NaN when the measure is missing or zero everywhere.
double share_on_deciding(const SentenceExplanation& e, const std::vector<double>& measure) {
  double deciding = 0, total = 0;
  for (std::size_t i = 0; i < measure.size(); ++i) {
    if (std::isnan(measure[i])) continue;
    total += std::abs(measure[i]);
    if (e.words[i].deciding) deciding += std::abs(measure[i]);
  }
  return total > 0 ? deciding / total : kNone;
}

}  // namespace

Summary summarise(const std::vector<SentenceExplanation>& explanations) {
  Summary s;
  s.sentences = static_cast<std::int64_t>(explanations.size());
  std::vector<double> tau, seeds, padding, words, attention, leave_one_out, gradient;
  for (const auto& e : explanations) {
    tau.push_back(e.attention_leave_one_out.tau);
    seeds.push_back(e.seed_agreement);
    padding.push_back(e.attention.empty() ? kNone : e.attention_on_padding);
    double seen = 0, deciding = 0;
    for (std::size_t i = 0; i < e.words.size(); ++i) {
      if (!was_seen(e.seen[i])) continue;
      ++seen;
      deciding += e.words[i].deciding;
    }
    if (deciding == 0) continue;
    ++s.with_truth;
    words.push_back(deciding / seen);
    attention.push_back(share_on_deciding(e, e.attention));
    leave_one_out.push_back(share_on_deciding(e, e.leave_one_out));
    gradient.push_back(share_on_deciding(e, e.gradient_x_input));
  }
  s.median_tau = median(tau);
  s.median_seed_agreement = median(seeds);
  s.mean_attention_on_padding = mean(padding);
  s.words = mean(words);
  s.attention = mean(attention);
  s.leave_one_out = mean(leave_one_out);
  s.gradient_x_input = mean(gradient);
  return s;
}

}  // namespace attend::explain
