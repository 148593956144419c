#include "output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"

namespace attend::cli {
namespace {

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

/// NO_COLOR wins (no-color.org), then CLICOLOR_FORCE, then "is stdout a terminal that can".
bool wants_colour(int fd) {
  if (is_set("NO_COLOR")) return false;
  const char* force = std::getenv("CLICOLOR_FORCE");
  if (force != nullptr && *force != '\0' && std::strcmp(force, "0") != 0) return true;
  const char* term = std::getenv("TERM");
  if (term == nullptr || std::strcmp(term, "dumb") == 0) return false;
  return ::isatty(fd) == 1;
}

int terminal_width(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const int n = columns == nullptr ? 0 : std::atoi(columns);
  return n > 0 ? n : 80;
}

const char* code_of(Style style) {
  switch (style) {
    case Style::kBold:
      return "1";
    case Style::kDim:
      return "2";
    case Style::kWarn:
      return "33";
    case Style::kPlain:
      break;
  }
  return "";
}

std::string styled_if(bool colour, std::string_view text, Style style) {
  if (!colour || style == Style::kPlain) return std::string(text);
  return std::string("\x1b[") + code_of(style) + "m" + std::string(text) + "\x1b[0m";
}

bool is_wide(char32_t c) {  // East Asian wide and emoji blocks, as terminals draw them
  return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
         (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
         (c >= 0x1F300 && c <= 0x1F64F) || (c >= 0x1F900 && c <= 0x1F9FF);
}

bool is_combining(char32_t c) { return (c >= 0x300 && c <= 0x36F) || c == 0x200D || c == 0xFE0F; }

std::string padded(const std::string& cell, int width, Align align, bool last) {
  const int gap = std::max(0, width - columns_of(cell));
  const std::string space(static_cast<std::size_t>(gap), ' ');
  if (align == Align::kRight) return space + cell;
  return last ? cell : cell + space;
}

}  // namespace

int columns_of(std::string_view text) {
  int columns = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t n = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t c = n == 1 ? lead : lead & (0xFFu >> (n + 1));
    for (std::size_t k = 1; k < n && i + k < text.size(); ++k)
      c = (c << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3Fu);
    columns += is_combining(c) ? 0 : is_wide(c) ? 2 : 1;
    i += n;
  }
  return columns;
}

std::string Table::text(bool colour) const {
  std::vector<int> widths(columns_.size(), 0);
  const auto measure = [&](const std::vector<std::string>& cells) {
    for (std::size_t c = 0; c < cells.size(); ++c)
      widths[c] = std::max(widths[c], columns_of(cells[c]));
  };
  measure(head_);
  for (const auto& cells : rows_) measure(cells);
  std::string out;
  const auto print = [&](const std::vector<std::string>& cells, Style style) {
    std::string row;
    for (std::size_t c = 0; c < cells.size(); ++c)
      row += (c == 0 ? "" : "  ") + padded(cells[c], widths[c], columns_[c], c + 1 == cells.size());
    out += styled_if(colour, row, style) + "\n";
  };
  if (!head_.empty()) print(head_, Style::kBold);
  for (const auto& cells : rows_) print(cells, Style::kPlain);
  return out;
}

Output::Output(bool json)
    : json_(json), colour_(wants_colour(STDOUT_FILENO)), width_(terminal_width(STDOUT_FILENO)) {}

void Output::document(const nlohmann::json& value) {
  line(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void Output::line(std::string_view text) {
  raw(text);
  raw("\n");
}

void Output::raw(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void Output::flush() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    fail_io(std::string("standard output: cannot write: ") +
            std::strerror(errno != 0 ? errno : EIO));
}

void Output::note(std::string_view text) {
  const std::string whole = "attend: note: " + std::string(text) + "\n";
  std::fwrite(whole.data(), 1, whole.size(), stderr);
}

std::string Output::styled(std::string_view text, Style style) const {
  return styled_if(colour_, text, style);
}

bool stderr_is_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && !(term != nullptr && std::strcmp(term, "dumb") == 0);
}

Progress::Progress() : shown_(stderr_is_terminal()) {}

Progress::~Progress() { clear(); }

void Progress::update(std::string_view label, double fraction, std::string_view detail) {
  if (!shown_) return;
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && fraction < 1 && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  constexpr int kBar = 24;
  const int filled = static_cast<int>(std::lround(std::clamp(fraction, 0.0, 1.0) * kBar));
  std::string bar;
  for (int i = 0; i < kBar; ++i) bar += i < filled ? "━" : "─";
  const std::string text = std::string(label) + " " + bar + " " + std::string(detail);
  // Cut by bytes only when too wide: a wrapped bar could not be removed again.
  const bool fits = columns_of(text) < terminal_width(STDERR_FILENO);
  std::fprintf(stderr, "\r\x1b[K%s", fits ? text.c_str() : std::string(label).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace attend::cli
