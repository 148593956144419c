#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attend::data {

/// An image in memory: 8-bit RGB, rows from the top, pixels[(y · width + x) · 3 + channel].
struct Image {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  // [height, width, 3]

  bool operator==(const Image&) const = default;
};

/// What an image may hold at most: 4096 × 4096 pixels (16.8 MP), so that nobody's file can take all
/// memory.
inline constexpr std::int64_t kMostPixels = std::int64_t{1} << 24;

/// Decodes a JPEG or PNG file; its first bytes say which, not its name. The size in the header is
/// read first, and nothing is allocated for an image over kMostPixels. Turned and mirrored as its
/// EXIF orientation says. Every kind becomes 8-bit RGB:
///   grey, palette   as the same value or colour in the three channels
///   16 bits         the upper 8
///   alpha           laid over white, rounded to the nearest level
///   CMYK, YCCK      inverted, as Adobe writes them (and as browsers read them):
///                   R = K − (255 − C) · K / 255
/// No colour profile and no gamma is applied. Pixels equal Pillow's for PNG, and for JPEG as far as
/// the two were built with the same libjpeg-turbo.
///
/// Throws kIo when the file cannot be opened or is no regular file (a folder, a FIFO); kBadInput,
/// naming the file and the mend, for: an empty file, neither JPEG nor PNG, an image too large or a
/// file over 256 MiB, data cut short or damaged, more than 500 scans of a progressive JPEG. Cost:
/// linear; memory for the file and 4 bytes a pixel (progressive JPEG: 6 more). Thread-safe.
///
/// ```cpp
/// const Image photo = read_image("photo.jpg");
/// const Image small = center_crop(resize(photo, 256, 256), 224, 224);
/// ```
Image read_image(const std::string& path);

/// The same from bytes in memory; `name` stands for the file in messages.
Image decode_image(std::string_view bytes, const std::string& name);

/// The bytes of an 8-bit RGB PNG without interlacing. The same image gives the same bytes with the
/// same libpng and zlib. Throws kUsage unless height and width are 1… and pixels has 3 bytes for
/// each pixel.
std::string encode_png(const Image& image);

/// The bytes of an animated PNG that shows each frame for so many milliseconds, over and over; what knows no animation shows the
/// first. Throws kUsage without frames, for frames of two sizes, and as encode_png.
std::string encode_apng(const std::vector<Image>& frames, std::int64_t milliseconds);

/// Kernels of `resize`, by their reach in source pixels: 1, 2 (Keys 1981, a = −½) and 3.
enum class ResizeFilter { kBilinear, kBicubic, kLanczos };

/// The image at another size, with anti-aliasing: each new pixel is a weighted mean of the source
/// around its place, the kernel widened by the scale when the image shrinks,
///   out[i] = Σ_j k((j + ½ − c_i) / s) in[j] / Σ_j k((j + ½ − c_i) / s),
///   c_i = (i + ½) · old / new,  s = max(1, old / new),
/// along x, then along y, with weights of 22 bits and the result rounded to 8 bits after each, as
/// Pillow's Image.resize does up to version 12 (13 takes y first for some sizes, which differs by a
/// level or, where a kernel overshoots, by several): the same pixels. An axis that keeps its length is left alone. Throws
/// kUsage unless both sizes are 1… and make no more than kMostPixels. Cost: about
/// 2 · reach · s products a pixel and axis.
Image resize(const Image& image, std::int64_t height, std::int64_t width,
             ResizeFilter filter = ResizeFilter::kBilinear);

/// The middle of an image; where the margins cannot be equal, the left and upper one is the smaller
/// by 1. Throws kUsage when the image is smaller than that.
Image center_crop(const Image& image, std::int64_t height, std::int64_t width);

}  // namespace attend::data
