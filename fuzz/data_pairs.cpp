#include "attend/data/parallel.h"

#include "data_rows.h"

/// Whatever the bytes are, either Error (kBadInput, one line) comes out or pairs that hold: sides
/// valid and not empty, links within the words, every line a pair or counted.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace attend::data;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  ParallelOptions options;
  options.max_line_bytes = 512;
  options.max_words = size % 7;
  try {
    const ParallelSet set = load_pairs_bytes(text, "f", size > 0 && text[0] == '{', options);
    std::int64_t last = 0;
    for (const SentencePair& pair : set.pairs) {
      require(is_utf8(pair.source) && is_utf8(pair.target));
      require(!pair.source.empty() && !pair.target.empty());
      require((pair.source + pair.target).find('\0') == std::string::npos);
      require(parse_pharaoh(to_pharaoh(pair.alignment)) == pair.alignment);
      require(pair.line > last);
      last = pair.line;
    }
    std::int64_t lines = 1;
    for (const char c : text) lines += c == '\n';
    require(static_cast<std::int64_t>(set.pairs.size() + set.bad_lines.size()) <= lines);
    require(set.empty <= static_cast<std::int64_t>(set.bad_lines.size()));
  } catch (const attend::Error& e) {
    require(e.kind() == attend::ErrorKind::kBadInput);
    require(std::string_view(e.what()).substr(0, 1) == "f");
  }
  return 0;
}
