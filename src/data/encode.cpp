#include "attend/data/encode.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "attend/base/error.h"

namespace attend::data {
namespace {

constexpr std::int64_t kNoId = 0;

/// Ids of one text (0 for a word that is left out), and its words counted.
std::vector<std::int64_t> ids_of(const std::string& text, const Tokenizer& tokenizer,
                                 Encoded& out) {
  std::vector<std::int64_t> ids;
  for (const Token& token : tokenizer.tokenize(text)) {
    const std::int64_t id = tokenizer.id_of(token.text).value_or(kNoId);
    const std::string* word = tokenizer.word_of(id);
    ++out.words;
    if (word == nullptr || *word != token.text) ++out.unknown;
    if (id != kNoId) ids.push_back(id);
  }
  return ids;
}

std::vector<std::int64_t> ids_of(const std::string& text, const TextCodec& codec, Encoded& out) {
  std::vector<std::int64_t> ids = codec.encode(text);
  std::erase(ids, kNoId);
  out.words += static_cast<std::int64_t>(ids.size());
  out.unknown += std::count(ids.begin(), ids.end(), codec.unk());
  return ids;
}

template <class TextAt, class NameAt, class Words>
Encoded encode_all(std::size_t n, TextAt text_at, NameAt name_at, const Words& words,
                   const EncodeOptions& options) {
  if (options.max_length < 1)
    fail_usage("encode: max_length is " + std::to_string(options.max_length) + "; give 1 or more");
  Encoded out;
  std::vector<std::vector<std::int64_t>> sequences;
  sequences.reserve(n);
  const auto rows = static_cast<std::int64_t>(n);
  out.lengths = at::empty({rows}, at::kLong);
  auto* lengths = out.lengths.data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < n; ++i) {
    try {
      sequences.push_back(ids_of(text_at(i), words, out));
    } catch (const Error& e) {
      throw Error(e.kind(), name_at(i) + ": " + e.what());
    }
    const auto length = static_cast<std::int64_t>(sequences.back().size());
    out.truncated += length > options.max_length;
    out.empty += length == 0;
    lengths[i] = std::min(length, options.max_length);
  }
  const auto padded = pad_sequences<std::int64_t>(
      sequences, {options.max_length, options.padding, options.truncating, 0.0});
  out.ids = at::empty({rows, options.max_length}, at::kLong);
  std::copy(padded.values.begin(), padded.values.end(), out.ids.data_ptr<std::int64_t>());
  return out;
}

template <class Words>
Encoded encode_set(const Dataset& set, const Words& words, const EncodeOptions& options) {
  const auto& examples = set.examples;
  Encoded out = encode_all(
      examples.size(), [&](std::size_t i) -> const std::string& { return examples[i].text; },
      [&](std::size_t i) { return examples[i].file + ":" + std::to_string(examples[i].line); },
      words, options);
  out.labels = at::empty({static_cast<std::int64_t>(examples.size())}, at::kLong);
  auto* labels = out.labels.data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < examples.size(); ++i) labels[i] = examples[i].label;
  return out;
}

template <class Words>
Encoded encode_list(const std::vector<std::string>& texts, const Words& words,
                    const EncodeOptions& options) {
  return encode_all(
      texts.size(), [&](std::size_t i) -> const std::string& { return texts[i]; },
      [](std::size_t i) { return "text " + std::to_string(i + 1); }, words, options);
}

}  // namespace

Encoded encode(const Dataset& set, const Tokenizer& tokenizer, const EncodeOptions& options) {
  return encode_set(set, tokenizer, options);
}

Encoded encode_texts(const std::vector<std::string>& texts, const Tokenizer& tokenizer,
                     const EncodeOptions& options) {
  return encode_list(texts, tokenizer, options);
}

Encoded encode(const Dataset& set, const TextCodec& codec, const EncodeOptions& options) {
  return encode_set(set, codec, options);
}

Encoded encode_texts(const std::vector<std::string>& texts, const TextCodec& codec,
                     const EncodeOptions& options) {
  return encode_list(texts, codec, options);
}

std::vector<Token> encoded_tokens(const std::string& text, const Tokenizer& tokenizer,
                                  const EncodeOptions& options) {
  if (options.max_length < 1) fail_usage("encode: max_length must be 1 or more");
  std::vector<Token> tokens = tokenizer.kept_tokens(text);
  const auto most = static_cast<std::size_t>(options.max_length);
  if (tokens.size() <= most) return tokens;
  if (options.truncating == End::kPost)
    tokens.resize(most);
  else
    tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(most));
  return tokens;
}

}  // namespace attend::data
