#include "attend/explain/agreement.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "explain/none.h"

namespace attend::explain {
namespace {

std::int64_t pairs(std::int64_t n) { return n * (n - 1) / 2; }

// Pairs of equal neighbours' groups in a sorted range.
template <class Same>
std::int64_t tied_pairs(std::size_t n, const Same& same) {
  std::int64_t ties = 0, run = 1;
  for (std::size_t i = 1; i <= n; ++i) {
    if (i < n && same(i - 1, i)) {
      ++run;
      continue;
    }
    ties += pairs(run);
    run = 1;
  }
  return ties;
}

// Sorts v and returns how many pairs stood in the wrong order.
std::int64_t sort_counting(std::vector<double>& v, std::vector<double>& spare) {
  std::int64_t swaps = 0;
  for (std::size_t width = 1; width < v.size(); width *= 2) {
    for (std::size_t low = 0; low < v.size(); low += 2 * width) {
      const std::size_t middle = std::min(low + width, v.size()),
                        high = std::min(low + 2 * width, v.size());
      std::size_t left = low, right = middle;
      for (std::size_t out = low; out < high; ++out) {
        if (left < middle && (right >= high || v[left] <= v[right])) {
          spare[out] = v[left++];
        } else {
          swaps += static_cast<std::int64_t>(middle - left);
          spare[out] = v[right++];
        }
      }
    }
    std::swap(v, spare);
  }
  return swaps;
}

// τ-b times its denominator, and the denominator, by Knight's algorithm. No NaN in a or b.
std::pair<double, double> tau_parts(const std::vector<double>& a, const std::vector<double>& b) {
  const std::size_t n = a.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t i, std::size_t j) { return a[i] != a[j] ? a[i] < a[j] : b[i] < b[j]; });
  const auto same_a = [&](std::size_t i, std::size_t j) { return a[order[i]] == a[order[j]]; };
  const std::int64_t ties_a = tied_pairs(n, same_a);
  const std::int64_t ties_both = tied_pairs(
      n, [&](std::size_t i, std::size_t j) { return same_a(i, j) && b[order[i]] == b[order[j]]; });
  std::vector<double> sorted(n), spare(n);
  for (std::size_t i = 0; i < n; ++i) sorted[i] = b[order[i]];
  const std::int64_t swaps = sort_counting(sorted, spare);
  const std::int64_t ties_b =
      tied_pairs(n, [&](std::size_t i, std::size_t j) { return sorted[i] == sorted[j]; });
  const std::int64_t all = pairs(static_cast<std::int64_t>(n));
  const double score = static_cast<double>(all - ties_a - ties_b + ties_both - 2 * swaps);
  return {score, std::sqrt(static_cast<double>(all - ties_a)) *
                     std::sqrt(static_cast<double>(all - ties_b))};
}

bool has_nan(const std::vector<double>& v) {
  return std::any_of(v.begin(), v.end(), [](double x) { return std::isnan(x); });
}

// The score of one order of b beside another: a's groups stay, so only pairs that a tells apart
// count. Short lists (the usual sentence) are counted pair by pair, which is several times quicker
// than sorting.
class Shuffled {
 public:
  Shuffled(const std::vector<double>& a, const std::vector<double>& b) : a_(a), b_(b) {
    std::vector<std::size_t> order(a.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t i, std::size_t j) { return a[i] < a[j]; });
    for (std::size_t i = 0; i < order.size(); ++i) a_[i] = a[order[i]], b_[i] = b[order[i]];
    for (std::size_t i = 0; i < a_.size(); ++i)  // first place whose a is larger
      next_.push_back(
          static_cast<std::size_t>(std::upper_bound(a_.begin(), a_.end(), a_[i]) - a_.begin()));
  }

  void shuffle(Random& random) {
    for (std::size_t i = b_.size(); i > 1; --i) std::swap(b_[i - 1], b_[random.below(i)]);
  }

  double score() const {
    if (a_.size() > kPairwise) return tau_parts(a_, b_).first;
    std::int64_t score = 0;
    for (std::size_t i = 0; i < a_.size(); ++i)
      for (std::size_t j = next_[i]; j < a_.size(); ++j) score += (b_[j] > b_[i]) - (b_[j] < b_[i]);
    return static_cast<double>(score);
  }

 private:
  static constexpr std::size_t kPairwise = 48;
  std::vector<double> a_, b_;
  std::vector<std::size_t> next_;
};

