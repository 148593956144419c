#include "attend/data/shard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "attend/base/error.h"

namespace attend::data {
namespace {

constexpr char kShardMagic[16] = "attend.pairs/1\n";
constexpr std::size_t kShardFrame = 2 * sizeof kShardMagic + 16;  // magic, counts, magic

std::size_t padded_ids(std::size_t ids) { return (4 * ids + 7) / 8 * 8; }

}  // namespace

PairShardWriter::PairShardWriter(std::string path)
    : path_(std::move(path)), out_(path_ + ".part", std::ios::binary) {
  write(kShardMagic, sizeof kShardMagic);
}

PairShardWriter::~PairShardWriter() {
  std::error_code error;
  if (!is_finished_) std::filesystem::remove(path_ + ".part", error);
}

void PairShardWriter::write(const void* bytes, std::size_t n) {
  out_.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(n));
  if (!out_) fail_io(path_ + ".part: cannot write: " + std::strerror(errno));
}

void PairShardWriter::put(std::span<const std::int64_t> ids) {
  std::vector<std::int32_t> narrow;
  for (const std::int64_t id : ids) {
    if (id < 0 || id > 0x7fffffff)
      fail_input(path_ + ": pair " + std::to_string(offsets_.size() / 2) + " has the id " +
                 std::to_string(id) + "; expected 0…2147483647");
    narrow.push_back(static_cast<std::int32_t>(id));
  }
  write(narrow.data(), 4 * narrow.size());
  offsets_.push_back(offsets_.back() + narrow.size());
}

void PairShardWriter::add(std::span<const std::int64_t> source,
                          std::span<const std::int64_t> target) {
  put(source);
  put(target);
}

void PairShardWriter::finish() {
  const std::uint64_t ids = offsets_.back();
  const std::uint64_t counts[2] = {offsets_.size() / 2, ids};
  const char zeros[8] = {};
  write(zeros, padded_ids(ids) - 4 * ids);
  write(offsets_.data(), 8 * offsets_.size());
  write(counts, sizeof counts);
  write(kShardMagic, sizeof kShardMagic);
  out_.close();
  if (!out_) fail_io(path_ + ".part: cannot write: " + std::strerror(errno));
  std::error_code error;
  std::filesystem::rename(path_ + ".part", path_, error);
  if (error) fail_io(path_ + ": cannot put in place: " + error.message());
  is_finished_ = true;
}

PairShard::PairShard(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail_io(path + ": cannot open: " + std::strerror(errno));
  struct stat state {};
  const bool has_size = ::fstat(file, &state) == 0 && S_ISREG(state.st_mode);
  n_bytes_ = has_size ? static_cast<std::size_t>(state.st_size) : 0;
  if (n_bytes_ >= kShardFrame) bytes_ = ::mmap(nullptr, n_bytes_, PROT_READ, MAP_SHARED, file, 0);
  ::close(file);
  const auto fail = [&](const std::string& what) {
    if (bytes_ != nullptr) ::munmap(bytes_, n_bytes_);
    bytes_ = nullptr;
    fail_input(path + ": " + what);
  };
  if (bytes_ == MAP_FAILED) bytes_ = nullptr;
  const char* first = static_cast<const char*>(bytes_);
  if (first == nullptr || std::memcmp(first, kShardMagic, sizeof kShardMagic) != 0)
    fail("not a shard of token ids");
  const char* last = first + n_bytes_;
  if (std::memcmp(last - sizeof kShardMagic, kShardMagic, sizeof kShardMagic) != 0)
    fail("a shard of token ids that is cut short");
  std::uint64_t counts[2];
  std::memcpy(counts, last - sizeof kShardMagic - sizeof counts, sizeof counts);
  const std::uint64_t room = n_bytes_ - kShardFrame;
  if (counts[0] > room / 16 || counts[1] > room / 4 ||
      padded_ids(counts[1]) + 8 * (2 * counts[0] + 1) != room)
    fail("a shard whose size is not that of " + std::to_string(counts[0]) + " pairs with " +
         std::to_string(counts[1]) + " ids");
  pairs_ = counts[0];
  ids_ = reinterpret_cast<const std::int32_t*>(first + sizeof kShardMagic);
  offsets_ =
      reinterpret_cast<const std::uint64_t*>(first + sizeof kShardMagic + padded_ids(counts[1]));
  bool is_rising = offsets_[0] == 0 && offsets_[2 * pairs_] == counts[1];
  for (std::size_t k = 0; k < 2 * pairs_; ++k)
    is_rising = is_rising && offsets_[k] <= offsets_[k + 1];
  if (!is_rising) fail("a shard whose offsets do not rise from 0 to its number of ids");
}

PairShard::~PairShard() {
  if (bytes_ != nullptr) ::munmap(bytes_, n_bytes_);
}

std::span<const std::int32_t> PairShard::part(std::size_t k) const {
  return {ids_ + offsets_[k], ids_ + offsets_[k + 1]};
}

std::span<const std::int32_t> PairShard::source(std::size_t i) const {
  if (i >= pairs_) fail_usage("shard: there is no pair " + std::to_string(i));
  return part(2 * i);
}

std::span<const std::int32_t> PairShard::target(std::size_t i) const {
  if (i >= pairs_) fail_usage("shard: there is no pair " + std::to_string(i));
  return part(2 * i + 1);
}

std::vector<PairLength> PairShard::lengths() const {
  std::vector<PairLength> out(pairs_);
  for (std::size_t i = 0; i < pairs_; ++i)
    out[i] = {static_cast<std::int64_t>(part(2 * i).size()),
              static_cast<std::int64_t>(part(2 * i + 1).size())};
  return out;
}

}  // namespace attend::data
