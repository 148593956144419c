#include "interop/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "attend/base/error.h"

namespace attend::interop {

ByteSource::ByteSource(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not block here
  struct stat info {};
  if (fd_ < 0 || ::fstat(fd_, &info) != 0) {
    const std::string reason = std::strerror(errno);
    close();
    fail_io(path + ": cannot open: " + reason);
  }
  if (!S_ISREG(info.st_mode)) {
    close();
    fail_io(path + ": not a regular file");
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

void ByteSource::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void ByteSource::read(std::uint64_t offset, std::uint64_t n, void* to) const {
  if (fd_ < 0) {
    if (n > 0) std::memcpy(to, bytes_.data() + offset, n);
    return;
  }
  auto* out = static_cast<char*>(to);
  while (n > 0) {
    const ssize_t got = ::pread(fd_, out, n, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io(path_ + ": cannot read: " + std::strerror(errno));
    if (got == 0) fail_io(path_ + ": became shorter while it was read");
    out += got;
    offset += static_cast<std::uint64_t>(got);
    n -= static_cast<std::uint64_t>(got);
  }
}

}  // namespace attend::interop