double quantile(const std::vector<double>& sorted, double q) {  // linear between neighbours
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (place - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

/// Two lists of magnitudes that have a τ.
struct Ranked {
  Shuffled shuffled;
  double score, scale;
};

std::optional<Ranked> ranked(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size())
    fail_usage("attend::explain: rank_agreement of " + std::to_string(a.size()) + " and " +
               std::to_string(b.size()) + " values; give equally many");
  std::vector<double> x, y;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) || std::isnan(b[i])) continue;
    x.push_back(std::abs(a[i]));
    y.push_back(std::abs(b[i]));
  }
  if (x.size() < 2) return std::nullopt;
  const auto [score, scale] = tau_parts(x, y);
  if (!(scale > 0)) return std::nullopt;
  return Ranked{Shuffled(x, y), score, scale};
}

/// Mean τ of the rows, and its band when each row is shuffled in itself.
Agreement agreement_of(std::vector<Ranked>& rows, const ShuffleOptions& options) {
  if (rows.empty()) return {kNone, kNone, kNone, kNone};
  const auto n = static_cast<double>(rows.size());
  double tau = 0;
  for (const Ranked& row : rows) tau += row.score / row.scale / n;
  Agreement result{std::clamp(tau, -1.0, 1.0), kNone, kNone, kNone};
  if (options.shuffles < 1) return result;
  Random random(options.seed, Purpose::kExplain, options.index);
  std::vector<double> taus(static_cast<std::size_t>(options.shuffles));
  std::int64_t as_good = 0;
  for (double& shuffled : taus) {
    shuffled = 0;
    for (Ranked& row : rows) {
      row.shuffled.shuffle(random);
      shuffled += row.shuffled.score() / row.scale / n;
    }
    as_good += shuffled >= tau;
  }
  std::sort(taus.begin(), taus.end());
  result.chance = static_cast<double>(1 + as_good) / static_cast<double>(1 + options.shuffles);
  result.band_low = quantile(taus, .025);
  result.band_high = quantile(taus, .975);
  return result;
}

}  // namespace

double kendall_tau_b(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size())
    fail_usage("attend::explain: kendall_tau_b of " + std::to_string(a.size()) + " and " +
               std::to_string(b.size()) + " values; give equally many");
  if (a.size() < 2 || has_nan(a) || has_nan(b)) return kNone;
  const auto [score, scale] = tau_parts(a, b);
  return scale > 0 ? std::clamp(score / scale, -1.0, 1.0) : kNone;
}

Agreement mean_rank_agreement(const std::vector<std::vector<double>>& a,
                              const std::vector<std::vector<double>>& b,
                              const ShuffleOptions& options) {
  if (a.size() != b.size())
    fail_usage("attend::explain: mean_rank_agreement of " + std::to_string(a.size()) + " and " +
               std::to_string(b.size()) + " rows; give equally many");
  std::vector<Ranked> rows;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (auto row = ranked(a[i], b[i])) rows.push_back(std::move(*row));
  return agreement_of(rows, options);
}

Agreement rank_agreement(const std::vector<double>& a, const std::vector<double>& b,
                         const ShuffleOptions& options) {
  return mean_rank_agreement({a}, {b}, options);
}

double mean_pairwise_tau(const std::vector<std::vector<double>>& lists) {
  double total = 0;
  std::int64_t n = 0;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    for (std::size_t j = i + 1; j < lists.size(); ++j) {
      const double tau = kendall_tau_b(lists[i], lists[j]);
      if (std::isnan(tau)) continue;
      total += tau;
      ++n;
    }
  }
  return n > 0 ? total / static_cast<double>(n) : kNone;
}

}  // namespace attend::explain
