#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <unordered_map>
#include <utility>

#include "train/segments.h"

namespace attend::train {
namespace {

constexpr std::size_t kBleuOrder = 4;
// Counts of a segment: [hypothesis length, reference length, matches of order 1…4, n-grams 1…4].
constexpr std::size_t kMatches = 2, kGrams = 2 + kBleuOrder, kBleuCounts = 2 + 2 * kBleuOrder;

void replace_text(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_stop(char c) { return c == '.' || c == ','; }

constexpr std::array<std::pair<const char*, const char*>, 4> kEntities = {
    {{"&quot;", "\""}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}}};

/// ASCII punctuation without ' , - . which have rules of their own.
bool is_apart(char c) {
  return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
         (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

/// One of mteval-v13a's rules: where two neighbouring bytes match, writes them with `between`
/// around; matches do not overlap. Bytes stand for characters, as all that rules name are ASCII.
template <class Match>
std::string pairs_apart(const std::string& text, Match matches, const char* first,
                        const char* between, const char* last) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i + 1 < text.size() && matches(text[i], text[i + 1])) {
      out += first;
      out += text[i];
      out += between;
      out += text[i + 1];
      out += last;
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// n-grams of orders 1…4 with their counts; the words of one are joined by spaces, which no word
/// holds.
std::unordered_map<std::string, std::int64_t> grams_of(const std::vector<std::string>& words) {
  std::unordered_map<std::string, std::int64_t> out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string gram;
    for (std::size_t n = 0; n < kBleuOrder && i + n < words.size(); ++n) {
      gram += (n == 0 ? "" : " ") + words[i + n];
      ++out[gram];
    }
  }
  return out;
}

std::size_t order_of(const std::string& gram) {
  return static_cast<std::size_t>(std::count(gram.begin(), gram.end(), ' '));
}

std::vector<std::string> bleu_words(const std::string& text) {
  return python_split(tokenize_13a(std::string(python_rstrip(text))));
}

SegmentCounts bleu_counts(const std::string& hypothesis, const References& references) {
  const std::vector<std::string> words = bleu_words(hypothesis);
  const auto length = static_cast<std::int64_t>(words.size());
  std::unordered_map<std::string, std::int64_t> most;
  std::int64_t nearest = -1;
  for (const std::string& reference : references) {
    const std::vector<std::string> theirs = bleu_words(reference);
    const auto n = static_cast<std::int64_t>(theirs.size());
    const std::int64_t here = std::abs(n - length), there = std::abs(nearest - length);
    if (nearest < 0 || here < there || (here == there && n < nearest)) nearest = n;
    for (const auto& [gram, count] : grams_of(theirs)) most[gram] = std::max(most[gram], count);
  }
  SegmentCounts out(kBleuCounts);
  out[0] = length;
  out[1] = nearest;
  for (const auto& [gram, count] : grams_of(words)) {
    const std::size_t n = order_of(gram);
    out[kGrams + n] += count;
    const auto found = most.find(gram);
    if (found != most.end()) out[kMatches + n] += std::min(count, found->second);
  }
  return out;
}

double bleu_of(const SegmentCounts& sums) {
  const auto hypothesis = static_cast<double>(sums[0]), reference = static_cast<double>(sums[1]);
  double brevity = 1;
  if (sums[0] < sums[1]) brevity = sums[0] > 0 ? std::exp(1 - reference / hypothesis) : 0;
  bool any = false;
  for (std::size_t n = 0; n < kBleuOrder; ++n) any = any || sums[kMatches + n] > 0;
  if (!any) return 0;
  double log_sum = 0, smooth = 1;
  for (std::size_t n = 0; n < kBleuOrder; ++n) {
    if (sums[kGrams + n] == 0) return 0;
    const auto grams = static_cast<double>(sums[kGrams + n]);
    const auto matches = static_cast<double>(sums[kMatches + n]);
    if (matches == 0) smooth *= 2;  // Chen and Cherry 2014, method 3
    log_sum += std::log(matches == 0 ? 100 / (smooth * grams) : 100 * matches / grams);
  }
  return brevity * std::exp(log_sum / kBleuOrder);
}

}  // namespace

std::string tokenize_13a(const std::string& line) {
  std::string text = line;
  replace_text(text, "<skipped>", "");
  replace_text(text, "-\n", "");
  replace_text(text, "\n", " ");
  for (const auto& [from, to] : kEntities) replace_text(text, from, to);
  std::string apart;
  for (const char c : " " + text + " ")
    apart += is_apart(c) ? std::string{' ', c, ' '} : std::string(1, c);
  apart = pairs_apart(
      apart, [](char a, char b) { return !is_digit(a) && is_stop(b); }, "", " ", " ");
  apart = pairs_apart(
      apart, [](char a, char b) { return is_stop(a) && !is_digit(b); }, " ", " ", "");
  apart = pairs_apart(
      apart, [](char a, char b) { return is_digit(a) && b == '-'; }, "", " ", " ");
  std::string out;
  for (const std::string& word : python_split(apart)) out += (out.empty() ? "" : " ") + word;
  return out;
}

SegmentScores bleu(const std::vector<std::string>& hypotheses,
                   const std::vector<References>& references) {
  check_segments("bleu", hypotheses, references);
  SegmentScores out;
  for (std::size_t i = 0; i < hypotheses.size(); ++i)
    out.segments.push_back(bleu_counts(hypotheses[i], references[i]));
  out.score = &bleu_of;
  out.signature = "nrefs:" + std::to_string(references[0].size()) +
                  "|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0";
  return out;
}

}  // namespace attend::train
