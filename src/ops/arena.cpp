#include "ops/arena.h"

#include <ATen/ops/from_blob.h>

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace attend {
namespace {

constexpr std::int64_t kHugePage = 2 << 20, kLine = 64;

struct Block {
  void* memory = nullptr;
  std::int64_t bytes = 0;
};

Block fresh_block(std::int64_t bytes) {
  const std::int64_t unit = bytes >= kHugePage ? kHugePage : kLine;
  Block block;
  block.bytes = (bytes + unit - 1) / unit * unit;
  block.memory =
      std::aligned_alloc(static_cast<std::size_t>(unit), static_cast<std::size_t>(block.bytes));
  if (!block.memory) throw std::bad_alloc();
#ifdef __linux__
  if (unit == kHugePage)
    ::madvise(block.memory, static_cast<std::size_t>(block.bytes), MADV_HUGEPAGE);
#endif
  return block;
}

class Arena {
 public:
  Block take(std::int64_t bytes) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::size_t best = free_.size();
      for (std::size_t i = 0; i < free_.size(); ++i)
        if (fits(free_[i], bytes) && (best == free_.size() || free_[i].bytes < free_[best].bytes))
          best = i;
      if (best < free_.size()) {
        const Block block = free_[best];
        forget(best);
        return block;
      }
    }
    return fresh_block(bytes);
  }

  void give(Block block) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(block);
    held_ += block.bytes;
    while (held_ > kArenaLimit) {  // the block that has waited longest goes first
      std::free(free_.front().memory);
      forget(0);
    }
  }

  std::int64_t held() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return held_;
  }

 private:
  static bool fits(const Block& block, std::int64_t bytes) {
    return block.bytes >= bytes && block.bytes <= 2 * bytes + kLine;
  }
  void forget(std::size_t i) {
    held_ -= free_[i].bytes;
    free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(i));
  }

  std::mutex mutex_;
  std::vector<Block> free_;  // oldest first
  std::int64_t held_ = 0;
};

/// Never destroyed: a tensor may outlive every static object.
Arena& arena() {
  static Arena* const instance = new Arena;
  return *instance;
}

}  // namespace

at::Tensor pooled_empty(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const auto width = static_cast<std::int64_t>(options.dtype().itemsize());
  const Block block =
      arena().take(std::max<std::int64_t>(c10::multiply_integers(sizes), 1) * width);
  return at::from_blob(
      block.memory, sizes, [block](void*) { arena().give(block); }, options);
}

at::Tensor pooled_bytes_for(std::int64_t bytes) {
  return pooled_empty({(bytes + 3) / 4}, at::TensorOptions(at::kFloat));
}

std::int64_t pooled_bytes() { return arena().held(); }

}  // namespace attend
