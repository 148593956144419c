#include <array>
#include <cmath>
#include <cstdio>

#include "output.h"

namespace attend::cli {
namespace {

template <class... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

}  // namespace

std::string fixed(double value, int digits) {
  return std::isfinite(value) ? format("%.*f", digits, value) : "–";
}

std::string mean_sd(double mean, double sd, int digits) {
  return std::isfinite(sd) ? fixed(mean, digits) + " ± " + fixed(sd, digits) : fixed(mean, digits);
}

std::string bytes_text(double bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  return format(unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
}

std::string grouped(long long n) {
  std::string digits = std::to_string(n < 0 ? -n : n);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<std::size_t>(i), ",");
  return (n < 0 ? "-" : "") + digits;
}

std::string seconds_text(double seconds) {
  if (seconds < 10) return format("%.2f s", seconds);
  if (seconds < 100) return format("%.1f s", seconds);
  const int whole = static_cast<int>(std::lround(seconds));
  return format("%d min %02d s", whole / 60, whole % 60);
}

}  // namespace attend::cli
