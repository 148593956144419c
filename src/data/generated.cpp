#include "data/generated.h"

#include <algorithm>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/random.h"

namespace attend::data {

void add_token(std::string& text, std::string_view token) {
  if (!text.empty()) text += ' ';
  text += token;
}

void require_rows(const std::string& name, std::int64_t rows, std::uint64_t most) {
  if (rows < 10 || rows > static_cast<std::int64_t>(most))
    fail_usage(name + ": rows is " + std::to_string(rows) + "; give 10…" + std::to_string(most));
}

ParallelCorpus split_pairs(std::vector<SentencePair> pairs, const std::string& name,
                           std::uint64_t seed) {
  // Early draws are shorter than late ones (short numbers run out), so the order is mixed first.
  Random random(seed, Purpose::kSplit);
  for (std::size_t i = pairs.size(); i > 1; --i)
    std::swap(pairs[i - 1], pairs[static_cast<std::size_t>(random.below(i))]);
  const std::size_t part = pairs.size() / 10;
  const std::size_t train = pairs.size() - 2 * part;
  ParallelCorpus out;
  const auto take = [&](ParallelSet& set, const char* title, std::size_t first, std::size_t last) {
    set.name = name + " " + title;
    for (std::size_t i = first; i < last; ++i) {
      pairs[i].file = name;
      pairs[i].line = static_cast<std::int64_t>(i) + 1;
      set.pairs.push_back(std::move(pairs[i]));
    }
  };
  take(out.train, "train", 0, train);
  take(out.validation, "validation", train, train + part);
  take(out.test, "test", train + part, pairs.size());
  return out;
}

}  // namespace attend::data
