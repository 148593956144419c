// Film strips as pixels.
#include "attend/viz/film.h"

#include <gtest/gtest.h>

#include <array>

#include "support/message_of.h"

namespace attend::viz {
namespace {

using Rgb = std::array<int, 3>;
constexpr Rgb kRead{0x1d, 0x4f, 0x91}, kWrite{0xb4, 0x43, 0x0c};

Rgb at(const Raster& r, std::int64_t y, std::int64_t x) {
  const std::uint8_t* p = r.pixels.data() + (y * r.width + x) * 3;
  return {p[0], p[1], p[2]};
}

/// An 8 × 8 image, one step; an image pixel is 14 × 14 in the strip, whose tiles begin at 8 and 8 + 112 + 8.
Film small(std::int64_t channels = 1) {
  Film f;
  f.height = f.width = 8, f.channels = channels, f.read_size = 2, f.write_size = 3;
  f.image.assign(static_cast<std::size_t>(64 * channels), 0);
  f.image[0] = 255;
  FilmStep s;
  s.canvas.assign(f.image.size(), 0);
  s.canvas.back() = 255;
  f.steps = {s};
  return f;
}

std::int64_t count(const Raster& r, const Rgb& colour) {
  std::int64_t n = 0;
  for (std::int64_t y = 0; y < r.height; ++y)
    for (std::int64_t x = 0; x < r.width; ++x) n += at(r, y, x) == colour;
  return n;
}

TEST(Film, InputThenCanvases) {
  const Raster r = film_strip(small());
  EXPECT_EQ(r.height, 8 + 112 + 8);
  EXPECT_EQ(r.width, 8 + 2 * 120);
  EXPECT_EQ(at(r, 8, 8), (Rgb{0x1b, 0x1d, 0x21}));      // 255 is ink
  EXPECT_EQ(at(r, 8, 22), (Rgb{0xfc, 0xfc, 0xfa}));     // 0 is paper
  EXPECT_EQ(at(r, 119, 239), (Rgb{0x1b, 0x1d, 0x21}));  // the last pixel of the canvas
  EXPECT_EQ(at(film_strip(small(3)), 8, 8), (Rgb{255, 0, 0}));
}

TEST(Film, EnlargedToTheNearestWholeScale) {
  for (const auto& [side, shown] : {std::pair{60, 120}, std::pair{40, 120}, std::pair{28, 112},
                                    std::pair{75, 75}, std::pair{300, 300}}) {
    Film f = small();
    f.height = side, f.width = 1;
    f.image.assign(static_cast<std::size_t>(side), 0), f.steps[0].canvas = f.image;
    EXPECT_EQ(film_strip(f).height, 8 + shown + 8) << side;
  }
}

TEST(Film, TheWindowSpansTheFilterCentres) {
  Film f = small();
  f.steps[0].read = FilmWindow{3.5, 3.5, 4, 0.5};  // centres at 1.5 and 5.5
  const Raster r = film_strip(f);
  const std::int64_t left = 128;
  // Columns 1.5 and 5.5 are the middles of pixels, at (c + ½) · 14.
  for (const std::int64_t x : {left + 28, left + 84}) EXPECT_EQ(at(r, 8 + 56, x), kRead) << x;
  EXPECT_NE(at(r, 8 + 56, left + 56), kRead);  // not filled
  EXPECT_EQ(at(r, 8 + 28, left + 56), kRead);  // the upper edge
  EXPECT_EQ(count(r, kWrite), 0);
}

TEST(Film, AWriteWindowIsDashedAndAWideFilterThick) {
  Film f = small();
  f.steps[0].write = FilmWindow{3.5, 3.5, 2, 0.5};
  const std::int64_t dashed = count(film_strip(f), kWrite);
  f.steps[0].write.reset(), f.write_size = 3, f.read_size = 3;
  f.steps[0].read = FilmWindow{3.5, 3.5, 2, 0.5};
  const std::int64_t solid = count(film_strip(f), kRead);
  EXPECT_LT(dashed, solid);
  EXPECT_GT(dashed, solid / 2);
  f.steps[0].read->sigma = 1.5;
  EXPECT_GT(count(film_strip(f), kRead), 2 * solid);
}

TEST(Film, AWindowBeyondTheImageStaysInItsTile) {
  Film f = small();
  f.steps[0].read = FilmWindow{40, 40, 300, 2};
  f.steps[0].write = FilmWindow{-50, 3, 2, 1e9};
  const Raster r = film_strip(f);
  for (std::int64_t y = 0; y < r.height; ++y)
    for (std::int64_t x = 0; x < 127; ++x) {
      EXPECT_NE(at(r, y, x), kRead);
      EXPECT_NE(at(r, y, x), kWrite);
    }
}

TEST(Film, AFrameShowsInputAndCanvas) {
  Film f = small();
  f.steps[0].read = FilmWindow{3.5, 3.5, 4, 0.5}, f.steps[0].write = f.steps[0].read;
  const Raster r = film_frame(f, 0);
  EXPECT_EQ(r.height, 8 * 28 + 16);
  EXPECT_EQ(r.width, 2 * (8 * 28 + 8) + 8);
  EXPECT_GT(count(r, kRead), 0);
  EXPECT_GT(count(r, kWrite), 0);
}

TEST(Film, SizesMustAgree) {
  Film f = small();
  f.image.pop_back();
  EXPECT_NE(test::message_of([&] { film_strip(f); }).find("height x width x channels"),
            std::string::npos);
  f = small();
  f.steps.clear();
  FilmReport report;
  report.film = f;
  EXPECT_NE(test::message_of([&] { html(report); }), "");
}

}  // namespace
}  // namespace attend::viz
