#include <algorithm>
#include <map>
#include <queue>
#include <unordered_set>

#include "attend/base/error.h"
#include "data/codec_state.h"
#include "data/unicode.h"

namespace attend::data {
namespace {

using Counts = std::map<std::string, std::int64_t>;  // ordered: by code points, as UTF-8 is

/// The most frequent `most` keys of at least min_count, of equals the first; most frequent first.
std::vector<std::string> most_frequent(const Counts& counts, std::int64_t min_count,
                                       std::int64_t most) {
  std::vector<std::pair<std::string, std::int64_t>> all;
  for (const auto& entry : counts)
    if (entry.second >= min_count) all.push_back(entry);
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> out;
  for (std::size_t i = 0; i < all.size() && static_cast<std::int64_t>(i) < most; ++i)
    out.push_back(std::move(all[i].first));
  return out;
}

void count_characters(const std::string& word, std::int64_t times, Counts& counts) {
  for (std::size_t place = 0; place < word.size();) {
    const std::size_t start = place;
    next_code_point(word, place);
    counts[word.substr(start, place - start)] += times;
  }
}

/// A distinct word of the texts as its tokens so far.
struct BpeWord {
  std::vector<std::int64_t> ids;
  std::int64_t count = 0;
};

/// A pair with the count it had when it was queued.
struct BpePair {
  std::int64_t count = 0;
  std::uint64_t key = 0;
  /// Most frequent first; of equals the one of lowest ids.
  bool operator<(const BpePair& other) const {
    return count != other.count ? count < other.count : key > other.key;
  }
};

class BpeTrainer {
 public:
  BpeTrainer(std::vector<std::string> tokens, std::vector<BpeWord> words)
      : tokens_(std::move(tokens)), words_(std::move(words)) {
    for (std::size_t id = 0; id < tokens_.size(); ++id)
      ids_.emplace(tokens_[id], static_cast<std::int64_t>(id));
    for (std::size_t w = 0; w < words_.size(); ++w)
      for (std::size_t i = 0; i + 1 < words_[w].ids.size(); ++i)
        change(pair_key(words_[w].ids[i], words_[w].ids[i + 1]), words_[w].count, w);
    for (const auto& [key, pair] : pairs_) queue_.push({pair.count, key});
  }

  void run(std::int64_t size, std::int64_t min_count) {
    while (static_cast<std::int64_t>(tokens_.size()) < size && !queue_.empty()) {
      const BpePair top = queue_.top();
      queue_.pop();
      const std::int64_t count = pairs_[top.key].count;
      if (count != top.count) {
        if (count > 0) queue_.push({count, top.key});
        continue;
      }
      if (count < min_count) return;
      merge(top.key);
    }
  }

  std::vector<std::string> tokens_;
  std::vector<TextCodec::Merge> merges_;

 private:
  struct Seen {
    std::int64_t count = 0;
    std::unordered_set<std::size_t> words;
  };

  void change(std::uint64_t key, std::int64_t by, std::size_t word) {
    Seen& pair = pairs_[key];
    pair.count += by;
    if (by > 0) pair.words.insert(word);
  }

  void merge(std::uint64_t key) {
    const auto left = static_cast<std::int64_t>(key >> 32);
    const auto right = static_cast<std::int64_t>(key & 0xffffffffU);
    const std::string text =
        tokens_[static_cast<std::size_t>(left)] + tokens_[static_cast<std::size_t>(right)];
    const auto [entry, is_new] = ids_.emplace(text, static_cast<std::int64_t>(tokens_.size()));
    const std::int64_t result = entry->second;
    if (is_new) tokens_.push_back(text);
    merges_.push_back({left, right, result});
    const std::unordered_set<std::size_t> words = std::move(pairs_[key].words);
    std::unordered_set<std::uint64_t> grown;
    for (const std::size_t w : words) merge_in(w, merges_.back(), grown);
    pairs_[key] = {};
    for (const std::uint64_t pair : grown)
      if (pairs_[pair].count > 0) queue_.push({pairs_[pair].count, pair});
  }

