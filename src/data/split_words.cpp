#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>

#include "attend/base/error.h"
#include "attend/data/tokenizer.h"
#include "data/codec_state.h"
#include "data/unicode.h"

namespace attend::data {
namespace {

using IcuForm = const icu::Normalizer2* (*)(UErrorCode&);

std::string icu_normal(std::string_view text, IcuForm form) {
  bool is_ascii = true;
  for (const char c : text) is_ascii = is_ascii && static_cast<unsigned char>(c) < 0x80;
  if (is_ascii) return std::string(text);
  if (text.size() > 0x3fffffff) fail_input("a text of more than 1 GiB cannot be normalised");
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = form(status);
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  if (U_SUCCESS(status))
    normalizer->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())),
                              sink, nullptr, status);
  if (U_FAILURE(status)) fail_input(std::string("cannot normalise a text: ") + u_errorName(status));
  return out;
}

/// Runs of white space as one space, none at the ends.
std::string squeeze(std::string_view text) {
  std::string out;
  bool is_pending = false;
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t start = place;
    if (is_space(next_code_point(text, place))) {
      is_pending = !out.empty();
      continue;
    }
    if (is_pending) out += ' ';
    is_pending = false;
    out += text.substr(start, place - start);
  }
  return out;
}

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/// The category that a character had in Unicode 8, whose tables the package's BERT steps have:
/// younger characters were unassigned, and six were moved since.
int8_t category_in_unicode_8(char32_t c) {
  if (c == 0x1734) return U_NON_SPACING_MARK;
  if (c == 0xA9BD) return U_COMBINING_SPACING_MARK;
  if (c == 0x1885 || c == 0x1886) return U_OTHER_LETTER;
  if (c == 0x166D || c == 0x111C9) return U_OTHER_PUNCTUATION;
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] <= 8 ? u_charType(static_cast<UChar32>(c)) : int8_t{U_UNASSIGNED};
}

bool is_bert_punctuation(char32_t c) {
  if (c < 0x80) return is_punctuation(c);
  return (U_MASK(category_in_unicode_8(c)) & U_GC_P_MASK) != 0;
}

/// What BERT's clean_text takes out: control, format and private characters, NUL and U+FFFD.
bool is_dropped(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const int8_t type = category_in_unicode_8(c);
  return c == 0xFFFD || type == U_CONTROL_CHAR || type == U_FORMAT_CHAR ||
         type == U_PRIVATE_USE_CHAR;
}

std::string without_accents(std::string_view text) {
  const std::string apart = icu_normal(text, &icu::Normalizer2::getNFDInstance);
  std::string out;
  for (std::size_t place = 0; place < apart.size();) {
    const std::size_t start = place;
    const char32_t c = next_code_point(apart, place);
    if (category_in_unicode_8(c) != U_NON_SPACING_MARK) out.append(apart, start, place - start);
  }
  return out;
}

}  // namespace

bool is_space(char32_t point) { return u_isUWhiteSpace(static_cast<UChar32>(point)); }

bool is_punctuation(char32_t point) {
  if (point < 0x80)
    return (point >= '!' && point <= '/') || (point >= ':' && point <= '@') ||
           (point >= '[' && point <= '`') || (point >= '{' && point <= '~');
  return u_ispunct(static_cast<UChar32>(point));
}

std::string to_nfc(std::string_view text) {
  require_utf8(text, "a text to normalise");
  return icu_normal(text, &icu::Normalizer2::getNFCInstance);
}

std::string lower_letters(std::string_view text) {
  std::string out;
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t start = place;
    const char32_t c = next_code_point(text, place);
    if (c < 0x80)
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    else
      out += lower_case(text.substr(start, place - start));
  }
  return out;
}

std::string normal_form(std::string_view text, bool lower) {
  const std::string form = to_nfc(text);
  return lower ? lower_letters(form) : form;
}

std::vector<std::string> split_words(std::string_view text, bool lower) {
  const std::string squeezed = normal_form(squeeze(text), lower);
  std::vector<std::string> out;
  if (squeezed.empty()) return out;
  std::string word;
  if (!squeezed.starts_with(kSpaceMark) && squeezed[0] != ' ') word = kSpaceMark;
  const auto finish = [&] {
    if (!word.empty()) out.push_back(std::move(word));
    word.clear();
  };
  for (std::size_t place = 0; place < squeezed.size();) {
    const std::size_t start = place;
    const char32_t c = next_code_point(squeezed, place);
    if (c == ' ' || c == U'▁') {
      finish();
      word = kSpaceMark;
    } else if (is_punctuation(c)) {
      if (word != kSpaceMark) finish();  // a mark stays with the punctuation that follows it
      word.append(squeezed, start, place - start);
      finish();
    } else {
      word.append(squeezed, start, place - start);
    }
  }
  finish();
  return out;
}

std::vector<std::string> split_bert_words(std::string_view text, bool lower) {
  std::string clean;
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t start = place;
    const char32_t c = next_code_point(text, place);
    if (is_dropped(c)) continue;
    const bool is_apart = is_chinese(c);
    if (is_apart || is_space(c)) clean += ' ';
    if (!is_space(c)) clean += text.substr(start, place - start);
    if (is_apart) clean += ' ';
  }
  if (lower) clean = lower_letters(without_accents(clean));
  std::vector<std::string> out;
  bool is_open = false;  // may the next letter join the last word?
  for (std::size_t place = 0; place < clean.size();) {
    const std::size_t start = place;
    const char32_t c = next_code_point(clean, place);
    const bool is_alone = is_bert_punctuation(c);
    if (is_space(c)) {
      is_open = false;
      continue;
    }
    if (!is_open || is_alone) out.emplace_back();
    out.back().append(clean, start, place - start);
    is_open = !is_alone;
  }
  return out;
}

}  // namespace attend::data
