#include "attend/data/tokenizer.h"

#include <algorithm>

#include "attend/base/error.h"
#include "data/unicode.h"

namespace attend::data {
namespace {

/// Text whose filtered characters have become the split string, with the place of each byte in the
/// original.
struct Filtered {
  std::string text;
  std::vector<std::size_t> begin, end;
};

Filtered filter(std::string_view text, const TokenizerOptions& options,
                const std::vector<char32_t>& points) {
  Lowered source;
  if (options.lower)
    source = lower_with_places(text);
  else
    source.text = std::string(text);
  const bool same_places = source.begin.empty();
  Filtered out;
  out.text.reserve(source.text.size());
  const auto add = [&](std::string_view bytes, std::size_t first, std::size_t last, bool whole) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const std::size_t from = whole ? first : first + i;
      const std::size_t to = whole ? last - 1 : first + i;
      out.begin.push_back(same_places ? from : source.begin[from]);
      out.end.push_back(same_places ? to + 1 : source.end[to]);
    }
    out.text += bytes;
  };
  for (std::size_t place = 0; place < source.text.size();) {
    const std::size_t start = place;
    const char32_t point = next_code_point(source.text, place);
    if (std::binary_search(points.begin(), points.end(), point))
      add(options.split, start, place, true);
    else
      add(std::string_view(source.text).substr(start, place - start), start, place, false);
  }
  return out;
}

}  // namespace

Tokenizer::Tokenizer(TokenizerOptions options) : options_(std::move(options)), words_(1) {
  if (options_.split.empty()) fail_usage("tokenizer: split is empty; give a string, such as \" \"");
  if (options_.num_words < 0)
    fail_usage("tokenizer: num_words is " + std::to_string(options_.num_words) +
               "; give 0 (all words) or more");
  require_utf8(options_.split, "tokenizer: split");
  require_utf8(options_.filters, "tokenizer: filters");
  if (options_.oov_token) require_utf8(*options_.oov_token, "tokenizer: oov_token");
  for (std::size_t place = 0; place < options_.filters.size();)
    filter_points_.push_back(next_code_point(options_.filters, place));
  std::sort(filter_points_.begin(), filter_points_.end());
}

std::vector<Token> Tokenizer::tokenize(std::string_view text) const {
  require_utf8(text, "a text");
  const Filtered filtered = filter(text, options_, filter_points_);
  const std::string& split = options_.split;
  std::vector<Token> tokens;
  std::size_t start = 0;
  for (;;) {
    const std::size_t found = filtered.text.find(split, start);
    const std::size_t end = std::min(found, filtered.text.size());
    if (end > start)
      tokens.push_back(
          {filtered.text.substr(start, end - start), filtered.begin[start], filtered.end[end - 1]});
    if (found == std::string::npos) return tokens;
    start = found + split.size();
  }
}

void Tokenizer::fit_on_texts(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    ++documents_;
    for (Token& token : tokenize(text)) {
      const auto [entry, is_new] = place_.try_emplace(token.text, counts_.size());
      if (is_new)
        counts_.emplace_back(std::move(token.text), 1);
      else
        ++counts_[entry->second].second;
    }
  }
  order_words();
}

void Tokenizer::order_words() {
  std::vector<std::size_t> order(counts_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return counts_[a].second > counts_[b].second;
  });
  words_.assign(1, "");
  if (options_.oov_token) words_.push_back(*options_.oov_token);
  for (const std::size_t i : order) words_.push_back(counts_[i].first);
  index_.clear();
  // As Keras: a text word equal to oov_token takes the token's id over, and id 1 stays unused.
  for (std::size_t id = 1; id < words_.size(); ++id)
    index_[words_[id]] = static_cast<std::int64_t>(id);
}

std::optional<std::int64_t> Tokenizer::id_of(const std::string& word) const {
  const auto limit = options_.num_words;
  const auto found = index_.find(word);
  if (found != index_.end() && (limit == 0 || found->second < limit)) return found->second;
  if (!options_.oov_token) return std::nullopt;
  const auto unknown = index_.find(*options_.oov_token);
  if (unknown == index_.end()) fail_usage("tokenizer: not fitted yet; call fit_on_texts first");
  return unknown->second;
}

std::vector<std::int64_t> Tokenizer::text_to_sequence(std::string_view text) const {
  std::vector<std::int64_t> ids;
  for (const Token& token : tokenize(text))
    if (const auto id = id_of(token.text)) ids.push_back(*id);
  return ids;
}

std::vector<std::vector<std::int64_t>> Tokenizer::texts_to_sequences(
    const std::vector<std::string>& texts) const {
  std::vector<std::vector<std::int64_t>> out;
  out.reserve(texts.size());
  for (const std::string& text : texts) out.push_back(text_to_sequence(text));
  return out;
}

std::vector<Token> Tokenizer::kept_tokens(std::string_view text) const {
  std::vector<Token> kept;
  for (Token& token : tokenize(text))
    if (id_of(token.text)) kept.push_back(std::move(token));
  return kept;
}

const std::string* Tokenizer::word_of(std::int64_t id) const {
  if (id < 1 || id >= static_cast<std::int64_t>(words_.size())) return nullptr;
  const std::string& word = words_[static_cast<std::size_t>(id)];
  const auto found = index_.find(word);
  return found != index_.end() && found->second == id ? &word : nullptr;
}

std::int64_t Tokenizer::vocabulary() const {
  std::int64_t most = static_cast<std::int64_t>(words_.size()) - 1;
  if (options_.num_words > 0) most = std::min(most, options_.num_words - 1);
  if (!options_.oov_token) return most;
  const auto unknown = index_.find(*options_.oov_token);  // may lie above num_words, as in Keras
  return unknown == index_.end() ? most : std::max(most, unknown->second);
}

Tokenizer Tokenizer::from_words(TokenizerOptions options, const std::vector<std::string>& words) {
  Tokenizer out(std::move(options));
  for (const std::string& word : words) {
    require_utf8(word, "tokenizer: a word");
    const auto id = static_cast<std::int64_t>(out.words_.size());
    if (!out.index_.emplace(word, id).second)
      fail_usage("tokenizer: the word '" + word + "' occurs twice");
    out.words_.push_back(word);
  }
  if (out.options_.oov_token && !out.index_.contains(*out.options_.oov_token))
    fail_usage("tokenizer: oov_token '" + *out.options_.oov_token + "' is not among the words");
  return out;
}

}  // namespace attend::data
