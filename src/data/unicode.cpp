#include "data/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/edits.h>
#include <unicode/utf8.h>

#include "attend/base/error.h"
#include "attend/data/tokenizer.h"

namespace attend::data {
namespace {

bool is_ascii(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  return true;
}

char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string icu_lower(std::string_view text, icu::Edits* edits) {
  if (text.size() > 0x3fffffff) fail_input("a text of more than 1 GiB cannot be lower-cased");
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode status = U_ZERO_ERROR;
  const icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  icu::CaseMap::utf8ToLower("", 0, piece, sink, edits, status);  // "": no language's own rules
  if (U_FAILURE(status))
    fail_input(std::string("cannot lower-case a text: ") + u_errorName(status));
  return out;
}

}  // namespace

std::size_t find_bad_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const std::size_t start = i;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    UChar32 point;
    U8_NEXT(bytes, i, text.size(), point);
    if (point < 0) return start;
  }
  return std::string_view::npos;
}

char32_t next_code_point(std::string_view text, std::size_t& place) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  UChar32 point;
  U8_NEXT(bytes, place, text.size(), point);
  return point < 0 ? U'\ufffd' : static_cast<char32_t>(point);
}

void require_utf8(std::string_view text, const char* what) {
  const std::size_t bad = find_bad_utf8(text);
  if (bad == std::string_view::npos) return;
  fail_input(std::string(what) + " is not valid UTF-8 (byte " + std::to_string(bad) +
             "): convert it to UTF-8 first");
}

bool is_utf8(std::string_view text) { return find_bad_utf8(text) == std::string_view::npos; }

std::string lower_case(std::string_view text) {
  require_utf8(text, "a text to lower-case");
  if (!is_ascii(text)) return icu_lower(text, nullptr);
  std::string out(text);
  for (char& c : out) c = ascii_lower(c);
  return out;
}

Lowered lower_with_places(std::string_view text) {
  Lowered out;
  if (is_ascii(text)) {
    out.text.reserve(text.size());
    for (const char c : text) out.text += ascii_lower(c);
    return out;
  }
  icu::Edits edits;
  out.text = icu_lower(text, &edits);
  if (!edits.hasChanges()) return out;
  out.begin.resize(out.text.size());
  out.end.resize(out.text.size());
  auto span = edits.getFineIterator();
  UErrorCode status = U_ZERO_ERROR;
  while (span.next(status)) {
    const auto source = static_cast<std::size_t>(span.sourceIndex());
    const auto place = static_cast<std::size_t>(span.destinationIndex());
    for (std::size_t i = 0; i < static_cast<std::size_t>(span.newLength()); ++i) {
      out.begin[place + i] = span.hasChange() ? source : source + i;
      out.end[place + i] =
          span.hasChange() ? source + static_cast<std::size_t>(span.oldLength()) : source + i + 1;
    }
  }
  return out;
}

}  // namespace attend::data
