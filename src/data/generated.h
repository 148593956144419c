#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "attend/data/parallel.h"

// What the generators of sentence pairs share.
namespace attend::data {

/// Appends a token behind a space.
void add_token(std::string& text, std::string_view token);

/// Throws kUsage, naming the set, unless 10 ≤ rows ≤ most.
void require_rows(const std::string& name, std::int64_t rows, std::uint64_t most);

/// 80 : 10 : 10, in the order given (the generators draw at random); numbers the lines.
ParallelCorpus split_pairs(std::vector<SentencePair> pairs, const std::string& name,
                           std::uint64_t seed);

}  // namespace attend::data
