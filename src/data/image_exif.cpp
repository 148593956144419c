#include "data/image_codecs.h"

namespace attend::data {
namespace {

/// Numbers at places of EXIF data; 0 beyond its end.
class ExifBytes {
 public:
  explicit ExifBytes(std::string_view bytes)
      : bytes_(bytes), is_big_endian_(bytes.substr(0, 2) == "MM") {}

  std::uint32_t number(std::size_t place, std::size_t size) const {
    if (place > bytes_.size() || size > bytes_.size() - place) return 0;
    std::uint32_t out = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t at = place + (is_big_endian_ ? i : size - 1 - i);
      out = out << 8 | static_cast<std::uint8_t>(bytes_[at]);
    }
    return out;
  }

 private:
  std::string_view bytes_;
  bool is_big_endian_;
};

}  // namespace

int exif_orientation(std::string_view tiff) {
  constexpr std::uint32_t kOrientation = 0x0112, kShort = 3;
  constexpr std::size_t kEntry = 12;  // tag, type, count, value
  const std::string_view order = tiff.substr(0, 2);
  const ExifBytes bytes(tiff);
  if ((order != "II" && order != "MM") || bytes.number(2, 2) != 42) return 1;
  const std::size_t directory = bytes.number(4, 4);
  const std::size_t entries = bytes.number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntry;
    if (bytes.number(entry, 2) != kOrientation) continue;
    const std::uint32_t value = bytes.number(entry + 8, 2);
    const bool is_good = bytes.number(entry + 2, 2) == kShort && value >= 1 && value <= 8;
    return is_good ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace attend::data
