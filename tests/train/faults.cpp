#include "train/faults.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>

namespace {

std::atomic<long> g_count{0}, g_nth{-1};
std::atomic<faults::Act> g_act{faults::Act::kNone};

/// True when this call is to fail.
bool strikes() {
  if (g_act == faults::Act::kNone) return false;
  const long n = ++g_count;
  if (n < g_nth || g_nth < 0) return false;
  if (g_act == faults::Act::kKill) ::raise(SIGKILL);
  return g_act == faults::Act::kHalf || n == g_nth;
}

int fail() {
  errno = ENOSPC;
  return -1;
}

int open_file(const char* path, int flags, mode_t mode) {
  if ((flags & (O_WRONLY | O_RDWR)) != 0 && strikes()) return fail();
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

}  // namespace

namespace faults {

void arm(long nth, Act act) {
  g_count = 0;
  g_nth = nth;
  g_act = act;
}

long disarm() {
  g_act = Act::kNone;
  return g_count;
}

}  // namespace faults

extern "C" {

__attribute__((visibility("default"))) int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open_file(path, flags, mode);
}

__attribute__((visibility("default"))) ssize_t write(int fd, const void* bytes, size_t n) {
  if (fd <= 2) return ::syscall(SYS_write, fd, bytes, n);
  const long before = g_count;
  if (strikes()) {
    if (g_act == faults::Act::kHalf && before + 1 == g_nth && n > 1)
      return ::syscall(SYS_write, fd, bytes, n / 2);
    return fail();
  }
  return ::syscall(SYS_write, fd, bytes, n);
}

__attribute__((visibility("default"))) int fsync(int fd) {
  return strikes() ? fail() : static_cast<int>(::syscall(SYS_fsync, fd));
}

__attribute__((visibility("default"))) int rename(const char* from, const char* to) noexcept {
  return strikes() ? fail() : static_cast<int>(::syscall(SYS_rename, from, to));
}

__attribute__((visibility("default"))) int mkdir(const char* path, mode_t mode) noexcept {
  return strikes() ? fail() : static_cast<int>(::syscall(SYS_mkdir, path, mode));
}
}
