// Images beside what Pillow makes of the same bytes (tests/golden/make_images.py).
//
// Killed mutations: each of the axes of orientations 2 and 6 not turned back; CMYK not inverted;
// alpha over black; division by 256; the size not looked at; a FIFO opened for waiting; an early
// end and a missing marker of a JPEG let pass; the end of a PNG not read; Adam7 read as one pass;
// libpng's own limit of size; scans not counted; little-endian EXIF read as big-endian; 16 bits
// rounded; weights cut instead of rounded, also below 0; no cutting to 0…255; a kernel that is not
// widened; centres half a pixel off; bicubic of a = −¾; no half before the shift; the crop's larger
// margin first.
#include "attend/data/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::message_of;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

const json& golden() {
  static const json all = json::parse(std::ifstream(ATTEND_GOLDEN "/images.json"));
  return all;
}

std::string unhex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

Image image_of(const json& given) {
  const std::string bytes = unhex(given.at("rgb").get<std::string>());
  return {given.at("height").get<std::int64_t>(),
          given.at("width").get<std::int64_t>(),
          {bytes.begin(), bytes.end()}};
}

std::string file_of(const std::string& name) {
  for (const json& given : golden().at("images"))
    if (given.at("name") == name) return unhex(given.at("file").get<std::string>());
  ADD_FAILURE() << "no " << name;
  return "";
}

/// The largest difference of a sample; sizes must be equal.
int distance(const Image& a, const Image& b) {
  if (a.height != b.height || a.width != b.width || a.pixels.size() != b.pixels.size()) return 999;
  int out = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i)
    out = std::max(out, std::abs(int{a.pixels[i]} - int{b.pixels[i]}));
  return out;
}

std::string decoding(const std::string& bytes) {
  return message_of([&] { decode_image(bytes, "f"); });
}

class ImageFiles : public testing::Test {
 protected:
  std::string put(const std::string& name, const std::string& bytes) {
    return temporary_.write(name, bytes);
  }
  test::TemporaryFolder temporary_;
  std::string folder_ = temporary_.path();
};

TEST(Image, PixelsArePillows) {
  for (const json& given : golden().at("images")) {
    const auto name = given.at("name").get<std::string>();
    const Image image = decode_image(file_of(name), name);
    EXPECT_EQ(distance(image, image_of(given)), 0) << name;
  }
}

TEST(Image, ResizeIsPillows) {
  for (const json& given : golden().at("resized")) {
    const auto filter = given.at("filter").get<std::string>();
    const Image want = image_of(given);
    const Image got = resize(image_of(golden().at("sources").at(given.at("source").get<int>())),
                             want.height, want.width,
                             filter == "BILINEAR"  ? ResizeFilter::kBilinear
                             : filter == "BICUBIC" ? ResizeFilter::kBicubic
                                                   : ResizeFilter::kLanczos);
    EXPECT_EQ(distance(got, want), 0) << filter << " to " << want.width << " × " << want.height;
  }
}

TEST(Image, ResizeKeepsAConstantAndRefusesNonsense) {
  const Image flat{3, 5, std::vector<std::uint8_t>(45, 201)};
  for (const auto filter :
       {ResizeFilter::kBilinear, ResizeFilter::kBicubic, ResizeFilter::kLanczos}) {
    const Image large = resize(flat, 31, 8, filter);
    EXPECT_EQ(large.height, 31);
    EXPECT_EQ(large.pixels, std::vector<std::uint8_t>(31 * 8 * 3, 201));
    EXPECT_EQ(resize(flat, 3, 5, filter), flat);
  }
  EXPECT_THAT(message_of([&] { resize(flat, 0, 5); }), HasSubstr("to 5 × 0 pixels; give 1…"));
  EXPECT_THAT(message_of([&] { resize(flat, 100'000, 100'000); }), HasSubstr("give 1…16777216"));
  EXPECT_THAT(message_of([&] { resize(Image{}, 2, 2); }), HasSubstr("the image is empty"));
}

TEST(Image, CenterCrop) {
  Image image{3, 4, {}};
  for (std::uint8_t i = 0; i < 36; ++i) image.pixels.push_back(i);
  EXPECT_EQ(center_crop(image, 1, 2).pixels, (std::vector<std::uint8_t>{15, 16, 17, 18, 19, 20}));
  EXPECT_EQ(center_crop(image, 2, 1).pixels, (std::vector<std::uint8_t>{3, 4, 5, 15, 16, 17}));
  EXPECT_EQ(center_crop(image, 3, 4), image);
  EXPECT_THAT(message_of([&] { center_crop(image, 4, 4); }),
              HasSubstr("4 × 4 pixels out of 4 × 3 pixels; resize it first"));
}

