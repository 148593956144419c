// Film strips as pixels.
#include "attend/viz/film.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "viz/film.h"

namespace attend::viz {
namespace {

using Rgb = std::array<std::uint8_t, 3>;
constexpr Rgb kPaper{0xfc, 0xfc, 0xfa}, kInk{0x1b, 0x1d, 0x21}, kRead{0x1d, 0x4f, 0x91},
    kWrite{0xb4, 0x43, 0x0c}, kHair{0xdc, 0xdc, 0xd6};
constexpr std::int64_t kTile = 112, kSheetGap = 8, kTilesInRow = 11;

class Sheet {
 public:
  Sheet(std::int64_t height, std::int64_t width) {
    raster_.height = height, raster_.width = width;
    raster_.pixels.resize(static_cast<std::size_t>(height * width * 3));
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x) dot(y, x, kPaper);
  }

  void dot(std::int64_t y, std::int64_t x, const Rgb& colour) {
    if (y < 0 || x < 0 || y >= raster_.height || x >= raster_.width) return;
    std::copy(colour.begin(), colour.end(), raster_.pixels.begin() + (y * raster_.width + x) * 3);
  }

  /// An image, each pixel `scale` wide, in a hairline frame.
  void image(const Film& film, const std::vector<std::uint8_t>& pixels, std::int64_t top,
             std::int64_t left, std::int64_t scale) {
    frame(top - 1, left - 1, film.height * scale + 2, film.width * scale + 2);
    for (std::int64_t y = 0; y < film.height * scale; ++y)
      for (std::int64_t x = 0; x < film.width * scale; ++x) {
        const std::int64_t at = (y / scale * film.width + x / scale) * film.channels;
        const std::uint8_t* p = pixels.data() + at;
        dot(top + y, left + x, film.channels == 3 ? Rgb{p[0], p[1], p[2]} : shade(p[0]));
      }
  }

  struct Line {
    Rgb colour;
    bool dashed;
  };
  /// The rectangle that N x N filter centres span, clipped to the image; `edge` is its place and scale.
  void window(const Film& film, const FilmWindow& w, std::int64_t n, const Line& line,
              std::int64_t top, std::int64_t left, std::int64_t scale) {
    const double k = static_cast<double>(scale), side = window_side(w, n) * k;
    const double y = (w.y + 0.5) * k - side / 2, x = (w.x + 0.5) * k - side / 2;
    const double thick = std::clamp(w.sigma * k / 2, 1.0, 1.6 * k);
    for (std::int64_t v = 0; v < film.height * scale; ++v)
      for (std::int64_t u = 0; u < film.width * scale; ++u) {
        const double dy = static_cast<double>(v) + 0.5 - y, dx = static_cast<double>(u) + 0.5 - x;
        const double outside = std::max({-dx, dx - side, -dy, dy - side});
        if (std::abs(outside) > thick / 2) continue;
        const bool upright = std::min(std::abs(dx), std::abs(dx - side)) <= thick / 2;
        if (!line.dashed || std::fmod(std::abs(upright ? dy : dx), 2.6 * k) < 1.6 * k)
          dot(top + v, left + u, line.colour);
      }
  }

  Raster finish() { return std::move(raster_); }

 private:
  static Rgb shade(std::uint8_t value) {
    Rgb out{};
    for (std::size_t c = 0; c < 3; ++c)
      out[c] = static_cast<std::uint8_t>(kPaper[c] + (kInk[c] - kPaper[c]) * value / 255);
    return out;
  }

  void frame(std::int64_t top, std::int64_t left, std::int64_t height, std::int64_t width) {
    for (std::int64_t y = 0; y < height; ++y)
      dot(top + y, left, kHair), dot(top + y, left + width - 1, kHair);
    for (std::int64_t x = 0; x < width; ++x)
      dot(top, left + x, kHair), dot(top + height - 1, left + x, kHair);
  }

  Raster raster_;
};

constexpr Sheet::Line kReadLine{kRead, false}, kWriteLine{kWrite, true};

/// Whole, so that pixels stay square and sharp; to the nearest.
std::int64_t scale_of(const Film& film) {
  const std::int64_t side = std::max(film.height, film.width);
  return std::max<std::int64_t>(1, (kTile + side / 2) / side);
}

}  // namespace

double window_side(const FilmWindow& w, std::int64_t n) {
  return n > 1 ? w.stride * static_cast<double>(n - 1) : 2 * w.sigma;
}

Raster film_strip(const Film& film) {
  check_film(film);
  const std::int64_t scale = scale_of(film),
                     tiles = static_cast<std::int64_t>(film.steps.size()) + 1;
  const std::int64_t columns = std::min(tiles, kTilesInRow), rows = (tiles + columns - 1) / columns;
  const std::int64_t down = film.height * scale + kSheetGap,
                     across = film.width * scale + kSheetGap;
  Sheet sheet(rows * down + kSheetGap, columns * across + kSheetGap);
  for (std::int64_t i = 0; i < tiles; ++i) {
    const std::int64_t top = kSheetGap + i / columns * down,
                       left = kSheetGap + i % columns * across;
    if (i == 0) {
      sheet.image(film, film.image, top, left, scale);
      continue;
    }
    const FilmStep& s = film.steps[static_cast<std::size_t>(i - 1)];
    sheet.image(film, s.canvas, top, left, scale);
    if (s.read) sheet.window(film, *s.read, film.read_size, kReadLine, top, left, scale);
    if (s.write) sheet.window(film, *s.write, film.write_size, kWriteLine, top, left, scale);
  }
  return sheet.finish();
}

Raster film_frame(const Film& film, std::size_t step) {
  check_film(film);
  const FilmStep& s = film.steps.at(step);
  const std::int64_t scale = 2 * scale_of(film), across = film.width * scale + kSheetGap;
  Sheet sheet(film.height * scale + 2 * kSheetGap, 2 * across + kSheetGap);
  sheet.image(film, film.image, kSheetGap, kSheetGap, scale);
  sheet.image(film, s.canvas, kSheetGap, kSheetGap + across, scale);
  if (s.read) sheet.window(film, *s.read, film.read_size, kReadLine, kSheetGap, kSheetGap, scale);
  if (s.write)
    sheet.window(film, *s.write, film.write_size, kWriteLine, kSheetGap, kSheetGap + across, scale);
  return sheet.finish();
}

}  // namespace attend::viz
