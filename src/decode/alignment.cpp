#include <algorithm>

#include "attend/base/error.h"
#include "attend/decode/search.h"

namespace attend::decode {

std::vector<std::int64_t> hard_alignment(const Hypothesis& hypothesis) {
  std::vector<std::int64_t> out;
  for (const auto& row : hypothesis.attention)
    out.push_back(std::max_element(row.begin(), row.end()) - row.begin());
  return out;
}

std::vector<std::string> replace_unknown(const Hypothesis& hypothesis,
                                         std::vector<std::string> words,
                                         std::span<const std::string> source_words,
                                         std::int64_t unk) {
  if (words.size() != hypothesis.tokens.size())
    fail_usage("replace_unknown: " + std::to_string(words.size()) + " words for " +
               std::to_string(hypothesis.tokens.size()) + " tokens");
  const std::vector<std::int64_t> places = hard_alignment(hypothesis);
  for (std::size_t t = 0; t < places.size(); ++t) {
    const auto place = static_cast<std::size_t>(places[t]);
    if (hypothesis.tokens[t] == unk && place < source_words.size()) words[t] = source_words[place];
  }
  return words;
}

}  // namespace attend::decode
