#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "attend/data/codec.h"

namespace attend::data {

inline constexpr char kSpaceMark[] = "▁";  // U+2581, begins a word that white space precedes

/// What to do with a pair of neighbouring tokens: its rank (lower merges first) and result.
struct MergeRule {
  std::int64_t rank = 0;
  std::int64_t result = 0;
};

/// A pair of ids as one key.
inline std::uint64_t pair_key(std::int64_t left, std::int64_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
}

struct TextCodec::State {
  State(std::vector<std::string> tokens, SpecialTokens special)
      : vocabulary(std::move(tokens), std::move(special)) {}
  Vocabulary vocabulary;
  TextUnit unit = TextUnit::kBpe;
  bool lower = false;
  std::vector<Merge> merges;
  std::unordered_map<std::uint64_t, MergeRule> rules;  // by pair_key
};

/// Fills `rules` from `merges`.
void index_merges(TextCodec::State& state);

/// Text of kWord and kBpe as its words, each behind its "▁" where white space precedes.
std::vector<std::string> split_words(std::string_view text, bool lower);

/// NFC, then lower case letter by letter (as `tokenizers` does it) when asked for.
std::string normal_form(std::string_view text, bool lower);

/// Letter by letter, without a look at neighbours: no final sigma.
std::string lower_letters(std::string_view text);

/// Is it white space in the sense of Unicode's property White_Space?
bool is_space(char32_t point);
/// ASCII punctuation and symbols, or Unicode's category P.
bool is_punctuation(char32_t point);

/// BERT's basic tokeniser.
std::vector<std::string> split_bert_words(std::string_view text, bool lower);

/// Appends the ids of one word: greedy longest match, or unk for all of it.
void word_piece(const Vocabulary& vocabulary, std::string_view word,
                std::vector<std::int64_t>& ids);

/// Appends the ids of one word by merging its characters; `random` for dropout, else nullptr.
void byte_pair(const TextCodec::State& state, std::string_view word, double dropout, Random* random,
               std::vector<std::int64_t>& ids);

}  // namespace attend::data
