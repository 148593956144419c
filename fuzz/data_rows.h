#pragma once
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "attend/base/error.h"
#include "attend/data/load.h"
#include "attend/data/tokenizer.h"

namespace attend::data {

inline void require(bool holds) {
  if (!holds) std::abort();
}

/// Reads the bytes as a file of this format. Whatever they are, either Error (kBadInput, one line)
/// comes out or rows that hold: text and file valid, labels within their names, lines in order and,
/// with the bad ones, none taken twice.
inline int check_rows(const std::uint8_t* bytes, std::size_t size, Format format) {
  LoadOptions options;
  options.max_line_bytes = 512;
  options.max_classes = 50;
  options.allow_one_class = size % 2 == 0;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  try {
    const Dataset set = load_bytes(text, "f", format, options);
    require(!set.examples.empty());
    std::int64_t last = 0;
    for (const Example& example : set.examples) {
      require(is_utf8(example.text) && example.text.find('\0') == std::string::npos);
      require(example.label >= 0 &&
              example.label < static_cast<std::int64_t>(set.label_names.size()));
      require(example.line > last);
      last = example.line;
    }
    std::int64_t lines = 1;
    for (const char c : text) lines += c == '\n';
    require(static_cast<std::int64_t>(set.examples.size() + set.bad_lines.size()) <= lines);
    require(last <= lines);
    for (const BadLine& bad : set.bad_lines) require(bad.line > 0 && !bad.reason.empty());
  } catch (const Error& e) {
    require(e.kind() == ErrorKind::kBadInput);
    require(std::string_view(e.what()).substr(0, 1) == "f");
  }
  return 0;
}

}  // namespace attend::data
