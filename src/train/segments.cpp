#include "train/segments.h"

#include <cmath>

#include "attend/base/error.h"
#include "data/unicode.h"

namespace attend::train {

double SegmentScores::corpus() const {
  SegmentCounts sums(segments.at(0).size());
  for (const SegmentCounts& counts : segments)
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += counts[i];
  return score(sums);
}

void check_segments(const char* metric, const std::vector<std::string>& hypotheses,
                    const std::vector<References>& references) {
  const auto fail = [metric](const std::string& what) { fail_usage(metric + (": " + what)); };
  if (hypotheses.size() != references.size())
    fail(std::to_string(hypotheses.size()) + " hypotheses for " +
         std::to_string(references.size()) + " references");
  if (hypotheses.empty()) fail("there is nothing to score");
  for (std::size_t i = 0; i < references.size(); ++i) {
    if (references[i].empty() || references[i].size() != references[0].size())
      fail("segment " + std::to_string(i) + " has " + std::to_string(references[i].size()) +
           " references, the first one has " + std::to_string(references[0].size()));
    data::require_utf8(hypotheses[i], "a hypothesis");
    for (const std::string& reference : references[i]) data::require_utf8(reference, "a reference");
  }
}

std::vector<References> single_references(const std::vector<std::string>& texts) {
  std::vector<References> out;
  out.reserve(texts.size());
  for (const std::string& text : texts) out.push_back({text});
  return out;
}

bool is_python_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

std::vector<std::string> python_split(std::string_view text) {
  std::vector<std::string> out;
  bool is_open = false;
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t start = place;
    const bool is_space = is_python_space(data::next_code_point(text, place));
    if (!is_space && !is_open) out.emplace_back();
    if (!is_space) out.back() += text.substr(start, place - start);
    is_open = !is_space;
  }
  return out;
}

std::string_view python_rstrip(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t place = 0; place < text.size();)
    if (!is_python_space(data::next_code_point(text, place))) end = place;
  return text.substr(0, end);
}

double perplexity(double nats, std::int64_t tokens) {
  if (tokens < 1 || !(nats >= 0))
    fail_usage("perplexity: " + std::to_string(nats) + " nats over " + std::to_string(tokens) +
               " tokens; give 0 nats or more, 1 token or more");
  return std::exp(nats / static_cast<double>(tokens));
}

double bits_per_character(double nats, std::int64_t characters) {
  return std::log2(perplexity(nats, characters));
}

}  // namespace attend::train
