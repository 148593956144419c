#pragma once
#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace attend::cli {

enum class Align { kLeft, kRight };
enum class Style { kPlain, kBold, kDim, kWarn };

/// Rows of cells, printed with aligned columns. Widths count what a terminal shows (UTF-8, wide characters).
class Table {
 public:
  explicit Table(std::vector<Align> columns) : columns_(std::move(columns)) {}
  void head(std::vector<std::string> cells) { head_ = std::move(cells); }
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text(bool colour) const;

 private:
  std::vector<Align> columns_;
  std::vector<std::string> head_;
  std::vector<std::vector<std::string>> rows_;
};

/// Where a verb prints: data to stdout, notes and progress to stderr.
class Output {
 public:
  explicit Output(bool json);
  bool json() const { return json_; }
  bool colour() const { return colour_; }  ///< may stdout carry colour
  int width() const { return width_; }     ///< of the terminal behind stdout, 80 without one

  /// One JSON document on one line.
  void document(const nlohmann::json& value);
  void line(std::string_view text);
  void table(const Table& value) { raw(value.text(colour_)); }
  void raw(std::string_view text);
  /// Hands everything to the system; throws kIo when stdout cannot take it (disk full, closed).
  void flush();
  /// "attend: note: …" on stderr.
  void note(std::string_view text);
  std::string styled(std::string_view text, Style style) const;

 private:
  bool json_, colour_;
  int width_;
};

/// A one-line bar on stderr, redrawn at most ten times a second; nothing at all when stderr is not a terminal.
class Progress {
 public:
  Progress();
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  bool shown() const { return shown_; }
  void update(std::string_view label, double fraction, std::string_view detail);
  /// Removes the bar, so that a line can be printed.
  void clear();

 private:
  bool shown_, drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

bool stderr_is_terminal();
/// Columns that a terminal needs for UTF-8 text.
int columns_of(std::string_view text);
std::string fixed(double value, int digits);  ///< "0.8125"; "–" for NaN
std::string mean_sd(double mean, double sd, int digits);
std::string bytes_text(double bytes);      ///< "3.4 MB"
std::string grouped(long long n);          ///< "1,234,567"
std::string seconds_text(double seconds);  ///< "0.41 s", "2 min 05 s"

}  // namespace attend::cli
