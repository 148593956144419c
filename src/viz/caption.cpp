// A caption's maps laid over the image, and what is said of them.
#include "attend/viz/caption.h"

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "viz/caption_parts.h"
#include "viz/palette.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

constexpr double kSigma = 1.25;  // of the Gaussian, in places
constexpr double kOpaque = .88;  // the veil where the weight is 0

/// g(u − c) for each pixel of a line and each place, every pixel's summing to 1: [pixels][side].
std::vector<std::vector<double>> gaussians(std::int64_t side, std::int64_t pixels) {
  std::vector<std::vector<double>> out;
  for (std::int64_t i = 0; i < pixels; ++i) {
    const double u =
        (static_cast<double>(i) + .5) * static_cast<double>(side) / static_cast<double>(pixels) -
        .5;
    std::vector<double> row;
    double sum = 0;
    for (std::int64_t c = 0; c < side; ++c) {
      const double away = (u - static_cast<double>(c)) / kSigma;
      row.push_back(std::exp(-away * away / 2));
      sum += row.back();
    }
    for (double& g : row) g /= sum;
    out.push_back(std::move(row));
  }
  return out;
}

void check_map(const std::vector<double>& map, std::int64_t side) {
  if (side < 1 || static_cast<std::int64_t>(map.size()) != side * side)
    fail_usage("attend::viz: a map of " + std::to_string(map.size()) + " weights, but side is " +
               std::to_string(side) + "; give side · side");
}

}  // namespace

std::vector<double> upsampled(const std::vector<double>& map, std::int64_t side, std::int64_t width,
                              std::int64_t height) {
  check_map(map, side);
  const auto across = gaussians(side, width), down = gaussians(side, height);
  std::vector<double> rows(static_cast<std::size_t>(side * width)),  // smoothed along x
      out(static_cast<std::size_t>(height * width));
  for (std::int64_t r = 0; r < side; ++r)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < side; ++c)
        rows[static_cast<std::size_t>(r * width + x)] +=
            across[static_cast<std::size_t>(x)][static_cast<std::size_t>(c)] *
            map[static_cast<std::size_t>(r * side + c)];
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t r = 0; r < side; ++r)
      for (std::int64_t x = 0; x < width; ++x)
        out[static_cast<std::size_t>(y * width + x)] +=
            down[static_cast<std::size_t>(y)][static_cast<std::size_t>(r)] *
            rows[static_cast<std::size_t>(r * width + x)];
  return out;
}

Pixels veiled(const Pixels& image, const std::vector<double>& map, std::int64_t side) {
  const std::vector<double> weight = upsampled(map, side, image.width, image.height);
  const double top = weight.empty() ? 0 : *std::max_element(weight.begin(), weight.end());
  Pixels out = image;
  for (std::size_t i = 0; i < weight.size(); ++i) {
    const double veil = top > 0 ? kOpaque * (1 - weight[i] / top) : kOpaque;
    for (std::size_t c = 0; c < 3; ++c) {
      const double paper = (kPaper >> (16 - 8 * c)) & 0xff;
      out.rgb[3 * i + c] =
          static_cast<std::uint8_t>(std::lround(image.rgb[3 * i + c] * (1 - veil) + paper * veil));
    }
  }
  return out;
}

double bits_of(const std::vector<double>& map) {
  double out = 0;
  for (const double p : map)
    if (p > 0) out -= p * std::log2(p);
  return out;
}

std::size_t largest_place(const std::vector<double>& map) {
  return static_cast<std::size_t>(std::max_element(map.begin(), map.end()) - map.begin());
}

Aim aim_of(const CaptionPicture& c, const CaptionWord& word) {
  if (!word.box || word.map.empty()) return Aim::kNothing;
  const auto side = static_cast<std::size_t>(c.side), place = largest_place(word.map);
  const auto middle = [&](std::size_t i, std::int64_t length) {
    return (static_cast<double>(i) + .5) * static_cast<double>(length) / static_cast<double>(side);
  };
  const double x = middle(place % side, c.width), y = middle(place / side, c.height);
  const PixelBox& b = *word.box;
  const bool inside = x >= b.left && x < b.left + b.width && y >= b.top && y < b.top + b.height;
  return inside ? Aim::kInside : Aim::kOutside;
}

void check_caption(const CaptionPicture& c) {
  for (const CaptionWord& word : c.words) check_map(word.map, c.side);
}

CaptionPointing pointing(const CaptionPicture& c) {
  CaptionPointing out;
  for (const CaptionWord& word : c.words) {
    const Aim aim = aim_of(c, word);
    out.words += aim != Aim::kNothing, out.right += aim == Aim::kInside;
  }
  return out;
}

bool maps_alike(const CaptionPicture& c) { return c.words.size() > 1 && c.spread < c.spread_least; }

VerdictText verdict_text(const CaptionPicture& c) {
  if (c.words.size() < 2) return {"Fewer than two words", "There is no other map to compare with."};
  const CaptionPointing p = pointing(c);
  const std::string named = p.words == 0
                                ? ""
                                : " " + std::to_string(p.right) + " of " + std::to_string(p.words) +
                                      " words that name something point at it.";
  const std::string distance = "Distance between the maps " + dec(c.spread) +
                               " bits (0: one map for every word; warning under " +
                               dec(c.spread_least) + ").";
  if (maps_alike(c))
    return {"Warning: the maps hardly differ between words",
            distance + named +
                " The caption does not depend on where the model looks: do not take these maps for "
                "an explanation."};
  return {"The maps differ from word to word", distance + named};
}

}  // namespace attend::viz
