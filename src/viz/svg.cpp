#include <algorithm>
#include <cmath>
#include <cstdio>

#include "attend/viz/report.h"
#include "viz/drawing.h"
#include "viz/palette.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

constexpr double kWidth = 760;

double words(Drawing& d, const Sentence& s, double y) {
  const double top = s.verdict == Verdict::kAllEqual ? 1.0 : largest_of(s.attention), size = 18;
  const double effect = magnitude_of(s.leave_one_out);
  double x = kMargin;
  for (std::size_t i = 0; i < s.words.size(); ++i) {
    const auto& w = s.words[i];
    const double width = width_of(w.text, size);
    if (x > kMargin && x + width + 6 > kWidth - kMargin) x = kMargin, y += 31;
    const bool weighed = i < s.attention.size() && !std::isnan(s.attention[i]);
    const int step = weighed ? shade(s.attention[i], top) : 0;
    if (step > 0) d.rect(x, y - 17, width + 6, 23, kRampLight[step], 2);
    const double lost = i < s.leave_one_out.size() ? s.leave_one_out[i] : kMissing;
    const double thick = thickness(lost, effect);
    if (thick > 0)  // as on the page: thicker for more leave-one-out, dashed against the answer
      d.line(x, y + 7.5 + thick / 2, x + width + 6, lost < 0 ? kAgainst : kFor, thick, lost < 0);
    const bool read = w.state == WordState::kSeen || w.state == WordState::kUnknown;
    const std::uint32_t ink = !read ? kSoft : step > kLastBlackTextLight ? 0xffffff : 0x000000;
    char more[96];
    std::snprintf(more, sizeof more, " textLength=\"%.2f\" lengthAdjust=\"spacingAndGlyphs\"%s",
                  width,
                  w.state == WordState::kUnknown || w.state == WordState::kDropped
                      ? " text-decoration=\"underline\""
                      : "");
    d.text(x + 3, y, w.text, size, ink, width > 0 ? more : "");
    x += width + 11;
  }
  return y + 30;
}

double rows(Drawing& d, const Sentence& s, double y) {
  constexpr double kWord = kMargin, kLookX = 170, kLeftOut = 365, kGradient = 560, kBar = 120,
                   kNumber = 166;
  const auto value = [](const std::vector<double>& v, std::size_t i) {
    return i < v.size() ? v[i] : kMissing;
  };
  d.text(kWord, y, "Word", 12, kSoft);
  d.text(kLookX, y, "Attention", 12, kInk, " font-weight=\"600\"");
  d.text(kLeftOut, y, "Leave-one-out", 12, kInk, " font-weight=\"600\"");
  d.text(kGradient, y, "Gradient × input", 12, kInk, " font-weight=\"600\"");
  y += 8;
  d.line(kMargin, y, kWidth - kMargin, kEdge);
  const double peak = std::max(largest_of(s.attention), largest_of(s.attention_high));
  const char* end = " text-anchor=\"end\"";
  for (std::size_t i = 0; i < s.words.size(); ++i) {
    y += 18;
    const double w = value(s.attention, i), low = value(s.attention_low, i),
                 high = value(s.attention_high, i);
    d.text(kWord, y, s.words[i].text, 13, s.words[i].state == WordState::kSeen ? kInk : kSoft);
    if (!std::isnan(w) && peak > 0) {
      d.rect(kLookX, y - 9, kBar * w / peak, 10, kLook);
      if (!std::isnan(low)) {
        d.line(kLookX + kBar * low / peak, y - 4, kLookX + kBar * high / peak, kInk, 2);
        d.upright(kLookX + kBar * low / peak, y - 8, y, kInk),
            d.upright(kLookX + kBar * high / peak, y - 8, y, kInk);
      }
    }
    d.text(kLookX + kNumber, y, dec(w), 13, kInk, end);
    d.signed_bar(kLeftOut, kBar, y, value(s.leave_one_out, i), s.leave_one_out);
    d.text(kLeftOut + kNumber, y, signed_dec(value(s.leave_one_out, i)), 13, kInk, end);
    d.signed_bar(kGradient, kBar, y, value(s.gradient_x_input, i), s.gradient_x_input);
    d.text(kGradient + kNumber, y, signed_dec(value(s.gradient_x_input, i)), 13, kInk, end);
    y += 7;
    d.line(kMargin, y, kWidth - kMargin, kRule);
  }
  if (s.attention_on_padding > 0) {
    y += 18;
    d.text(kWord, y, "padding, " + std::to_string(s.padding) + " places", 13, kSoft);
    d.text(kLookX + kNumber, y, dec(s.attention_on_padding), 13, kSoft, end);
    y += 7;
  }
  return y;
}

}  // namespace

std::string svg(const Sentence& s, const std::vector<std::string>& label_names) {
  const auto label = [&](std::int64_t i) {
    return i >= 0 && i < static_cast<std::int64_t>(label_names.size())
               ? label_names[static_cast<std::size_t>(i)]
               : std::to_string(i);
  };
  Drawing d;
  double y = words(d, s, kMargin + 18);
  std::string said = "The model says " + label(s.predicted) + " " + dec(s.probability);
  if (s.label >= 0)
    said +=
        "; the data say " + label(s.label) + (s.label == s.predicted ? ".  ✓ right" : ".  ✗ wrong");
  d.text(kMargin, y, said, 13, kSoft);
  y += 28;
  d.text(kMargin, y, verdict_text(s).lead, 16, kInk, " font-weight=\"600\"");
  if (s.verdict >= Verdict::kDisagree && !std::isnan(s.attention_leave_one_out.tau)) {
    const auto& a = s.attention_leave_one_out;
    y += 19;
    d.text(kMargin, y,
           "Rank agreement of attention with leave-one-out (Kendall τ) " + signed_dec(a.tau) +
               "; 95 % of shuffles lie between " + signed_dec(a.band_low) + " and " +
               signed_dec(a.band_high),
           12, kSoft);
  }
  y = rows(d, s, y + 32);
  return d.finish(
      kWidth, y + kMargin,
      "Sentence " + std::to_string(s.id) + ": where the model looked, and what changed its answer");
}

}  // namespace attend::viz
