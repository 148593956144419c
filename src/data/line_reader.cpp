#include "data/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "attend/base/error.h"
#include "data/unicode.h"

namespace attend::data {
namespace {

constexpr std::size_t kBlock = 1 << 16;

struct Descriptor {
  Descriptor(int number, bool is_owned) : fd(number), owned(is_owned) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (owned) ::close(fd);
  }
  int fd;
  bool owned;
};

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

}  // namespace

ByteSource bytes_of(std::string_view bytes) {
  return [bytes](char* into, std::size_t n) mutable {
    const std::size_t taken = std::min(n, bytes.size());
    std::copy_n(bytes.data(), taken, into);
    bytes.remove_prefix(taken);
    return taken;
  };
}

ByteSource bytes_of_file(const std::string& path) {
  const bool is_input = path == "-";
  const int fd = is_input ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_io(path + ": cannot open: " + std::strerror(errno));
  const auto file = std::make_shared<Descriptor>(fd, !is_input);
  struct stat info {};
  if (::fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) fail_io(path + ": is a folder, not a file");
  return [file, path](char* into, std::size_t n) {
    for (;;) {
      const ssize_t got = ::read(file->fd, into, n);
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) fail_io(path + ": cannot read: " + std::strerror(errno));
    }
  };
}

LineReader::LineReader(ByteSource source, std::string name, std::size_t max_line_bytes)
    : source_(std::move(source)), name_(std::move(name)), max_(max_line_bytes) {}

bool LineReader::fill() {
  if (at_end_) return false;
  const std::size_t size = buffer_.size();
  buffer_.resize(size + kBlock);
  const std::size_t got = source_(buffer_.data() + size, kBlock);
  buffer_.resize(size + got);
  at_end_ = got == 0;
  return got > 0;
}

void LineReader::check_start() {
  started_ = true;
  while (buffer_.size() < 3 && fill()) {
  }
  if (starts_with(buffer_, "\xEF\xBB\xBF")) place_ = 3;
  if (starts_with(buffer_, "\xFF\xFE") || starts_with(buffer_, "\xFE\xFF"))
    fail_input(name_ + ":1: this is UTF-16; save the file as UTF-8");
}

bool LineReader::next(std::string& line) {
  if (!started_) check_start();
  std::size_t searched = place_;
  for (;;) {
    const std::size_t end = buffer_.find('\n', searched);
    const std::size_t length = std::min(end, buffer_.size()) - place_;
    if (length > max_) fail_long_line(name_, number_ + 1, max_);
    if (end != std::string::npos) {
      line.assign(buffer_, place_, length);
      place_ = end + 1;
      ++number_;
      return true;
    }
    if (place_ > 0) {
      buffer_.erase(0, place_);
      place_ = 0;
    }
    searched = buffer_.size();
    if (fill()) continue;
    if (buffer_.empty()) return false;
    line = std::move(buffer_);
    buffer_.clear();
    ++number_;
    return true;
  }
}

void drop_carriage_return(std::string& line) {
  if (!line.empty() && line.back() == '\r') line.pop_back();
}

std::string problem_of(std::string_view line) {
  const std::size_t nul = line.find('\0');
  if (nul != std::string_view::npos) return "a NUL (byte " + std::to_string(nul) + ")";
  const std::size_t bad = find_bad_utf8(line);
  if (bad != std::string_view::npos) return "not UTF-8 (byte " + std::to_string(bad) + ")";
  return "";
}

void fail_long_line(const std::string& name, std::int64_t line, std::size_t max) {
  fail_input(name + ":" + std::to_string(line) + ": longer than " + std::to_string(max) +
             " bytes; is this a text file with one example a line?");
}

}  // namespace attend::data