  /// Takes the word's pairs out of the counts, merges from left to right, and puts them back.
  void merge_in(std::size_t w, const TextCodec::Merge& merge,
                std::unordered_set<std::uint64_t>& grown) {
    std::vector<std::int64_t>& ids = words_[w].ids;
    const std::int64_t count = words_[w].count;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i)
      change(pair_key(ids[i], ids[i + 1]), -count, w);
    std::size_t out = 0;
    for (std::size_t i = 0; i < ids.size(); ++out) {
      const bool is_pair = ids[i] == merge.left && i + 1 < ids.size() && ids[i + 1] == merge.right;
      ids[out] = is_pair ? merge.result : ids[i];
      i += is_pair ? 2 : 1;
    }
    ids.resize(out);
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const std::uint64_t key = pair_key(ids[i], ids[i + 1]);
      change(key, count, w);
      if (ids[i] == merge.result || ids[i + 1] == merge.result) grown.insert(key);
    }
  }

  std::vector<BpeWord> words_;
  std::unordered_map<std::string, std::int64_t> ids_;
  std::unordered_map<std::uint64_t, Seen> pairs_;
  std::priority_queue<BpePair> queue_;
};

void check_codec_options(const CodecOptions& options) {
  if (options.unit == TextUnit::kWordPiece)
    fail_usage("text codec: WordPiece vocabularies are read, not learned; use kBpe");
  if (options.size < 5 || options.size > 0x7fffffff)
    fail_usage("text codec: size is " + std::to_string(options.size) +
               "; give 5 (four special tokens and one) … 2147483647");
  if (options.min_count < 1)
    fail_usage("text codec: min_count is " + std::to_string(options.min_count) +
               "; give 1 or more");
}

Counts count_units(const std::vector<std::string>& texts, const CodecOptions& options) {
  Counts counts;
  for (const std::string& text : texts) {
    require_utf8(text, "a text to learn from");
    if (options.unit == TextUnit::kCharacter)
      count_characters(normal_form(text, options.lower), 1, counts);
    else
      for (const std::string& word : split_words(text, options.lower)) ++counts[word];
  }
  if (counts.empty()) fail_input("text codec: there is not one character to learn from");
  return counts;
}

void learn_pairs(const Counts& words, const CodecOptions& options, std::vector<std::string>& tokens,
                 std::vector<TextCodec::Merge>& merges) {
  Counts characters;
  for (const auto& [word, count] : words) count_characters(word, count, characters);
  const auto room = options.size - static_cast<std::int64_t>(tokens.size());
  std::vector<std::string> kept = most_frequent(characters, 1, room);
  std::sort(kept.begin(), kept.end());
  std::unordered_map<std::string, std::int64_t> ids;
  for (std::string& character : kept) {
    ids.emplace(character, static_cast<std::int64_t>(tokens.size()));
    tokens.push_back(std::move(character));
  }
  std::vector<BpeWord> split;
  for (const auto& [word, count] : words) {
    split.push_back({{}, count});
    for (std::size_t place = 0; place < word.size();) {
      const std::size_t start = place;
      next_code_point(word, place);
      const auto found = ids.find(word.substr(start, place - start));
      if (found != ids.end()) split.back().ids.push_back(found->second);
    }
  }
  BpeTrainer trainer(std::move(tokens), std::move(split));
  trainer.run(options.size, options.min_count);
  tokens = std::move(trainer.tokens_);
  merges = std::move(trainer.merges_);
}

}  // namespace

TextCodec train_codec(const std::vector<std::string>& texts, const CodecOptions& options) {
  check_codec_options(options);
  const SpecialTokens special;
  std::vector<std::string> tokens = {special.pad, special.unk, special.bos, special.eos};
  Counts counts = count_units(texts, options);
  for (const std::string& token : tokens) counts.erase(token);
  std::vector<TextCodec::Merge> merges;
  if (options.unit == TextUnit::kBpe) {
    learn_pairs(counts, options, tokens, merges);
  } else {
    const auto room = options.size - static_cast<std::int64_t>(tokens.size());
    std::vector<std::string> kept = most_frequent(counts, options.min_count, room);
    if (options.unit == TextUnit::kCharacter) std::sort(kept.begin(), kept.end());
    tokens.insert(tokens.end(), kept.begin(), kept.end());
  }
  const auto state = std::make_shared<TextCodec::State>(std::move(tokens), special);
  state->unit = options.unit;
  state->lower = options.lower;
  state->merges = std::move(merges);
  index_merges(*state);
  return TextCodec(state);
}

}  // namespace attend::data
