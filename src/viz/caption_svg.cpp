#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/viz/caption.h"
#include "viz/caption_parts.h"
#include "viz/drawing.h"
#include "viz/palette.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

constexpr double kFrame = 112, kGap = 12,
                 kUnder = 40;  // a frame's width, what is between, its two lines
constexpr std::size_t kPerRow = 7;

const char* mark_of(Aim aim) {
  return aim == Aim::kInside ? " ✓" : aim == Aim::kOutside ? " ✗" : "";
}

}  // namespace

std::string svg(const CaptionPicture& c, const std::vector<std::string>& frames) {
  check_caption(c);
  if (frames.size() != c.words.size())
    fail_usage("attend::viz: a caption of " + std::to_string(c.words.size()) + " words but " +
               std::to_string(frames.size()) + " frames; give one for each word");
  Drawing d;
  const std::size_t all = frames.size() + 1, columns = std::min(all, kPerRow);
  const double high =
      c.width > 0 ? kFrame * static_cast<double>(c.height) / static_cast<double>(c.width) : kFrame;
  double y = kMargin;
  for (std::size_t i = 0; i < all; ++i) {
    const std::size_t row = i / kPerRow, column = i % kPerRow;
    const double x = kMargin + static_cast<double>(column) * (kFrame + kGap);
    y = kMargin + static_cast<double>(row) * (high + kUnder + kGap);
    d.image(x, y, kFrame, high, i == 0 ? c.png : frames[i - 1]);
    if (i == 0) {
      d.text(x, y + high + 17, "the image", 12, kSoft);
      continue;
    }
    const CaptionWord& word = c.words[i - 1];
    d.text(x, y + high + 17, word.text, 14, kInk, " font-weight=\"600\"");
    const Aim aim = aim_of(c, word);
    d.text(x, y + high + 33, dec(bits_of(word.map), 1) + " bits" + mark_of(aim), 12,
           aim == Aim::kOutside ? kAgainst : kSoft);
  }
  const VerdictText verdict = verdict_text(c);
  y += high + kUnder + 28;
  d.text(kMargin, y, verdict.lead, 16, maps_alike(c) ? kAgainst : kInk, " font-weight=\"600\"");
  y += 19;
  if (!std::isnan(c.spread))
    d.text(kMargin, y,
           "Distance between the maps " + dec(c.spread) + " bits; under " + dec(c.spread_least) +
               " they are alike. Under each word: entropy of its map.",
           12, kSoft);
  const double width =
      std::max(560.0, 2 * kMargin + static_cast<double>(columns) * (kFrame + kGap) - kGap);
  return d.finish(width, y + kMargin,
                  "Caption " + std::to_string(c.id) + ": where the model looked for each word");
}

}  // namespace attend::viz
