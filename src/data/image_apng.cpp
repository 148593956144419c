// Animated PNG (the third edition of the PNG specification): the frames' own chunks, spliced into one file.
#include <zlib.h>

#include <string_view>

#include "attend/base/error.h"
#include "attend/data/image.h"

namespace attend::data {
namespace {

constexpr std::size_t kSignature = 8, kAroundData = 12;  // bytes of length, type and CRC

std::string big_endian(std::uint32_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return out;
}

std::string chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto sum =
      ::crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<std::uint32_t>(data.size()), 4) + body +
         big_endian(static_cast<std::uint32_t>(sum), 4);
}

/// The data of every chunk of a type in a file that encode_png made.
std::string data_of(std::string_view png, std::string_view type) {
  std::string out;
  for (std::size_t at = kSignature; at + kAroundData <= png.size();) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(png[at + i]);
    if (png.substr(at + 4, 4) == type) out += png.substr(at + 8, size);
    at += size + kAroundData;
  }
  return out;
}

}  // namespace

std::string encode_apng(const std::vector<Image>& frames, std::int64_t milliseconds) {
  if (frames.empty() || milliseconds < 0 || milliseconds > 65535)
    fail_usage("attend::data::encode_apng: needs at least one frame, shown for 0 to 65535 ms");
  for (const Image& frame : frames)
    if (frame.height != frames[0].height || frame.width != frames[0].width)
      fail_usage("attend::data::encode_apng: all frames must be of one size");
  std::string out;
  std::uint32_t number = 0;  // of control and data chunks together
  for (const Image& frame : frames) {
    const std::string png = encode_png(frame), pixels = data_of(png, "IDAT");
    if (out.empty())
      out = png.substr(0, kSignature) + chunk("IHDR", data_of(png, "IHDR")) +
            chunk("acTL",
                  big_endian(static_cast<std::uint32_t>(frames.size()), 4) + big_endian(0, 4));
    const std::string place(8, '\0'), keep(2, '\0');  // at (0, 0), over what was there
    out += chunk("fcTL", big_endian(number++, 4) +
                             big_endian(static_cast<std::uint32_t>(frame.width), 4) +
                             big_endian(static_cast<std::uint32_t>(frame.height), 4) + place +
                             big_endian(static_cast<std::uint32_t>(milliseconds), 2) +
                             big_endian(1000, 2) + keep);
    out += number == 1 ? chunk("IDAT", pixels) : chunk("fdAT", big_endian(number++, 4) + pixels);
  }
  return out + chunk("IEND", "");
}

}  // namespace attend::data
