#include "viz/text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace attend::viz {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

// Length of the UTF-8 sequence at `at` and its code point; length 0 when it is not valid (RFC 3629:
// no overlong forms, no surrogates, nothing above U+10FFFF).
int sequence(std::string_view s, std::size_t at, char32_t& c) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned first = byte(at);
  const int length = first < 0x80    ? 1
                     : first >= 0xF0 ? 4
                     : first >= 0xE0 ? 3
                     : first >= 0xC2 ? 2
                                     : 0;
  if (length == 0 || first > 0xF4 || at + static_cast<std::size_t>(length) > s.size()) return 0;
  if (length == 1) return c = first, 1;
  c = first & (0x7Fu >> length);
  for (int i = 1; i < length; ++i) {
    const unsigned next = byte(at + static_cast<std::size_t>(i));
    if ((next & 0xC0u) != 0x80u) return 0;
    c = (c << 6) | (next & 0x3Fu);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (c < kLeast[length] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return 0;
  return length;
}

bool between(char32_t c, char32_t low, char32_t high) { return c >= low && c <= high; }

}  // namespace

std::vector<char32_t> decode(std::string_view text) {
  std::vector<char32_t> out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    char32_t c = kReplacement;
    const int length = sequence(text, at, c);
    out.push_back(length > 0 ? c : kReplacement);
    at += static_cast<std::size_t>(std::max(1, length));
  }
  return out;
}

void append(std::string& out, char32_t c) {
  const auto put = [&](char32_t bits) { out.push_back(static_cast<char>(bits)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) return put(0xC0 | (c >> 6)), put(0x80 | (c & 0x3F));
  if (c < 0x10000)
    return put(0xE0 | (c >> 12)), put(0x80 | ((c >> 6) & 0x3F)), put(0x80 | (c & 0x3F));
  put(0xF0 | (c >> 18)), put(0x80 | ((c >> 12) & 0x3F)), put(0x80 | ((c >> 6) & 0x3F)),
      put(0x80 | (c & 0x3F));
}

int columns(char32_t c) {
  if (between(c, 0x300, 0x36F) || between(c, 0x200B, 0x200D) || between(c, 0xFE00, 0xFE0F))
    return 0;
  const bool wide =
      between(c, 0x1100, 0x115F) || between(c, 0x2E80, 0xA4CF) || between(c, 0xAC00, 0xD7A3) ||
      between(c, 0xF900, 0xFAFF) || between(c, 0xFE30, 0xFE6F) || between(c, 0xFF00, 0xFF60) ||
      between(c, 0xFFE0, 0xFFE6) || between(c, 0x1F300, 0x1FAFF) || between(c, 0x20000, 0x3FFFD);
  return wide ? 2 : 1;
}

int columns(std::string_view text) {
  int n = 0;
  for (const char32_t c : decode(text)) n += columns(c);
  return n;
}

std::string dec(double x, int places) {
  if (std::isnan(x)) return "–";
  char digits[400];
  std::snprintf(digits, sizeof digits, "%.*f", places, std::abs(x));
  std::string s = digits;
  if (s.size() > 1 && s[0] == '0' && s[1] == '.') s.erase(0, 1);
  const bool zero = s.find_first_not_of("0.") == std::string::npos;
  return (x < 0 && !zero ? "−" : "") + s;
}

std::string signed_dec(double x, int places) {
  const std::string s = dec(x, places);
  return x > 0 && s.find_first_not_of("0.") != std::string::npos ? "+" + s : s;
}

int shade(double weight, double largest) {
  if (!(largest > 0) || !(weight > 0)) return 0;
  return static_cast<int>(std::min(10.0, std::floor(10 * weight / largest + .5)));
}

double largest_of(const std::vector<double>& values) {
  double most = 0;
  for (const double v : values) {
    if (v > most) most = v;  // false for NaN
  }
  return most;
}

double magnitude_of(const std::vector<double>& values) {
  double most = 0;
  for (const double v : values) most = std::isnan(v) ? most : std::max(most, std::abs(v));
  return most;
}

int thickness(double effect, double largest) {
  if (std::isnan(effect)) return 0;
  return static_cast<int>(std::floor(4 * std::abs(effect) / std::max(.1, largest) + .5));
}

}  // namespace attend::viz
