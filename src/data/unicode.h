#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace attend::data {

/// Lower-cased text, and where each byte of it came from: byte i of `text` belongs to the original
/// bytes [begin[i], end[i]). Both lists are empty when places are the same (nothing changed
/// length).
struct Lowered {
  std::string text;
  std::vector<std::size_t> begin, end;
};
Lowered lower_with_places(std::string_view text);

/// Offset of the first byte that is not well-formed UTF-8, or npos.
std::size_t find_bad_utf8(std::string_view text);

/// The code point at `place` (text is valid UTF-8); `place` moves behind it.
char32_t next_code_point(std::string_view text, std::size_t& place);

/// Throws kBadInput "… is not valid UTF-8 (byte N)" with the name of the text.
void require_utf8(std::string_view text, const char* what);

}  // namespace attend::data
