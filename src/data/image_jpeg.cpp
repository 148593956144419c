// JPEG through libjpeg-turbo.
#include <csetjmp>
#include <cstdio>
// jpeglib.h wants FILE to be known before it, and jerror.h what jpeglib.h defines.
#include <jpeglib.h>

#include <jerror.h>

#include "attend/base/error.h"
#include "data/image_codecs.h"

namespace attend::data {
namespace {

constexpr int kMostScans = 500;  // a progressive file can ask for one more pass with a few bytes

/// One decoding. `info` comes first, so that the callbacks find the rest.
struct JpegReading {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf leave{};
  char message[JMSG_LENGTH_MAX] = {};

  JpegReading() = default;
  JpegReading(const JpegReading&) = delete;
  JpegReading& operator=(const JpegReading&) = delete;
  ~JpegReading() { jpeg_destroy_decompress(&info); }
};

JpegReading& jpeg_reading_of(j_common_ptr common) {
  return *reinterpret_cast<JpegReading*>(common);
}

[[noreturn]] void leave_jpeg(j_common_ptr common) {
  JpegReading& reading = jpeg_reading_of(common);
  common->err->format_message(common, reading.message);
  std::longjmp(reading.leave, 1);
}

/// Warnings that mean wrong pixels end the decoding; others (stray bytes, odd version numbers) do
/// not.
void hear_jpeg(j_common_ptr common, int level) {
  if (level >= 0) return;
  switch (common->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      leave_jpeg(common);
    default:
      break;
  }
}

void watch_jpeg(j_common_ptr common) {
  JpegReading& reading = jpeg_reading_of(common);
  if (reading.info.input_scan_number <= kMostScans) return;
  std::snprintf(reading.message, sizeof(reading.message), "more than %d scans", kMostScans);
  std::longjmp(reading.leave, 1);
}

/// Reads up to the first scan; false with `message` set when that fails.
bool start_jpeg(JpegReading& reading, const unsigned char* bytes, std::size_t size) {
  jpeg_decompress_struct& info = reading.info;
  info.err = jpeg_std_error(&reading.errors);
  reading.errors.error_exit = leave_jpeg;
  reading.errors.emit_message = hear_jpeg;
  reading.progress.progress_monitor = watch_jpeg;
  if (setjmp(reading.leave) != 0) return false;
  jpeg_create_decompress(&info);
  info.progress = &reading.progress;
  jpeg_mem_src(&info, bytes, static_cast<unsigned long>(size));
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&info, TRUE);
  const bool is_cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_calc_output_dimensions(&info);
  return true;
}

/// Reads every row; false with `message` set when that fails.
bool finish_jpeg(JpegReading& reading, std::uint8_t* out) {
  jpeg_decompress_struct& info = reading.info;
  if (setjmp(reading.leave) != 0) return false;
  jpeg_start_decompress(&info);
  const std::size_t stride =
      std::size_t{info.output_width} * static_cast<std::size_t>(info.output_components);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = out + info.output_scanline * stride;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

int orientation_of_jpeg(const jpeg_decompress_struct& info) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  for (auto* marker = info.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (data.starts_with(kExif)) return exif_orientation(data.substr(kExif.size()));
  }
  return 1;
}

[[noreturn]] void fail_jpeg(const JpegReading& reading, const std::string& name) {
  fail_input(name + ": damaged JPEG or one of a kind not read here (" + reading.message +
             "); save it anew, or leave it out");
}

}  // namespace

RawImage decode_jpeg(std::string_view bytes, const std::string& name) {
  JpegReading reading;
  if (!start_jpeg(reading, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()))
    fail_jpeg(reading, name);
  RawImage out;
  out.height = reading.info.output_height;
  out.width = reading.info.output_width;
  out.channels = reading.info.out_color_components;
  require_size(out.height, out.width, name);
  out.orientation = orientation_of_jpeg(reading.info);
  out.samples.resize(static_cast<std::size_t>(out.height * out.width * out.channels));
  if (!finish_jpeg(reading, out.samples.data())) fail_jpeg(reading, name);
  return out;
}

}  // namespace attend::data
