// Words of captions by the main rules of the Penn Treebank.
#include "attend/train/caption_metrics.h"

namespace attend::train {
namespace {

bool is_caption_digit(char c) { return c >= '0' && c <= '9'; }

bool is_caption_letter(char c) {
  return (c >= 'a' && c <= 'z') || is_caption_digit(c) || static_cast<unsigned char>(c) >= 0x80;
}

constexpr std::string_view kInside = "-&_@/'";
constexpr std::string_view kInNumbers = ".,:";
constexpr std::string_view kSigns = "$%#+*=";

/// How far the word that begins at `start` goes.
std::size_t end_of_word(std::string_view text, std::size_t start) {
  std::size_t end = start;
  while (end < text.size()) {
    const bool goes_on = end + 1 < text.size() && end > start;
    const char next = goes_on ? text[end + 1] : ' ';
    const bool joins_digits = kInNumbers.find(text[end]) != std::string_view::npos && goes_on &&
                              is_caption_digit(text[end - 1]) && is_caption_digit(next);
    const bool joins_letters = kInside.find(text[end]) != std::string_view::npos && goes_on &&
                               is_caption_letter(text[end - 1]) && is_caption_letter(next);
    if (!is_caption_letter(text[end]) && !joins_digits && !joins_letters) break;
    ++end;
  }
  return end;
}

/// Where "a.b.c." that begins at `start` ends; `start` when there is no such thing.
std::size_t end_of_initials(std::string_view text, std::size_t start) {
  std::size_t end = start;
  while (end + 1 < text.size() && text[end] >= 'a' && text[end] <= 'z' && text[end + 1] == '.')
    end += 2;
  const bool is_cut = end < text.size() && is_caption_letter(text[end]);
  return is_cut || end < start + 4 ? start : end;
}

bool is_abbreviation(std::string_view word) {
  for (const char* known : {"mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs"})
    if (word == known) return true;
  return false;
}

/// Cuts what English joins to a word off its end.
void add_word(std::vector<std::string>& out, std::string_view word) {
  if (word == "cannot") {
    out.emplace_back("can");
    out.emplace_back("not");
    return;
  }
  for (const std::string_view end : {"n't", "'s", "'m", "'d", "'re", "'ve", "'ll"})
    if (word.size() > end.size() && word.ends_with(end)) {
      out.emplace_back(word.substr(0, word.size() - end.size()));
      out.emplace_back(end);
      return;
    }
  out.emplace_back(word);
}

/// Lower case, and ' for the curled apostrophe.
std::string plain_text(std::string_view text) {
  constexpr std::string_view kCurled = "’";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_curled = text.substr(i).starts_with(kCurled);
    out += is_curled ? '\'' : c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (is_curled) i += kCurled.size() - 1;
  }
  return out;
}

}  // namespace

std::vector<std::string> caption_words(std::string_view original) {
  const std::string text = plain_text(original);
  std::vector<std::string> out;
  for (std::size_t place = 0; place < text.size();) {
    const std::string_view all(text);
    if (const std::size_t end = end_of_initials(all, place); end > place) {
      out.emplace_back(all.substr(place, end - place));
      place = end;
    } else if (is_caption_letter(text[place])) {
      std::size_t last = end_of_word(all, place);
      const bool keeps_stop = last < text.size() && text[last] == '.' &&
                              is_abbreviation(all.substr(place, last - place));
      if (keeps_stop) ++last;
      add_word(out, all.substr(place, last - place));
      place = last;
    } else {
      if (kSigns.find(text[place]) != std::string_view::npos) out.emplace_back(1, text[place]);
      ++place;
    }
  }
  return out;
}

}  // namespace attend::train
