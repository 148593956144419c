#include "viz/ansi.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "viz/palette.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

// The nearest colour of the 6 × 6 × 6 cube that every 256-colour terminal has at 16…231.
int cube(std::uint32_t rgb) {
  const auto level = [](std::uint32_t v) { return v < 48 ? 0u : v < 115 ? 1u : (v - 35) / 40; };
  return static_cast<int>(16 + 36 * level(rgb >> 16) + 6 * level((rgb >> 8) & 255u) +
                          level(rgb & 255u));
}

}  // namespace

std::string colour_code(std::uint32_t rgb, Colour colour, int layer) {
  char s[32];
  if (colour == Colour::kTrue)
    std::snprintf(s, sizeof s, "\x1b[%d;2;%u;%u;%um", layer, rgb >> 16, (rgb >> 8) & 255u,
                  rgb & 255u);
  else
    std::snprintf(s, sizeof s, "\x1b[%d;5;%dm", layer, cube(rgb));
  return s;
}

std::string styled(const std::string& text, const char* code, Colour colour) {
  return colour == Colour::kNone ? text : "\x1b[" + std::string(code) + "m" + text + "\x1b[0m";
}

std::string on_shade(const std::string& text, int step, const TerminalOptions& o) {
  if (step == 0) return text;
  const std::uint32_t ground = (o.dark ? kRampDark : kRampLight)[step];
  const bool black = o.dark ? step > kLastWhiteTextDark : step <= kLastBlackTextLight;
  return colour_code(ground, o.colour, 48) +
         colour_code(black ? 0x000000 : 0xffffff, o.colour, 38) + text + "\x1b[0m";
}

const char* block_of(int step) {
  static const char* const kBlocks[] = {"", "▁", "▁", "▂", "▃", "▄", "▄", "▅", "▆", "▇", "█"};
  return kBlocks[step];
}

std::string pad(const std::string& text, int width, bool left) {
  const std::string space(static_cast<std::size_t>(std::max(0, width - columns(text))), ' ');
  return left ? space + text : text + space;
}

std::string cut_to(const std::string& text, int width) {
  if (columns(text) <= width) return text;
  std::string out;
  int n = 0;
  for (const char32_t c : decode(text)) {
    if (n + columns(c) > width - 1) break;
    append(out, c);
    n += columns(c);
  }
  return out + "…";
}

std::string wrapped(const std::string& text, int width) {
  std::string out, line;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!line.empty() && columns(line) + 1 + columns(word) > width)
      out += line + "\n", line.clear();
    line += (line.empty() ? "" : " ") + word;
    at = end + 1;
  }
  return out + line + "\n";
}

std::string verdict_lines(const VerdictText& text, Verdict verdict, const Agreement& agreement,
                          const TerminalOptions& o) {
  const bool compared = verdict >= Verdict::kDisagree && !std::isnan(agreement.tau);
  return styled(text.lead, "1", o.colour) +
         (compared ? "  (Kendall τ " + signed_dec(agreement.tau) + ")" : "") + "\n" +
         wrapped(text.why, std::min(o.width, 96));
}

std::string bar(double share, int width) {
  static const char* const kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * width * 8));
  std::string out;
  for (int i = 0; i < eighths / 8; ++i) out += "█";
  return out + kEighths[eighths % 8];
}

}  // namespace attend::viz
