#include "train/array_sum.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

namespace attend::train {
namespace {

/// Memory that other processes of this machine and user open by a path; closed with the object, mappings stay.
class MemoryFile {
 public:
  /// A new one of so many bytes.
  explicit MemoryFile(std::size_t bytes) : fd_(::memfd_create("attend-ranks", MFD_CLOEXEC)) {
    if (fd_ >= 0 && ::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) close();
  }
  /// Another process's; `name` is its name().
  explicit MemoryFile(const std::string& name) {
    const std::string path = name.substr(0, name.find(' '));
    fd_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd_ >= 0 && path + identity() != name) close();
  }
  ~MemoryFile() { close(); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  /// Its path, and what tells it from a file that has that path on another machine.
  std::string name() const {
    return fd_ < 0
               ? ""
               : "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_) + identity();
  }

  void* map(std::size_t bytes) const {
    if (fd_ < 0) return nullptr;
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    return at == MAP_FAILED ? nullptr : at;
  }

 private:
  std::string identity() const {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) return " unknown";
    return " " + std::to_string(status.st_dev) + " " + std::to_string(status.st_ino) + " " +
           std::to_string(status.st_size);
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd_ = -1;
};

}  // namespace

ArraySum::ArraySum(Ranks& ranks, const at::Tensor& own) : ranks_(ranks), own_(own), mine_(own) {
  if (ranks_.local_size() == ranks_.size() && own_.numel() > 0) share();
}

void ArraySum::share() {
  const std::int64_t rows = ranks_.size() + 1, elements = own_.numel();
  const auto bytes = static_cast<std::size_t>(rows * elements) * sizeof(float);
  std::unique_ptr<MemoryFile> file;
  if (ranks_.first()) file = std::make_unique<MemoryFile>(bytes);
  const std::string name = ranks_.text_of_first(file ? file->name() : "");
  if (!file) file = std::make_unique<MemoryFile>(name);
  void* at = file->map(bytes);
  const at::Tensor mapped = at::zeros({1}, at::kDouble);
  mapped.fill_(at != nullptr ? 1 : 0);
  ranks_.sum({mapped});  // by now all have opened it
  if (at != nullptr)
    memory_ = at::from_blob(
        at, {rows, elements}, [bytes](void* memory) { ::munmap(memory, bytes); },
        at::TensorOptions().dtype(at::kFloat));
  if (mapped.item<double>() < ranks_.size())
    memory_.reset();
  else
    mine_ = memory_.select(0, ranks_.rank());
}

void ArraySum::add_own_part() {
  const at::NoGradGuard no_grad;
  constexpr std::int64_t kLine = 16;  // floats of a cache line: no two ranks write into one
  const std::int64_t n = own_.numel(), ranks = ranks_.size();
  const std::int64_t share = (n / ranks / kLine + 1) * kLine;
  const std::int64_t first = std::min(n, share * ranks_.rank()), last = std::min(n, first + share);
  const at::Tensor parts = memory_.narrow(1, first, last - first);
  at::Tensor sum = parts[ranks];
  at::add_out(sum, parts[0], parts[1]);
  for (std::int64_t r = 2; r < ranks; ++r) sum.add_(parts[r]);
}

at::Tensor ArraySum::sum(const at::Tensor& figures) {
  if (!memory_.defined()) {
    ranks_.sum({figures, own_});
    return own_;
  }
  ranks_.sum({figures});  // all have written theirs
  add_own_part();
  ranks_.sum({at::zeros({1}, at::kDouble)});  // all have added up their part
  return memory_[ranks_.size()];
}

}  // namespace attend::train
