#include <algorithm>
#include <map>
#include <sstream>

#include "attend/base/error.h"
#include "attend/train/translation_metrics.h"

namespace attend::train {
namespace {

std::int64_t words_in(const std::string& text) {
  std::istringstream in(text);
  std::int64_t n = 0;
  for (std::string word; in >> word;) ++n;
  return n;
}

}  // namespace

std::vector<LengthScore> score_by_length(const SegmentScores& scores,
                                         const std::vector<std::string>& sources,
                                         std::int64_t step) {
  if (step < 1) fail_usage("score_by_length: step is " + std::to_string(step) + "; give 1 or more");
  if (sources.size() != scores.segments.size())
    fail_usage("score_by_length: " + std::to_string(sources.size()) + " sources for " +
               std::to_string(scores.segments.size()) + " segments");
  std::map<std::int64_t, SegmentScores> parts;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const std::int64_t words = std::max<std::int64_t>(words_in(sources[i]), 1);
    SegmentScores& part = parts[(words - 1) / step];
    part.score = scores.score;
    part.segments.push_back(scores.segments[i]);
  }
  std::vector<LengthScore> out;
  out.reserve(parts.size());
  for (const auto& [place, part] : parts)
    out.push_back({place * step + 1, (place + 1) * step,
                   static_cast<std::int64_t>(part.segments.size()), part.corpus(),
                   bootstrap(part).interval});
  return out;
}

}  // namespace attend::train
