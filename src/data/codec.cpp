#include "attend/data/codec.h"

#include <array>
#include <utility>

#include "attend/base/error.h"
#include "data/codec_state.h"
#include "data/unicode.h"

namespace attend::data {
namespace {

struct CodecDropout {
  double rate = 0;
  Random* random = nullptr;
};

/// The ids of text without special tokens.
void encode_plain(const TextCodec::State& state, std::string_view text, CodecDropout dropout,
                  std::vector<std::int64_t>& ids) {
  const Vocabulary& vocabulary = state.vocabulary;
  switch (state.unit) {
    case TextUnit::kWord:
      for (const std::string& word : split_words(text, state.lower))
        ids.push_back(vocabulary.find(word).value_or(vocabulary.unk()));
      break;
    case TextUnit::kBpe:
      for (const std::string& word : split_words(text, state.lower))
        byte_pair(state, word, dropout.rate, dropout.random, ids);
      break;
    case TextUnit::kCharacter:
      byte_pair(state, normal_form(text, state.lower), 0, nullptr, ids);  // it has no merges
      break;
    case TextUnit::kWordPiece:
      for (const std::string& word : split_bert_words(text, state.lower))
        word_piece(vocabulary, word, ids);
      break;
  }
}

struct SpecialFound {
  std::size_t place = std::string_view::npos;
  std::size_t length = 0;
  std::int64_t id = 0;
};

/// The leftmost special token at or behind `start`, of those the longest. Linear in the text
/// however many there are.
SpecialFound find_special(const Vocabulary& vocabulary, std::string_view text, std::size_t start) {
  SpecialFound best;
  for (std::size_t place = start; place < text.size(); ++place) {
    for (const std::int64_t id : vocabulary.special_ids()) {
      const std::string& name = vocabulary.token(id);
      if (text[place] == name[0] && name.size() > best.length &&
          text.substr(place, name.size()) == name)
        best = {place, name.size(), id};
    }
    if (best.length > 0) break;
  }
  return best;
}

std::vector<std::int64_t> encode_text(const TextCodec::State& state, std::string_view text,
                                      CodecDropout dropout) {
  require_utf8(text, "a text to encode");
  std::vector<std::int64_t> ids;
  for (std::size_t start = 0;;) {
    const SpecialFound found = find_special(state.vocabulary, text, start);
    if (found.place == std::string_view::npos) {
      encode_plain(state, text.substr(start), dropout, ids);
      return ids;
    }
    encode_plain(state, text.substr(start, found.place - start), dropout, ids);
    ids.push_back(found.id);
    start = found.place + found.length;
  }
}

bool is_piece_end(const std::string& token) { return token.starts_with("##"); }

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

constexpr std::array<std::pair<const char*, const char*>, 11> kCleanUp = {{{" .", "."},
                                                                           {" ?", "?"},
                                                                           {" !", "!"},
                                                                           {" ,", ","},
                                                                           {" ' ", "'"},
                                                                           {" n't", "n't"},
                                                                           {" 'm", "'m"},
                                                                           {" do not", " don't"},
                                                                           {" 's", "'s"},
                                                                           {" 've", "'ve"},
                                                                           {" 're", "'re"}}};

/// A WordPiece token behind another, as `tokenizers` cleans it up.
std::string word_piece_text(const std::string& token, bool is_first) {
  std::string out = is_first ? token : is_piece_end(token) ? token.substr(2) : " " + token;
  for (const auto& [from, to] : kCleanUp) replace_all(out, from, to);
  return out;
}

/// A token of kWord or kBpe: its marks are spaces, but for one at the start of the text.
std::string marked_text(std::string token, bool is_first) {
  if (is_first && token.starts_with(kSpaceMark)) token.erase(0, sizeof kSpaceMark - 1);
  replace_all(token, kSpaceMark, " ");
  return token;
}

}  // namespace

const Vocabulary& TextCodec::vocabulary() const { return state_->vocabulary; }
TextUnit TextCodec::unit() const { return state_->unit; }
bool TextCodec::lower() const { return state_->lower; }
const std::vector<TextCodec::Merge>& TextCodec::merges() const { return state_->merges; }

std::vector<std::int64_t> TextCodec::encode(std::string_view text) const {
  return encode_text(*state_, text, {});
}

std::vector<std::int64_t> TextCodec::encode(std::string_view text, double dropout,
                                            Random& random) const {
  if (!(dropout >= 0 && dropout <= 1))
    fail_usage("text codec: dropout is " + std::to_string(dropout) + "; give 0…1");
  return encode_text(*state_, text, {dropout, &random});
}

std::string TextCodec::decode(std::span<const std::int64_t> ids) const {
  std::string out;
  bool is_first = true;
  for (const std::int64_t id : ids) {
    const std::string& token = vocabulary().token(id);
    if (vocabulary().is_special(id) && id != unk()) continue;
    if (unit() == TextUnit::kWordPiece)
      out += word_piece_text(token, is_first);
    else if (unit() == TextUnit::kCharacter)
      out += token;
    else if (id == unk() && unit() == TextUnit::kWord)
      out += (is_first ? "" : " ") + token;  // the mark is lost with the word
    else
      out += marked_text(token, is_first);
    is_first = false;
  }
  return out;
}

std::vector<std::string> TextCodec::words(std::span<const std::int64_t> ids) const {
  std::vector<std::string> out;
  for (const std::int64_t id : ids) {
    std::string token = vocabulary().token(id);
    const bool is_text = !vocabulary().is_special(id);
    if (is_text && unit() == TextUnit::kWordPiece && is_piece_end(token)) token.erase(0, 2);
    const bool is_marked = unit() == TextUnit::kWord || unit() == TextUnit::kBpe;
    if (is_text && is_marked && token.starts_with(kSpaceMark))
      token.erase(0, sizeof kSpaceMark - 1);
    out.push_back(std::move(token));
  }
  return out;
}

}  // namespace attend::data
