#include "attend/data/codec.h"

#include "data_rows.h"

/// A tokenizer.json (or vocab.txt, for inputs of odd length that are none) that is accepted must be
/// written again to the same ids, and encode any text to ids of its vocabulary.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace attend::data;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const bool is_json = size > 0 && text[0] == '{';
  try {
    const TextCodec codec = is_json ? codec_from_json(text, "f") : codec_from_vocab_txt(text, "f");
    const std::string written = to_json(codec);
    const TextCodec again = codec_from_json(written, "f");
    require(to_json(again) == written);
    const std::string sample = is_utf8(text) ? std::string(text) : std::string("The good, THE bad");
    const auto ids = codec.encode(sample);
    require(ids == again.encode(sample));
    for (const std::int64_t id : ids) require(id >= 0 && id < codec.size());
    require(is_utf8(codec.decode(ids)));
    require(codec.words(ids).size() == ids.size());
    attend::Random random(size, attend::Purpose::kDropout);
    for (const std::int64_t id : codec.encode(sample, 0.5, random))
      require(id >= 0 && id < codec.size());
  } catch (const attend::Error& e) {
    require(e.kind() == attend::ErrorKind::kBadInput);
    require(std::string_view(e.what()).substr(0, 1) == "f");
  }
  return 0;
}
