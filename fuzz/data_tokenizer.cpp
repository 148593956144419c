#include "data_rows.h"

/// A tokenizer.json that is accepted must be written again to the same ids, and encode any text to
/// ids below its size.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace attend::data;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  try {
    const Tokenizer tokenizer = from_tokenizer_json(text, "f");
    const std::string written = to_tokenizer_json(tokenizer);
    const Tokenizer again = from_tokenizer_json(written, "f");
    require(to_tokenizer_json(again) == written);
    require(again.vocabulary() == tokenizer.vocabulary());
    const std::string sample = is_utf8(text) ? std::string(text) : std::string("The good, THE bad");
    const auto ids = tokenizer.text_to_sequence(sample);
    require(ids == again.text_to_sequence(sample));
    for (const std::int64_t id : ids) require(id >= 1 && id <= tokenizer.vocabulary());
    std::size_t last = 0;
    for (const Token& token : tokenizer.tokenize(sample)) {
      require(token.begin >= last && token.begin < token.end && token.end <= sample.size());
      last = token.begin;
    }
  } catch (const attend::Error& e) {
    require(e.kind() == attend::ErrorKind::kBadInput);
  }
  return 0;
}
