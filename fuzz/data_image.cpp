#include "attend/data/image.h"

#include "data_rows.h"

/// Whatever the bytes are: an Error of one line that names the file, or an image whose parts fit
/// and which an encoded copy gives back.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace attend::data;
  try {
    const Image image = decode_image({reinterpret_cast<const char*>(bytes), size}, "f");
    require(image.height >= 1 && image.width >= 1 && image.height * image.width <= kMostPixels);
    require(image.pixels.size() == static_cast<std::size_t>(image.height * image.width * 3));
    if (image.height * image.width > 4096) return 0;
    require(decode_image(encode_png(image), "f") == image);
    const Image small = resize(image, 1 + image.width % 7, 1 + image.height % 5,
                               static_cast<ResizeFilter>(size % 3));
    require(small.pixels.size() == static_cast<std::size_t>(small.height * small.width * 3));
  } catch (const attend::Error& e) {
    require(e.kind() == attend::ErrorKind::kBadInput);
    require(std::string_view(e.what()).starts_with("f: "));
    require(std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
