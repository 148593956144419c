#include "data/part_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/file.h"

namespace attend::data {
namespace {

[[noreturn]] void fail_on(const std::string& path, const char* act) {
  fail_io(path + ": cannot " + act + ": " + std::strerror(errno));
}

}  // namespace

PartFile::PartFile(std::string path, std::string url)
    : path_(std::move(path)), url_(std::move(url)) {
  open();
  std::string tag;
  std::error_code error;
  if (std::filesystem::exists(path_ + ".part.tag", error)) tag = read_file(path_ + ".part.tag");
  const std::string start = url_ + "\n";
  if (tag.compare(0, start.size(), start) == 0) validator_ = tag.substr(start.size());
  if (validator_.empty() && size_ > 0) restart("");
}

PartFile::~PartFile() {
  if (fd_ >= 0) ::close(fd_);
}

void PartFile::open() {
  fd_ = ::open((path_ + ".part").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_on(path_ + ".part", "create");
  struct stat info {};
  if (::fstat(fd_, &info) != 0) fail_on(path_ + ".part", "read");
  size_ = info.st_size;
}

void PartFile::restart(const std::string& validator) {
  if (::ftruncate(fd_, 0) != 0) fail_on(path_ + ".part", "empty");
  size_ = 0;
  validator_ = validator;
  write_file_atomically(path_ + ".part.tag", url_ + "\n" + validator);
}

void PartFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_on(path_ + ".part", "write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
    size_ += n;
  }
}

void PartFile::finish() {
  if (::fsync(fd_) != 0) fail_on(path_ + ".part", "write");
  if (::rename((path_ + ".part").c_str(), path_.c_str()) != 0) fail_on(path_, "replace");
  ::unlink((path_ + ".part.tag").c_str());
}

void PartFile::discard() {
  ::unlink((path_ + ".part.tag").c_str());
  ::unlink((path_ + ".part").c_str());
  ::close(fd_);
  validator_.clear();
  open();
}

std::string PartFile::sha256() { return sha256_of_file(path_ + ".part"); }

}  // namespace attend::data
