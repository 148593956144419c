#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "attend/base/error.h"
#include "attend/explain/agreement.h"
#include "explain/none.h"

namespace attend::explain {
namespace {

constexpr double kNormal975 = 1.959963984540054;  // 97.5 % quantile of the normal distribution

// 97.5 % quantile of Student's t: exact for few degrees of freedom, then the Cornish–Fisher
// expansion (error below 2e-5).
double student975(std::size_t freedom) {
  static const double kTable[] = {12.706204736, 4.302652730, 3.182446305, 2.776445105, 2.570581836,
                                  2.446911851,  2.364624252, 2.306004135, 2.262157163, 2.228138852};
  if (freedom <= 10) return kTable[freedom - 1];
  const double z = kNormal975, n = static_cast<double>(freedom), z3 = z * z * z, z5 = z3 * z * z,
               z7 = z5 * z * z;
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n);
}

/// The place of the first of the largest numbers among those that `beside` has as well; the row's size where there is none.
std::size_t largest_place(const std::vector<double>& row, const std::vector<double>& beside) {
  std::size_t best = row.size();
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (std::isnan(row[i]) || std::isnan(beside[i])) continue;
    if (best == row.size() || row[i] > row[best]) best = i;
  }
  return best;
}

}  // namespace

RowComparison compare_rows(const std::vector<std::vector<double>>& attention,
                           const std::vector<std::vector<double>>& effects,
                           const ShuffleOptions& options) {
  RowComparison out;
  out.attention_leave_one_out = {kNone, kNone, kNone, kNone};
  if (!attention.empty())
    out.attention_leave_one_out = mean_rank_agreement(attention, effects, options);
  for (std::size_t t = 0; t < attention.size(); ++t) {
    const std::size_t needed = largest_place(effects[t], attention[t]);
    if (needed == effects[t].size()) continue;
    ++out.compared;
    out.same_token += needed == largest_place(attention[t], attention[t]);
  }
  out.verdict = verdict_of_rows(attention, out.attention_leave_one_out);
  return out;
}

double entropy_bits(const std::vector<double>& weights) {
  double total = 0, bits = 0;
  for (const double w : weights) total += w > 0 ? w : 0;
  if (!(total > 0)) return 0;
  for (const double w : weights)
    if (w > 0) bits -= w / total * std::log2(w / total);
  return std::max(0.0, bits);
}

Verdict verdict(const std::vector<double>& attention, const Agreement& agreement) {
  return verdict_of_rows({attention}, agreement);
}

Verdict verdict_of_rows(const std::vector<std::vector<double>>& attention,
                        const Agreement& agreement) {
  if (attention.empty()) return Verdict::kNoAttention;
  std::ptrdiff_t words = 0, rows = 0;
  double entropy = 0;  // shares of the most that a row of so many words can have
  for (const auto& row : attention) {
    const auto seen =
        std::count_if(row.begin(), row.end(), [](double w) { return !std::isnan(w); });
    words = std::max(words, seen);
    if (seen < 2) continue;
    entropy += entropy_bits(row) / std::log2(static_cast<double>(seen)), ++rows;
  }
  if (words == 0) return Verdict::kNoAttention;
  if (words == 1) return Verdict::kOneWord;
  if (entropy > .98 * static_cast<double>(rows)) return Verdict::kAllEqual;
  if (words < 5) return Verdict::kFewWords;
  if (std::isnan(agreement.tau)) return Verdict::kNoEffect;
  if (agreement.tau < 0) return Verdict::kDisagree;
  if (agreement.tau < .2 || agreement.chance > .05) return Verdict::kWeak;
  return agreement.tau < .6 ? Verdict::kInPart : Verdict::kWell;
}

Interval wilson(std::int64_t correct, std::int64_t total) {
  if (total <= 0) return {kNone, kNone, kNone};
  const double n = static_cast<double>(total), p = static_cast<double>(correct) / n, z = kNormal975;
  const double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {p, std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

Interval paired_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size())
    fail_usage("attend::explain: paired_difference of " + std::to_string(a.size()) + " and " +
               std::to_string(b.size()) + " values; give equally many");
  if (a.empty()) return {kNone, kNone, kNone};
  const double n = static_cast<double>(a.size());
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) mean += (b[i] - a[i]) / n;
  for (std::size_t i = 0; i < a.size(); ++i) square += (b[i] - a[i] - mean) * (b[i] - a[i] - mean);
  if (a.size() < 2) return {mean, kNone, kNone};
  const double half = student975(a.size() - 1) * std::sqrt(square / (n - 1) / n);
  return {mean, mean - half, mean + half};
}

}  // namespace attend::explain
