#include <algorithm>
#include <cmath>
#include <cstdio>

#include "attend/viz/report.h"
#include "attend/viz/terminal.h"
#include "viz/markup.h"
#include "viz/palette.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

constexpr double kWidth = 760, kMargin = 24;
constexpr char kFont[] =
    "system-ui,'Segoe UI',Roboto,'Helvetica Neue','Liberation Sans',Arial,sans-serif";

std::string colour(std::uint32_t rgb) {
  char s[8];
  std::snprintf(s, sizeof s, "#%06x", rgb);
  return s;
}

std::string fixed(double x) {
  char s[32];
  std::snprintf(s, sizeof s, "%.2f", x);
  return s;
}

// Helvetica's widths of U+0020 to U+007E in thousandths of the font size; Arial and Liberation Sans
// share them.
constexpr int kWidths[] = {
    278,  278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,  // to /
    556,  556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,  // to ?
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,  // to O
    667,  778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,  // to _
    333,  556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,  // to o
    556,  556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584};

// Width of a word in that font; textLength makes another font keep to it, where the reader knows
// that attribute.
double width_of(const std::string& text, double size) {
  double thousandths = 0;
  for (const char32_t c : decode(safe(text)))
    thousandths += c >= 0x20 && c <= 0x7E ? kWidths[c - 0x20]
                   : columns(c) == 1      ? 611
                                          : 500 * columns(c);
  return thousandths * size / 1000;
}

class Drawing {
 public:
  void rect(double x, double y, double w, double h, std::uint32_t fill, double radius = 0) {
    body_ += "<rect x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" width=\"" +
             fixed(std::max(0.0, w)) + "\" height=\"" + fixed(h) +
             (radius > 0 ? "\" rx=\"" + fixed(radius) : "") + "\" fill=\"" + colour(fill) +
             "\"/>\n";
  }
  void line(double x1, double y, double x2, std::uint32_t stroke, double width = 1,
            bool dashed = false) {
    body_ += "<line x1=\"" + fixed(x1) + "\" y1=\"" + fixed(y) + "\" x2=\"" + fixed(x2) +
             "\" y2=\"" + fixed(y) + "\" stroke=\"" + colour(stroke) + "\" stroke-width=\"" +
             fixed(width) + (dashed ? "\" stroke-dasharray=\"5 3" : "") + "\"/>\n";
  }
  void upright(double x, double y1, double y2, std::uint32_t stroke) {
    body_ += "<line x1=\"" + fixed(x) + "\" y1=\"" + fixed(y1) + "\" x2=\"" + fixed(x) +
             "\" y2=\"" + fixed(y2) + "\" stroke=\"" + colour(stroke) + "\"/>\n";
  }
  void text(double x, double y, const std::string& s, double size, std::uint32_t fill,
            const char* more = "") {
    body_ += "<text x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" font-size=\"" + fixed(size) +
             "\" fill=\"" + colour(fill) + "\"" + more + ">" + escaped(s) + "</text>\n";
  }
  std::string finish(double height, const std::string& title) const {
    const std::string w = fixed(kWidth), h = fixed(height);
    return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + w + "\" height=\"" + h +
           "\" viewBox=\"0 0 " + w + " " + h + "\" font-family=\"" + kFont +
           "\" role=\"img\">\n<title>" + escaped(title) + "</title>\n<rect width=\"" + w +
           "\" height=\"" + h + "\" fill=\"" + colour(kPaper) + "\"/>\n" + body_ + "</svg>\n";
  }

 private:
  std::string body_;
};

double magnitude_of(const std::vector<double>& values) {
  double most = 0;
  for (const double v : values) most = std::isnan(v) ? most : std::max(most, std::abs(v));
  return most;
}

double words(Drawing& d, const Sentence& s, double y) {
  const double top = s.verdict == Verdict::kAllEqual ? 1.0 : largest_of(s.attention), size = 18;
  const double effect = std::max(.1, magnitude_of(s.leave_one_out));
  double x = kMargin;
  for (std::size_t i = 0; i < s.words.size(); ++i) {
    const auto& w = s.words[i];
    const double width = width_of(w.text, size);
    if (x > kMargin && x + width + 6 > kWidth - kMargin) x = kMargin, y += 31;
    const bool weighed = i < s.attention.size() && !std::isnan(s.attention[i]);
    const int step = weighed ? shade(s.attention[i], top) : 0;
    if (step > 0) d.rect(x, y - 17, width + 6, 23, kRampLight[step], 2);
    const double lost = i < s.leave_one_out.size() ? s.leave_one_out[i] : kMissing;
    const double thick = std::isnan(lost) ? 0 : std::floor(4 * std::abs(lost) / effect + .5);
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

void signed_bar(Drawing& d, double x, double width, double y, double v,
                const std::vector<double>& all) {
  double low = 0, high = 0;
  for (const double a : all)
    low = std::isnan(a) ? low : std::min(low, a), high = std::isnan(a) ? high : std::max(high, a);
  if (std::isnan(v) || high - low <= 0) return;
  const double scale = width / (high - low), zero = x - low * scale;
  d.rect(v < 0 ? zero + v * scale : zero, y - 8, std::abs(v) * scale, 8, v < 0 ? kAgainst : kFor);
  d.upright(zero, y - 11, y + 3, kEdge);
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
    signed_bar(d, kLeftOut, kBar, y, value(s.leave_one_out, i), s.leave_one_out);
    d.text(kLeftOut + kNumber, y, signed_dec(value(s.leave_one_out, i)), 13, kInk, end);
    signed_bar(d, kGradient, kBar, y, value(s.gradient_x_input, i), s.gradient_x_input);
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
  return d.finish(y + kMargin, "Sentence " + std::to_string(s.id) +
                                   ": where the model looked, and what changed its answer");
}

}  // namespace attend::viz
