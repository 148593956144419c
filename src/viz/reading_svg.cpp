#include <algorithm>
#include <cmath>
#include <cstdio>

#include "viz/drawing.h"
#include "viz/palette.h"
#include "viz/reading_parts.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

constexpr double kReadingWidth = 900, kTextEnd = 620, kFollowed = 644, kGuess = 772;
constexpr double kColumn = 104;            // a column's width behind the text
constexpr double kToken = 16, kStep = 31;  // size of the text, from one line to the next
constexpr std::size_t kMostSteps = 24;
constexpr double kLeastCharacter = 9;  // a narrow letter still shows its shade

/// Cut to a width, the end "…" where something is missing.
std::string fitted(const std::string& text, double size, double width) {
  if (width_of(text, size) <= width) return text;
  std::string out;
  for (const char32_t c : decode(text)) {
    std::string longer = out;
    append(longer, c);
    if (width_of(longer + "…", size) > width) break;
    out = longer;
  }
  return out + "…";
}

struct TokenPlace {
  double width = 0, cell = 0, gap = 0;  // of the text, of its shade, to the next shade
};

TokenPlace place_of(const Reading& r, const std::string& text) {
  const double width = width_of(text, kToken);
  if (r.characters) return {width, std::max(width, kLeastCharacter), .5};
  return {width, width + 6, 5};
}

void frame(Drawing& d, double x, double y, double width, double height) {
  for (const double at : {y, y + height}) d.line(x - .5, at, x + width + .5, kInk);
  for (const double at : {x, x + width}) d.upright(at, y, y + height, kInk);
}

/// Token i of the line on which token t is read.
void reading_token(Drawing& d, const Reading& r, std::size_t t, std::size_t i, double x, double y) {
  const std::string text = fitted(token_text(r.tokens[i]), kToken, kTextEnd - kMargin - 40);
  const TokenPlace place = place_of(r, text);
  const double weight = r.weights.empty() ? kMissing : r.weights[t][i],
               effect = r.effects.empty() ? kMissing : r.effects[t][i];
  // Nearly equal weights look pale, as everywhere: they are shaded on 0 … 1.
  const double full =
      r.weights.empty() || r.verdict == Verdict::kAllEqual ? 1 : largest_of(r.weights[t]);
  const int step = shade(weight, full);
  if (step > 0) d.rect(x, y - 15, place.cell, 21, kRampLight[step], r.characters ? 0 : 2);
  const double thick = thickness(effect, r.effects.empty() ? 0 : magnitude_of(r.effects[t]));
  if (thick > 0)
    d.line(x, y + 7.5 + thick / 2, x + place.cell, effect < 0 ? kAgainst : kFor, thick, effect < 0);
  if (i == t) frame(d, x, y - 15.5, place.cell, 21.5);
  char more[96];
  std::snprintf(more, sizeof more, " textLength=\"%.2f\" lengthAdjust=\"spacingAndGlyphs\"",
                place.width);
  d.text(x + (place.cell - place.width) / 2, y, text, kToken,
         step > kLastBlackTextLight ? 0xffffff : 0x000000, place.width > 0 ? more : "");
}

/// The text up to token t; what does not fit is left out at its beginning.
void reading_line(Drawing& d, const Reading& r, std::size_t t, double y) {
  const auto cell = [&](std::size_t i) {
    const TokenPlace p =
        place_of(r, fitted(token_text(r.tokens[i]), kToken, kTextEnd - kMargin - 40));
    return p.cell + p.gap;
  };
  std::size_t first = t;
  double used = cell(t);
  for (const double room = kTextEnd - kMargin - 20; first > 0 && used + cell(first - 1) <= room;)
    used += cell(--first);
  double x = kMargin;
  if (first > 0) d.text(x, y, "…", kToken, kSoft), x += 20;
  for (std::size_t i = first; i <= t; ++i) reading_token(d, r, t, i, x, y), x += cell(i);
}

void what_followed(Drawing& d, const Reading& r, std::size_t t, double y) {
  const auto named = [&](double x, const std::string& token, double log_probability) {
    constexpr double kNumber = 32;
    d.text(x, y, fitted(token_text(token), 13, kColumn - kNumber - 8), 13, kInk);
    d.text(x + kColumn, y, dec(std::exp(log_probability)), 13, kSoft, " text-anchor=\"end\"");
  };
  if (t + 1 < r.tokens.size())
    named(kFollowed, r.tokens[t + 1],
          r.log_probabilities.empty() ? kMissing : r.log_probabilities[t + 1]);
  if (!r.guesses.empty())
    named(kGuess, r.guesses[t],
          r.guess_log_probabilities.empty() ? kMissing : r.guess_log_probabilities[t]);
}

/// What shades and lines mean.
void reading_legend(Drawing& d, const Reading& r, double y) {
  double x = kMargin;
  const auto say = [&](const std::string& text) {
    d.text(x, y, text, 12, kSoft);
    x += width_of(text, 12) + 8;
  };
  if (!r.weights.empty()) {
    say("weight 0");
    for (const std::uint32_t shade : kRampLight) d.rect(x, y - 9, 12, 10, shade), x += 12;
    x += 8;
    say(r.verdict == Verdict::kAllEqual ? "1" : "the line’s largest");
    x += 32;
  }
  d.line(x, y - 2, x + 28, kFor, 4), x += 36;
  say("the next token needed it");
  x += 32;
  d.line(x, y - 2, x + 28, kAgainst, 4, true), x += 36;
  say("was likelier without it (log p, leave-one-out)");
}

}  // namespace

std::string svg(const Reading& r) {
  check_reading(r);
  Drawing d;
  double y = judged_rows(d, kMargin + 14, verdict_text(r), r.verdict, r.attention_leave_one_out);
  reading_legend(d, r, y += 28);
  y += 30;
  const char* bold = " font-weight=\"600\"";
  d.text(kMargin, y, "Text so far; framed: the token being read", 12, kInk, bold);
  d.text(kFollowed, y, "Followed by, P", 12, kInk, bold);
  if (!r.guesses.empty()) d.text(kGuess, y, "Likeliest, P", 12, kInk, bold);
  y += 8;
  d.line(kMargin, y, kReadingWidth - kMargin, kEdge);
  const std::size_t n = r.tokens.size(), first = n > kMostSteps ? n - kMostSteps : 0;
  const std::int64_t left_out = static_cast<std::int64_t>(first) + r.cut;
  if (left_out > 0) {
    y += 20;
    d.text(kMargin, y,
           (first > 0 ? std::to_string(first) + " lines before are left out" : "") +
               std::string(first > 0 && r.cut > 0 ? "; " : "") +
               (r.cut > 0 ? std::to_string(r.cut) + " tokens in front were not read" : ""),
           12, kSoft);
  }
  y += 24;
  for (std::size_t t = first; t < n; ++t, y += kStep) {
    reading_line(d, r, t, y);
    what_followed(d, r, t, y);
  }
  return d.finish(kReadingWidth, y - kStep + 16 + kMargin,
                  "Text " + std::to_string(r.id) +
                      ": what the model looked back on at each token, and what its guess needed");
}

}  // namespace attend::viz
