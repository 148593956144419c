#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// What the two image decoders share. Both call C libraries that leave by longjmp, which must not
// pass over a C++ object with a destructor: only functions of pointers and numbers call them.
namespace attend::data {

/// Pixels as a decoder gives them: RGB, RGBA or CMYK (inverted) by the number of channels and kind.
struct RawImage {
  std::int64_t height = 0, width = 0, channels = 3;
  std::vector<std::uint8_t> samples;  // [height, width, channels]
  int orientation = 1;                // EXIF's, 1…8
};

RawImage decode_jpeg(std::string_view bytes, const std::string& name);  // RGB or inverted CMYK
RawImage decode_png(std::string_view bytes, const std::string& name);   // RGBA

/// Throws kBadInput when an image of this size is refused.
void require_size(std::int64_t height, std::int64_t width, const std::string& name);

/// Tag 0x0112 of the first directory of EXIF data (a TIFF header and what follows); 1 when it is
/// not there or makes no sense.
int exif_orientation(std::string_view tiff);

}  // namespace attend::data
