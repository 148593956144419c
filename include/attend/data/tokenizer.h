#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace attend::data {

/// Keras' default filters: ASCII punctuation without the apostrophe, tab and newline.
inline constexpr char kKerasFilters[] = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n";

/// Lower case as Python's str.lower: Unicode's full mapping without a locale (final sigma, 'İ' to
/// two code points). `text` must be valid UTF-8, else kBadInput.
std::string lower_case(std::string_view text);

/// True when `text` is well-formed UTF-8 (no surrogates, no over-long forms).
bool is_utf8(std::string_view text);

/// What Keras' Tokenizer takes, with its defaults.
struct TokenizerOptions {
  std::string filters = kKerasFilters;   // each code point of it becomes `split`
  bool lower = true;                     // before filtering
  std::string split = " ";               // not empty; empty pieces are dropped
  std::int64_t num_words = 0;            // only ids < num_words are used; 0: all (Keras' None)
  std::optional<std::string> oov_token;  // takes id 1 and stands for every unknown word
};

/// A word as the model sees it, and the bytes [begin, end) of the original text that it came from.
struct Token {
  std::string text;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The text pipeline of Keras (keras.src.legacy.preprocessing.text.Tokenizer, char_level=False),
/// exactly: lower-case, turn filtered characters into the split string, split, drop empty pieces;
/// ids from 1 by frequency, then by first appearance; id 0 is padding. Not thread-safe while
/// fitting; const calls are. Every call that takes text throws kBadInput when it is not valid
/// UTF-8.
class Tokenizer {
 public:
  /// Throws kUsage for an empty split or a negative num_words.
  explicit Tokenizer(TokenizerOptions options = {});

  /// Adds the words of `texts` to the counts and orders the vocabulary anew. May be called again.
  void fit_on_texts(const std::vector<std::string>& texts);

  /// The words of one text with their places in it, known or not; what texts_to_sequences looks up.
  std::vector<Token> tokenize(std::string_view text) const;

  /// The id of one word as texts_to_sequences gives it: its id, the id of oov_token, or nothing
  /// when the word is unknown (or its id is ≥ num_words) and there is no oov_token.
  std::optional<std::int64_t> id_of(const std::string& word) const;

  /// Ids per text. Unknown words become oov_token's id; without one they are left out, as in Keras.
  std::vector<std::vector<std::int64_t>> texts_to_sequences(
      const std::vector<std::string>& texts) const;
  std::vector<std::int64_t> text_to_sequence(std::string_view text) const;

  /// The tokens of one text that texts_to_sequences keeps, in the same order: token i made id i.
  std::vector<Token> kept_tokens(std::string_view text) const;

  /// The word of an id (Keras' index_word), or nullptr.
  const std::string* word_of(std::int64_t id) const;

  /// Every word with its count, in order of first appearance (Keras' word_counts).
  const std::vector<std::pair<std::string, std::int64_t>>& word_counts() const { return counts_; }
  /// Word to id, of all words whatever num_words says (Keras' word_index).
  const std::unordered_map<std::string, std::int64_t>& word_index() const { return index_; }
  std::int64_t document_count() const { return documents_; }

  /// The greatest id that texts_to_sequences can give: an embedding needs vocabulary() + 1 rows.
  std::int64_t vocabulary() const;

  const TokenizerOptions& options() const { return options_; }

  /// A tokenizer with given words (words[i] has id i + 1; an oov_token is one of them, usually the
  /// first). Counts are unknown (empty). Throws kUsage when a word occurs twice or oov_token is not
  /// among them.
  static Tokenizer from_words(TokenizerOptions options, const std::vector<std::string>& words);

 private:
  void order_words();

  TokenizerOptions options_;
  std::vector<char32_t> filter_points_;  // sorted
  std::vector<std::pair<std::string, std::int64_t>> counts_;
  std::unordered_map<std::string, std::size_t> place_;  // word -> index into counts_
  std::unordered_map<std::string, std::int64_t> index_;
  std::vector<std::string> words_;  // by id; words_[0] unused
  std::int64_t documents_ = 0;
};

/// A Hugging Face tokenizer.json that the `tokenizers` package loads and that gives the same ids.
/// With an oov_token it is a WordLevel model whose unk_token that is. Without one Keras leaves
/// unknown words out, which WordLevel cannot say: then it is a BPE model without merges or
/// unk_token, each word marked with a leading "▁", which does. Only words with ids below num_words
/// are written, as no other can be given. Exact for every text of characters assigned in Unicode
/// 15; the package may lower-case letters added to Unicode later.
std::string to_tokenizer_json(const Tokenizer& tokenizer);

/// Reads what to_tokenizer_json wrote. `name` is the file named in messages. Throws kBadInput,
/// naming file and key, for anything else: not JSON, nesting over 64, duplicate keys, ids that
/// repeat, leave holes or are not integers, and parts of Hugging Face's format that are not ours.
Tokenizer from_tokenizer_json(std::string_view json, const std::string& name = "tokenizer.json");

void save_tokenizer(const Tokenizer& tokenizer, const std::string& path);  // atomically
Tokenizer load_tokenizer(const std::string& path);

}  // namespace attend::data
