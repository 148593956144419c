#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace attend::data {

/// Fills a buffer of n bytes and returns how many it has put there; 0 at the end.
using ByteSource = std::function<std::size_t(char* into, std::size_t n)>;

ByteSource bytes_of(std::string_view bytes);  // must outlive the source
ByteSource bytes_of_file(
    const std::string& path);  // "-": standard input; throws kIo when it cannot be opened

/// Lines that end in '\n', in bounded memory. Skips a byte order mark, refuses UTF-16.
class LineReader {
 public:
  LineReader(ByteSource source, std::string name, std::size_t max_line_bytes);

  /// The next line without its '\n' (a '\r' stays); false at the end. Throws kBadInput as soon as a
  /// line is longer than max_line_bytes.
  bool next(std::string& line);
  std::int64_t number() const { return number_; }  // of the last line, 1-based
  const std::string& name() const { return name_; }
  std::size_t max_line_bytes() const { return max_; }

 private:
  bool fill();
  void check_start();
  ByteSource source_;
  std::string name_;
  std::size_t max_;
  std::string buffer_;
  std::size_t place_ = 0;
  std::int64_t number_ = 0;
  bool started_ = false;
  bool at_end_ = false;
};

void drop_carriage_return(std::string& line);

/// Why a line cannot be text ("not UTF-8 (byte 12)", "a NUL (byte 3)"), or "".
std::string problem_of(std::string_view line);

/// "FILE:LINE: longer than … bytes", thrown as kBadInput.
[[noreturn]] void fail_long_line(const std::string& name, std::int64_t line, std::size_t max);

}  // namespace attend::data
