#include "attend/interop/hdf5.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>

#include "attend/base/error.h"
#include "interop/byte_source.h"
#include "interop/safetensors_header.h"

namespace attend::interop {
namespace {

namespace fs = std::filesystem;

constexpr char kHdf5Program[] = "attend-hdf5";
constexpr std::size_t kMostAnswer = (std::size_t{1} << 30) + (std::size_t{1} << 27),
                      kMostComplaint = 4096;
constexpr std::chrono::seconds kHdf5Patience{120};

/// Beside the running program, in the folder of programs beside this library's, or where it's installed.
std::optional<std::string> hdf5_program() {
  std::vector<fs::path> folders;
  std::error_code error;
  folders.push_back(fs::read_symlink("/proc/self/exe", error).parent_path());
  Dl_info library{};
  if (::dladdr(reinterpret_cast<const void*>(&hdf5_program), &library) != 0) {
    const fs::path folder = fs::path(library.dli_fname).parent_path();
    folders.push_back(folder / "../bin");
    folders.push_back(folder / ATTEND_LIBEXEC_FROM_LIB);
  }
  for (const fs::path& folder : folders) {
    const std::string program = (folder / kHdf5Program).string();
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return std::nullopt;
}

class Hdf5Descriptor {
 public:
  explicit Hdf5Descriptor(int fd) : fd_(fd) {}
  Hdf5Descriptor(const Hdf5Descriptor&) = delete;
  Hdf5Descriptor& operator=(const Hdf5Descriptor&) = delete;
  ~Hdf5Descriptor() { close(); }
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

/// A stream of the child, read up to `most` bytes.
struct Hdf5Stream {
  std::array<int, 2> ends{-1, -1};
  std::string text;
  std::size_t most;

  explicit Hdf5Stream(std::size_t limit) : most(limit) {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      fail_io(std::string("cannot make a pipe: ") + std::strerror(errno));
  }
  Hdf5Stream(const Hdf5Stream&) = delete;
  Hdf5Stream& operator=(const Hdf5Stream&) = delete;
  ~Hdf5Stream() { close(0), close(1); }
  void close(std::size_t which) {
    if (ends[which] >= 0) ::close(ends[which]);
    ends[which] = -1;
  }
  /// Takes what is there; closes at the end, or when there is more than `most`.
  void take() {
    std::array<char, 1 << 16> block;
    const ssize_t n = ::read(ends[0], block.data(), block.size());
    if (n < 0 && errno == EINTR) return;
    if (n > 0) text.append(block.data(), static_cast<std::size_t>(n));
    if (n <= 0 || text.size() > most) close(0);
  }
};

/// A started attend-hdf5; killed when it isn't waited for.
class Hdf5Child {
 public:
  Hdf5Child(const std::string& program, int input, Hdf5Stream& answer, Hdf5Stream& complaint) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    posix_spawn_file_actions_adddup2(&actions, answer.ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, complaint.ends[1], 2);
    std::string name = kHdf5Program;
    std::array<char*, 2> arguments{name.data(), nullptr};
    std::array<char*, 1> environment{nullptr};
    const int error = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments.data(),
                                    environment.data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) fail_io(program + ": cannot start: " + std::strerror(error));
  }
  Hdf5Child(const Hdf5Child&) = delete;
  Hdf5Child& operator=(const Hdf5Child&) = delete;
  ~Hdf5Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  int wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_ = 0;
};

/// Both streams to their ends, or until patience does.
bool drain(Hdf5Stream& answer, Hdf5Stream& complaint) {
  const auto until = std::chrono::steady_clock::now() + kHdf5Patience;
  while (answer.ends[0] >= 0 || complaint.ends[0] >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    std::array<pollfd, 2> waiting{{{answer.ends[0], POLLIN, 0}, {complaint.ends[0], POLLIN, 0}}};
    if (::poll(waiting.data(), waiting.size(), static_cast<int>(left.count())) < 0) continue;
    if (waiting[0].revents != 0) answer.take();
    if (waiting[1].revents != 0) complaint.take();
  }
  return answer.text.size() <= answer.most;
}

}  // namespace

bool reads_hdf5() { return hdf5_program().has_value(); }

SafetensorsFile read_hdf5(const std::string& path) {
  const ByteSource regular(path);  // says so when it's a FIFO, which would be waited for
  const auto program = hdf5_program();
  if (!program)
    throw Error(ErrorKind::kFailure,
                path +
                    ": HDF5 is not read here: attend was built without libhdf5 (package "
                    "libhdf5-dev), or its program attend-hdf5 is not where it was installed");
  const Hdf5Descriptor input(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (input.get() < 0) fail_io(path + ": cannot open: " + std::strerror(errno));
  Hdf5Stream answer(kMostAnswer), complaint(kMostComplaint);
  Hdf5Child child(*program, input.get(), answer, complaint);
  answer.close(1), complaint.close(1);
  if (!drain(answer, complaint))
    fail_input(path + ": reading this HDF5 file took too long or gave too much");
  const int status = child.wait();
  if (WIFSIGNALED(status))
    fail_input(path + ": not a sound HDF5 file: its reader was ended by signal " +
               std::to_string(WTERMSIG(status)));
  const std::string said = shown(complaint.text.substr(0, complaint.text.find('\n')));
  if (WEXITSTATUS(status) == 3) fail_input(path + ": " + said);
  if (WEXITSTATUS(status) != 0)
    throw Error(ErrorKind::kFailure, path + ": attend-hdf5 failed: " + said);
  return parse_safetensors(answer.text, path);
}

}  // namespace attend::interop
