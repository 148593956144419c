#include "viz/drawing.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "attend/viz/terminal.h"
#include "viz/markup.h"
#include "viz/palette.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

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

// Helvetica's widths of U+0020 to U+007E in thousandths of the font size.
constexpr int kWidths[] = {
    278,  278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,  // to /
    556,  556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,  // to ?
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,  // to O
    667,  778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,  // to _
    333,  556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,  // to o
    556,  556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584};

}  // namespace

double width_of(const std::string& text, double size) {
  double thousandths = 0;
  for (const char32_t c : decode(safe(text)))
    thousandths += c >= 0x20 && c <= 0x7E ? kWidths[c - 0x20]
                   : columns(c) == 1      ? 611
                                          : 500 * columns(c);
  return thousandths * size / 1000;
}

void Drawing::rect(double x, double y, double w, double h, std::uint32_t fill, double radius) {
  body_ += "<rect x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" width=\"" +
           fixed(std::max(0.0, w)) + "\" height=\"" + fixed(h) +
           (radius > 0 ? "\" rx=\"" + fixed(radius) : "") + "\" fill=\"" + colour(fill) + "\"/>\n";
}

void Drawing::line(double x1, double y, double x2, std::uint32_t stroke, double width,
                   bool dashed) {
  body_ += "<line x1=\"" + fixed(x1) + "\" y1=\"" + fixed(y) + "\" x2=\"" + fixed(x2) + "\" y2=\"" +
           fixed(y) + "\" stroke=\"" + colour(stroke) + "\" stroke-width=\"" + fixed(width) +
           (dashed ? "\" stroke-dasharray=\"5 3" : "") + "\"/>\n";
}

void Drawing::image(double x, double y, double w, double h, const std::string& png) {
  body_ += "<image x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" width=\"" + fixed(w) +
           "\" height=\"" + fixed(h) +
           "\" preserveAspectRatio=\"none\" href=\"data:image/png;base64," + base64(png) + "\"/>\n";
}

void Drawing::upright(double x, double y1, double y2, std::uint32_t stroke) {
  body_ += "<line x1=\"" + fixed(x) + "\" y1=\"" + fixed(y1) + "\" x2=\"" + fixed(x) + "\" y2=\"" +
           fixed(y2) + "\" stroke=\"" + colour(stroke) + "\"/>\n";
}

void Drawing::dot(double x, double y, double radius, std::uint32_t fill) {
  body_ += "<circle cx=\"" + fixed(x) + "\" cy=\"" + fixed(y) + "\" r=\"" + fixed(radius) +
           "\" fill=\"" + colour(fill) + "\"/>\n";
}

void Drawing::text(double x, double y, const std::string& s, double size, std::uint32_t fill,
                   const std::string& more) {
  body_ += "<text x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" font-size=\"" + fixed(size) +
           "\" fill=\"" + colour(fill) + "\"" + more + ">" + escaped(s) + "</text>\n";
}

void Drawing::signed_bar(double x, double width, double y, double v,
                         const std::vector<double>& all) {
  double low = 0, high = 0;
  for (const double a : all)
    low = std::isnan(a) ? low : std::min(low, a), high = std::isnan(a) ? high : std::max(high, a);
  if (std::isnan(v) || high - low <= 0) return;
  const double scale = width / (high - low), zero = x - low * scale;
  rect(v < 0 ? zero + v * scale : zero, y - 8, std::abs(v) * scale, 8, v < 0 ? kAgainst : kFor);
  upright(zero, y - 11, y + 3, kEdge);
}

double judged_rows(Drawing& d, double y, const VerdictText& text, Verdict verdict,
                   const Agreement& a) {
  d.text(kMargin, y, text.lead, 16, kInk, " font-weight=\"600\"");
  if (verdict < Verdict::kDisagree || std::isnan(a.tau)) return y;
  y += 19;
  d.text(kMargin, y,
         "Mean rank agreement with leave-one-out (Kendall τ) " + signed_dec(a.tau) +
             "; 95 % of shuffles: " + signed_dec(a.band_low) + " to " + signed_dec(a.band_high),
         12, kSoft);
  return y;
}

std::string Drawing::finish(double width, double height, const std::string& title) const {
  const std::string w = fixed(width), h = fixed(height);
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + w + "\" height=\"" + h +
         "\" viewBox=\"0 0 " + w + " " + h + "\" font-family=\"" + kFont +
         "\" role=\"img\">\n<title>" + escaped(title) + "</title>\n<rect width=\"" + w +
         "\" height=\"" + h + "\" fill=\"" + colour(kPaper) + "\"/>\n" + body_ + "</svg>\n";
}

}  // namespace attend::viz
