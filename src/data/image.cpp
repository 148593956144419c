#include "attend/data/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "attend/base/error.h"
#include "data/image_codecs.h"

namespace attend::data {
namespace {

constexpr std::size_t kMostImageBytes = std::size_t{256} << 20;

/// x / 255, rounded to the nearest, for x ≤ 255².
std::uint8_t by_255(unsigned x) {
  x += 128;
  return static_cast<std::uint8_t>((x + (x >> 8)) >> 8);
}

/// [pixels, 4] → [pixels, 3] in place: `reduce(sample, fourth)` for each of the three.
template <class Reduce>
void drop_fourth(std::vector<std::uint8_t>& samples, Reduce reduce) {
  const std::size_t pixels = samples.size() / 4;
  for (std::size_t i = 0; i < pixels; ++i) {
    const unsigned fourth = samples[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) samples[3 * i + c] = reduce(samples[4 * i + c], fourth);
  }
  samples.resize(3 * pixels);
}

std::uint8_t over_white(unsigned sample, unsigned alpha) {
  return by_255(sample * alpha + 255 * (255 - alpha));
}

/// Of inverted CMYK: 255 is no ink.
std::uint8_t red_of_cyan(unsigned cyan, unsigned black) {
  return static_cast<std::uint8_t>(black - by_255((255 - cyan) * black));
}

/// EXIF orientations: 2–4 mirror and turn in place, 5–8 also swap the axes.
Image turned(Image image, int orientation) {
  if (orientation == 1) return image;
  const bool swaps = orientation >= 5;
  // Does a step along the result's x (y) go backwards along the source's axis?
  const bool x_back = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool y_back = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  Image out{swaps ? image.width : image.height, swaps ? image.height : image.width, {}};
  out.pixels.resize(image.pixels.size());
  for (std::int64_t y = 0; y < out.height; ++y)
    for (std::int64_t x = 0; x < out.width; ++x) {
      const std::int64_t along_x = x_back ? out.width - 1 - x : x;
      const std::int64_t along_y = y_back ? out.height - 1 - y : y;
      const std::int64_t from =
          swaps ? along_x * image.width + along_y : along_y * image.width + along_x;
      std::memcpy(&out.pixels[static_cast<std::size_t>((y * out.width + x) * 3)],
                  &image.pixels[static_cast<std::size_t>(from * 3)], 3);
    }
  return out;
}

struct ImageFile {
  explicit ImageFile(const std::string& path)
      // Opening a FIFO for reading would wait for a writer.
      : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ImageFile(const ImageFile&) = delete;
  ImageFile& operator=(const ImageFile&) = delete;
  ~ImageFile() {
    if (fd >= 0) ::close(fd);
  }
  int fd;
};

std::string read_regular_file(const std::string& path) {
  const ImageFile file(path);
  if (file.fd < 0) fail_io(path + ": cannot open: " + std::strerror(errno));
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) fail_io(path + ": cannot read: " + std::strerror(errno));
  if (S_ISDIR(info.st_mode)) fail_io(path + ": is a folder, not an image file");
  if (!S_ISREG(info.st_mode)) fail_io(path + ": is not a regular file; give a JPEG or PNG file");
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > kMostImageBytes)
    fail_input(path + ": " + std::to_string(size >> 20) + " MiB; an image file has 256 at most");
  std::string out(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = ::read(file.fd, out.data() + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io(path + ": cannot read: " + std::strerror(errno));
    if (got == 0) break;  // it was cut meanwhile
    have += static_cast<std::size_t>(got);
  }
  out.resize(have);
  return out;
}

}  // namespace

void require_size(std::int64_t height, std::int64_t width, const std::string& name) {
  if (height < 1 || width < 1 || height > kMostPixels || width > kMostPixels / height)
    fail_input(name + ": " + std::to_string(width) + " × " + std::to_string(height) +
               " pixels; an image has 1…" + std::to_string(kMostPixels) +
               ": scale it down, or leave it out");
}

Image decode_image(std::string_view bytes, const std::string& name) {
  if (bytes.empty()) fail_input(name + ": empty; expected a JPEG or PNG image");
  const bool is_jpeg = bytes.starts_with("\xFF\xD8\xFF");
  const bool is_png = bytes.starts_with("\x89PNG\r\n\x1A\n");
  if (!is_jpeg && !is_png)
    fail_input(name + ": neither JPEG nor PNG by its first bytes; convert it to one of them");
  RawImage raw = is_jpeg ? decode_jpeg(bytes, name) : decode_png(bytes, name);
  if (raw.channels == 4) drop_fourth(raw.samples, is_jpeg ? red_of_cyan : over_white);
  return turned({raw.height, raw.width, std::move(raw.samples)}, raw.orientation);
}

Image read_image(const std::string& path) { return decode_image(read_regular_file(path), path); }

}  // namespace attend::data
