#include <algorithm>
#include <cmath>
#include <cstdio>

#include "attend/viz/translation.h"
#include "viz/drawing.h"
#include "viz/palette.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

constexpr double kLabel = 13, kCell = 28, kLeast = 700;  // the verdict's line needs that width

double widest(const std::vector<std::string>& tokens) {
  double most = 0;
  for (const std::string& t : tokens) most = std::max(most, width_of(t, kLabel));
  return most;
}

double top_of(const Translation& t) {
  double most = 0;
  for (const auto& row : t.weights) most = std::max(most, largest_of(row));
  return t.verdict == Verdict::kAllEqual ? 1.0 : most;
}

std::string tilted(double x, double y) {
  char s[96];
  std::snprintf(s, sizeof s, " transform=\"translate(%.2f %.2f) rotate(-55)\"", x, y);
  return s;
}

/// Returns the place below the matrix.
double cells(Drawing& d, const Translation& t, double left, double top) {
  const double full = top_of(t);
  for (std::size_t s = 0; s < t.source.size(); ++s)
    d.text(0, 0, t.source[s], kLabel, kInk,
           tilted(left + kCell * (static_cast<double>(s) + .5) + 4, top - 6));
  for (std::size_t i = 0; i < t.target.size(); ++i) {
    const double y = top + kCell * static_cast<double>(i);
    d.text(left - 8, y + kCell / 2 + 4.5, t.target[i], kLabel, kInk, " text-anchor=\"end\"");
    const auto& row = t.weights[i];
    for (std::size_t s = 0; s < row.size(); ++s)
      d.rect(left + kCell * static_cast<double>(s), y, kCell - 1, kCell - 1,
             kRampLight[shade(row[s], full)]);
    const auto most = std::max_element(row.begin(), row.end());
    if (most == row.end() || !(*most > 0)) continue;
    const int step = shade(*most, full);
    d.dot(left + kCell * (static_cast<double>(most - row.begin()) + .5) - .5, y + kCell / 2 - .5,
          2.5, step > kLastBlackTextLight ? 0xffffff : 0x000000);
  }
  return top + kCell * static_cast<double>(t.target.size());
}

double bars(Drawing& d, const Translation& t, double width, double y) {
  constexpr double kLookX = 170, kNeedX = 395, kBar = 140, kNumber = 195;
  const char* end = " text-anchor=\"end\"";
  d.text(kMargin, y, "Source word", 12, kSoft);
  d.text(kLookX, y, "Attention, summed", 12, kInk, " font-weight=\"600\"");
  d.text(kNeedX, y, "Leave-one-out, nats", 12, kInk, " font-weight=\"600\"");
  y += 8;
  d.line(kMargin, y, width - kMargin, kEdge);
  const double peak = largest_of(t.attention);
  for (std::size_t s = 0; s < t.source.size(); ++s) {
    y += 18;
    const double w = s < t.attention.size() ? t.attention[s] : kMissing,
                 need = s < t.leave_one_out.size() ? t.leave_one_out[s] : kMissing;
    d.text(kMargin, y, t.source[s], 13, kInk);
    if (!std::isnan(w) && peak > 0) d.rect(kLookX, y - 9, kBar * w / peak, 10, kLook);
    d.text(kLookX + kNumber, y, dec(w), 13, kInk, end);
    d.signed_bar(kNeedX, kBar, y, need, t.leave_one_out);
    d.text(kNeedX + kNumber, y, signed_dec(need), 13, kInk, end);
    y += 7;
    d.line(kMargin, y, width - kMargin, kRule);
  }
  return y;
}

}  // namespace

std::string svg(const Translation& t) {
  Drawing d;
  const double left = kMargin + widest(t.target) + 8;
  // Labels lean by 55°: they rise by sin 55° of their length and reach cos 55° of it to the right.
  const double head = .82 * widest(t.source) + 16,
               reach = .58 * width_of(t.source.empty() ? "" : t.source.back(), kLabel);
  const bool drawn = !t.weights.empty();
  const double grid = drawn ? left + kCell * static_cast<double>(t.source.size()) + reach : 0;
  const double width = std::max(kLeast, grid + kMargin);
  double y = kMargin;
  if (drawn) y = cells(d, t, left, y + head);
  y = judged_rows(d, y + 28, verdict_text(t), t.verdict, t.attention_leave_one_out);
  y = bars(d, t, width, y + 32);
  return d.finish(width, y + kMargin,
                  "Translation " + std::to_string(t.id) +
                      ": which source word each output word looked at, and which it needed");
}

}  // namespace attend::viz