TEST(Image, PngIsReadBack) {
  Image image = decode_image(file_of("rgb.png"), "rgb.png");
  EXPECT_EQ(decode_image(encode_png(image), "f"), image);
  // Noise cannot be shrunk: the room that is made for the bytes must do.
  Image noise{700, 301, std::vector<std::uint8_t>(700 * 301 * 3)};
  std::uint32_t state = 1;
  for (auto& sample : noise.pixels)
    sample = static_cast<std::uint8_t>((state = state * 1664525 + 1013904223) >> 24);
  EXPECT_EQ(decode_image(encode_png(noise), "f"), noise);
  const Image tall{5000, 1, std::vector<std::uint8_t>(15000, 7)};
  EXPECT_EQ(decode_image(encode_png(tall), "f"), tall);
  image.pixels.pop_back();
  EXPECT_THAT(message_of([&] { encode_png(image); }), HasSubstr("expected 3 bytes a pixel"));
}

/// What has no animation (libpng) reads the first frame; the chunks count what they must.
TEST(Image, AnAnimationBeginsWithItsFirstFrame) {
  std::vector<Image> frames;
  for (std::uint8_t level : {0, 90, 180})
    frames.push_back({3, 4, std::vector<std::uint8_t>(36, level)});
  const std::string bytes = encode_apng(frames, 150);
  EXPECT_EQ(decode_image(bytes, "f"), frames[0]);
  const auto times = [&](const std::string& type) {
    int n = 0;
    for (auto at = bytes.find(type); at != std::string::npos; at = bytes.find(type, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(times("acTL"), 1);
  EXPECT_EQ(times("fcTL"), 3);
  EXPECT_EQ(times("IDAT"), 1);
  EXPECT_EQ(times("fdAT"), 2);
  EXPECT_EQ(bytes.substr(bytes.find("acTL") + 4, 8), std::string("\0\0\0\3\0\0\0\0", 8));
  std::string numbers;  // control and data chunks count together
  for (std::size_t at = 0; at + 8 < bytes.size(); ++at)
    if (const std::string type = bytes.substr(at, 4); type == "fcTL" || type == "fdAT")
      numbers.push_back(static_cast<char>('0' + bytes[at + 7]));
  EXPECT_EQ(numbers, "01234");
  frames.push_back({4, 3, std::vector<std::uint8_t>(36)});
  EXPECT_THAT(message_of([&] { encode_apng(frames, 150); }), HasSubstr("one size"));
  EXPECT_THAT(message_of([] { encode_apng({}, 150); }), HasSubstr("at least one frame"));
}

TEST(Image, ExifOfEitherByteOrder) {
  const std::string big("MM\0*\0\0\0\x8\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0", 26);
  const std::string little("II*\0\x8\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0", 26);
  const std::string whole = file_of("exif_6.jpg");
  const Image turned = decode_image(whole, "f");
  EXPECT_EQ(turned.height, 17);
  const std::size_t tiff = whole.find(std::string("Exif\0\0", 6)) + 6;
  for (const std::string& exif : {big, little}) {
    std::string bytes = whole;
    bytes.replace(tiff, 26, exif);
    EXPECT_EQ(decode_image(bytes, "f"), turned);
    bytes[tiff + (exif == big ? 19U : 18U)] = 9;  // no orientation
    EXPECT_EQ(decode_image(bytes, "f").height, 13);
    bytes.replace(tiff + 4, 4, "\x7f\x7f\x7f\x7f");  // a directory beyond the end
    EXPECT_EQ(decode_image(bytes, "f").height, 13);
  }
}

/// A header that promises `width` × `height` pixels.
std::string png_of_size(std::uint32_t width, std::uint32_t height) {
  std::string out = file_of("rgb.png");
  for (int i = 0; i < 4; ++i) {
    out[static_cast<std::size_t>(16 + i)] = static_cast<char>(width >> (24 - 8 * i));
    out[static_cast<std::size_t>(20 + i)] = static_cast<char>(height >> (24 - 8 * i));
  }
  std::uint32_t crc = ~0U;  // of IHDR, as the PNG specification computes it
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<std::uint8_t>(out[i]);
    for (int k = 0; k < 8; ++k) crc = (crc & 1) != 0 ? 0xEDB88320U ^ (crc >> 1) : crc >> 1;
  }
  for (int i = 0; i < 4; ++i)
    out[static_cast<std::size_t>(29 + i)] = static_cast<char>(~crc >> (24 - 8 * i));
  return out;
}

std::string jpeg_of_size(unsigned width, unsigned height) {
  std::string out = file_of("rgb.jpg");
  const std::size_t frame = out.find("\xFF\xC0");
  out[frame + 5] = static_cast<char>(height >> 8), out[frame + 6] = static_cast<char>(height);
  out[frame + 7] = static_cast<char>(width >> 8), out[frame + 8] = static_cast<char>(width);
  return out;
}

TEST(Image, SizeIsReadFirst) {
  EXPECT_THAT(decoding(png_of_size(100'000, 100'000)),
              HasSubstr("f: 100000 × 100000 pixels; an image has 1…16777216: scale it down"));
  EXPECT_THAT(decoding(png_of_size(0x7FFFFFFF, 0x7FFFFFFF)), HasSubstr("2147483647 × 2147483647"));
  EXPECT_THAT(decoding(jpeg_of_size(65'000, 65'000)), HasSubstr("65000 × 65000 pixels"));
  EXPECT_THAT(decoding(png_of_size(16'777'217, 1)), HasSubstr("16777217 × 1 pixels"));
  EXPECT_THAT(decoding(png_of_size(0, 5)), HasSubstr("damaged PNG"));
  EXPECT_THAT(decoding(jpeg_of_size(0, 5)), HasSubstr("JPEG"));
  EXPECT_THAT(decoding(png_of_size(17, 4000)), HasSubstr("damaged PNG"));
  EXPECT_THAT(decoding(jpeg_of_size(17, 4000)), HasSubstr("damaged JPEG"));
}

TEST(Image, CutShortAnywhereIsRefused) {
  for (const char* name : {"rgb.png", "interlaced.png", "exif.png", "palette.png", "rgb.jpg",
                           "progressive.jpg", "cmyk.jpg", "exif_6.jpg"}) {
    const std::string whole = file_of(name);
    // A JPEG without its last two bytes has every pixel; what is missing is the end marker.
    for (std::size_t n = 0; n < whole.size(); ++n)
      EXPECT_THAT(decoding(whole.substr(0, n)),
                  AnyOf(HasSubstr("f: damaged"), HasSubstr("f: neither JPEG nor PNG"),
                        HasSubstr("f: empty")))
          << name << " " << n;
  }
}

TEST(Image, WrongBytesNeverCrash) {
  for (const json& given : golden().at("images")) {
    const auto name = given.at("name").get<std::string>();
    const std::string whole = file_of(name);
    std::uint32_t state = 7;
    for (int i = 0; i < 100; ++i) {
      std::string bytes = whole;
      for (int k = 0; k < 3; ++k) {
        state = state * 1664525 + 1013904223;
        bytes[(state >> 8) % bytes.size()] = static_cast<char>(state);
      }
      const std::string told = decoding(bytes);
      EXPECT_THAT(told, AnyOf("", StartsWith("f: "))) << name;
    }
  }
}

TEST(Image, MoreScansThanAnyoneNeeds) {
  // The first scan of a progressive file, its DC coefficients, again and again.
  const std::string whole = file_of("progressive.jpg");
  const std::size_t begin = whole.find("\xFF\xDA"), end = whole.find("\xFF\xC4", begin);
  const auto repeated = [&](int times) {
    std::string bytes = whole.substr(0, begin);
    for (int i = 0; i < times; ++i) bytes += whole.substr(begin, end - begin);
    return decoding(bytes + whole.substr(end));
  };
  EXPECT_EQ(repeated(1), "");
  EXPECT_THAT(repeated(600), HasSubstr("more than 500 scans"));
}

TEST_F(ImageFiles, WhatIsNoImageFile) {
  EXPECT_THAT(message_of([&] { read_image(folder_ + "/no.png"); }), HasSubstr("no.png: cannot"));
  EXPECT_THAT(message_of([&] { read_image(folder_); }), HasSubstr("is a folder, not an image"));
  EXPECT_THAT(message_of([&] { read_image(put("empty.jpg", "")); }), HasSubstr("empty.jpg: empty"));
  EXPECT_THAT(message_of([&] { read_image(put("a.jpg", "GIF89a")); }), HasSubstr("neither JPEG"));
  const std::string fifo = folder_ + "/fifo.png";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(message_of([&] { read_image(fifo); }), HasSubstr("fifo.png: is not a regular file"));
  EXPECT_EQ(read_image(put("png.jpg", file_of("rgb.png"))).width, 17);  // the name does not matter
  const std::string huge = put("huge.png", "");
  fs::resize_file(huge, (std::uintmax_t{256} << 20) + (1 << 20));
  EXPECT_THAT(message_of([&] { read_image(huge); }), HasSubstr("257 MiB"));
}

}  // namespace
}  // namespace attend::data
