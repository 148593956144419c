#include "attend/data/captions.h"

#include "data/caption_rows.h"
#include "data/readers.h"
#include "data_rows.h"

namespace attend::data {
namespace {

CaptionTable read_form(std::uint8_t form, std::string_view text) {
  if (form % 3 == 0) return read_coco(text, "f");
  LineReader lines(bytes_of(text), "f", 512);
  return form % 3 == 1 ? read_flickr_tokens(lines) : read_caption_csv(lines);
}

}  // namespace
}  // namespace attend::data

/// The first byte chooses the form. Whatever the rest is: an Error that names the file, or captions
/// that hold.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace attend::data;
  if (size == 0) return 0;
  try {
    const CaptionTable table =
        read_form(bytes[0], {reinterpret_cast<const char*>(bytes + 1), size - 1});
    for (const CaptionRow& row : table.rows) {
      const std::string& text = row.caption.text;
      require(!row.image.empty() && !text.empty() && is_utf8(text) && row.line > 0);
      require(text.find_first_of(std::string_view("\0\n\t\r", 4)) == std::string::npos);
      require(text.front() != ' ' && text.back() != ' ');
      for (const Region& region : row.caption.regions)
        require(region.word >= 0 && region.word < count_words(text) && region.box.left >= 0);
    }
    for (const BadLine& bad : table.bad_lines) require(bad.line > 0 && !bad.reason.empty());
  } catch (const attend::Error& e) {
    require(e.kind() == attend::ErrorKind::kBadInput);
    require(std::string_view(e.what()).starts_with("f:"));
  }
  return 0;
}
