// PNG through libpng.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "attend/base/error.h"
#include "attend/data/image.h"
#include "data/image_codecs.h"

namespace attend::data {
namespace {

/// One decoding or encoding.
struct PngWork {
  png_structp png = nullptr;
  png_infop info = nullptr;
  bool is_reading = true;
  std::jmp_buf leave{};
  char message[200] = {};
  const char* bytes = nullptr;  // to read, what is left
  std::size_t size = 0;
  png_bytep exif = nullptr;  // libpng's own
  png_uint_32 exif_size = 0;

  PngWork() = default;
  PngWork(const PngWork&) = delete;
  PngWork& operator=(const PngWork&) = delete;
  ~PngWork() {
    if (is_reading)
      png_destroy_read_struct(&png, &info, nullptr);
    else
      png_destroy_write_struct(&png, &info);
  }
};

[[noreturn]] void leave_png(png_structp png, png_const_charp why) {
  auto& work = *static_cast<PngWork*>(png_get_error_ptr(png));
  std::snprintf(work.message, sizeof(work.message), "%s", why);
  std::longjmp(work.leave, 1);
}

void ignore_png(png_structp, png_const_charp) {}

void feed_png(png_structp png, png_bytep into, std::size_t n) {
  auto& work = *static_cast<PngWork*>(png_get_io_ptr(png));
  if (n > work.size) png_error(png, "cut short");
  std::memcpy(into, work.bytes, n);
  work.bytes += n;
  work.size -= n;
}

/// Reads up to the pixels and asks for 8-bit RGBA; false with `message` set when that fails.
bool start_png(PngWork& work) {
  work.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &work, leave_png, ignore_png);
  if (work.png == nullptr || setjmp(work.leave) != 0) return false;
  work.info = png_create_info_struct(work.png);
  if (work.info == nullptr) return false;
  png_set_read_fn(work.png, &work, feed_png);
  png_set_user_limits(work.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // require_size has its own
  png_read_info(work.png, work.info);
  png_get_eXIf_1(work.png, work.info, &work.exif_size, &work.exif);
  png_set_expand(work.png);  // palette, grey of 1, 2 and 4 bits, transparent colour
  png_set_strip_16(work.png);
  png_set_gray_to_rgb(work.png);
  png_set_add_alpha(work.png, 0xFF, PNG_FILLER_AFTER);
  return true;
}

bool finish_png(PngWork& work, std::uint8_t* out) {
  if (setjmp(work.leave) != 0) return false;
  const int passes = png_set_interlace_handling(work.png);
  png_read_update_info(work.png, work.info);
  const std::size_t stride = png_get_rowbytes(work.png, work.info);
  const png_uint_32 height = png_get_image_height(work.png, work.info);
  for (int pass = 0; pass < passes; ++pass)
    for (png_uint_32 y = 0; y < height; ++y) png_read_row(work.png, out + y * stride, nullptr);
  png_read_end(work.png, nullptr);
  return true;
}

/// Where bytes are written: room enough is made before, as a callback of libpng must not throw.
struct PngSink {
  char* into;
  std::size_t room, size;
};

void take_png(png_structp png, png_bytep bytes, std::size_t n) {
  auto& sink = *static_cast<PngSink*>(png_get_io_ptr(png));
  if (n > sink.room - sink.size) png_error(png, "no room");
  std::memcpy(sink.into + sink.size, bytes, n);
  sink.size += n;
}

bool write_png(PngWork& work, PngSink& sink, const Image& image) {
  work.is_reading = false;
  work.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &work, leave_png, ignore_png);
  if (work.png == nullptr || setjmp(work.leave) != 0) return false;
  work.info = png_create_info_struct(work.png);
  if (work.info == nullptr) return false;
  png_set_write_fn(work.png, &sink, take_png, nullptr);
  png_set_IHDR(work.png, work.info, static_cast<png_uint_32>(image.width),
               static_cast<png_uint_32>(image.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(work.png, work.info);
  const std::size_t stride = static_cast<std::size_t>(image.width) * 3;
  for (std::int64_t y = 0; y < image.height; ++y)
    png_write_row(work.png, image.pixels.data() + static_cast<std::size_t>(y) * stride);
  png_write_end(work.png, work.info);
  return true;
}

[[noreturn]] void fail_png(const PngWork& work, const std::string& name) {
  fail_input(name + ": damaged PNG (" + work.message + "); save it anew, or leave it out");
}

}  // namespace

RawImage decode_png(std::string_view bytes, const std::string& name) {
  PngWork work;
  work.bytes = bytes.data();
  work.size = bytes.size();
  if (!start_png(work)) fail_png(work, name);
  RawImage out;
  out.height = png_get_image_height(work.png, work.info);
  out.width = png_get_image_width(work.png, work.info);
  out.channels = 4;
  require_size(out.height, out.width, name);
  if (work.exif != nullptr)
    out.orientation = exif_orientation({reinterpret_cast<const char*>(work.exif), work.exif_size});
  out.samples.resize(static_cast<std::size_t>(out.height * out.width * out.channels));
  if (!finish_png(work, out.samples.data())) fail_png(work, name);
  return out;
}

std::string encode_png(const Image& image) {
  if (image.height < 1 || image.width < 1 || image.height > kMostPixels ||
      image.width > kMostPixels ||
      image.pixels.size() != static_cast<std::size_t>(image.height * image.width * 3))
    fail_usage("encode_png: an image of " + std::to_string(image.width) + " × " +
               std::to_string(image.height) + " pixels with " +
               std::to_string(image.pixels.size()) + " bytes; expected 3 bytes a pixel");
  PngWork work;
  // Deflate stores what it cannot shrink with 5 bytes for each 16 KiB at most; chunks add 12 each.
  std::string out(image.pixels.size() + image.pixels.size() / 64 +
                      static_cast<std::size_t>(image.height) * 2 + 4096,
                  '\0');
  PngSink sink{out.data(), out.size(), 0};
  if (!write_png(work, sink, image))
    throw Error(ErrorKind::kFailure, std::string("encode_png: ") + work.message);
  out.resize(sink.size);
  return out;
}

}  // namespace attend::data
