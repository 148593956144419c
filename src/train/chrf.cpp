#include <algorithm>
#include <array>
#include <unordered_map>

#include "data/unicode.h"
#include "train/segments.h"

namespace attend::train {
namespace {

constexpr std::size_t kChrfOrder = 6;
constexpr double kBetaSquared = 4;
// Counts of a segment: for each order [n-grams of the hypothesis, of the reference, matches].

/// n-grams of each order over characters without white space, with their counts.
using CharacterGrams = std::array<std::unordered_map<std::string, std::int64_t>, kChrfOrder>;

CharacterGrams character_grams(const std::string& text) {
  std::string packed;
  std::vector<std::size_t> starts;  // of characters in packed, and its end
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t start = place;
    if (is_python_space(data::next_code_point(text, place))) continue;
    starts.push_back(packed.size());
    packed.append(text, start, place - start);
  }
  starts.push_back(packed.size());
  CharacterGrams out;
  for (std::size_t n = 1; n <= kChrfOrder; ++n)
    for (std::size_t i = 0; i + n < starts.size(); ++i)
      ++out[n - 1][packed.substr(starts[i], starts[i + n] - starts[i])];
  return out;
}

SegmentCounts matches_of(const CharacterGrams& hypothesis, const CharacterGrams& reference) {
  SegmentCounts out(3 * kChrfOrder);
  for (std::size_t n = 0; n < kChrfOrder; ++n) {
    for (const auto& [gram, count] : hypothesis[n]) {
      if (!reference[n].empty()) out[3 * n] += count;
      const auto found = reference[n].find(gram);
      if (found != reference[n].end()) out[3 * n + 2] += std::min(count, found->second);
    }
    for (const auto& [gram, count] : reference[n]) out[3 * n + 1] += count;
  }
  return out;
}

double chrf_of(const SegmentCounts& sums) {
  double precision = 0, recall = 0;
  int orders = 0;
  for (std::size_t n = 0; n < kChrfOrder; ++n) {
    if (sums[3 * n] == 0 || sums[3 * n + 1] == 0) continue;
    const auto matches = static_cast<double>(sums[3 * n + 2]);
    precision += matches / static_cast<double>(sums[3 * n]);
    recall += matches / static_cast<double>(sums[3 * n + 1]);
    ++orders;
  }
  if (orders == 0 || precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  return 100 * (1 + kBetaSquared) * precision * recall / (kBetaSquared * precision + recall);
}

}  // namespace

SegmentScores chrf(const std::vector<std::string>& hypotheses,
                   const std::vector<References>& references) {
  check_segments("chrf", hypotheses, references);
  SegmentScores out;
  for (std::size_t i = 0; i < hypotheses.size(); ++i) {
    const CharacterGrams grams = character_grams(hypotheses[i]);
    SegmentCounts best;
    for (const std::string& reference : references[i]) {
      SegmentCounts counts = matches_of(grams, character_grams(reference));
      if (best.empty() || chrf_of(counts) > chrf_of(best)) best = std::move(counts);
    }
    out.segments.push_back(std::move(best));
  }
  out.score = &chrf_of;
  out.signature = "nrefs:" + std::to_string(references[0].size()) +
                  "|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0";
  return out;
}

}  // namespace attend::train
