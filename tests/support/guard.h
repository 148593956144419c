#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace attend::test {

/// An array of n elements of T between two bands of NaN, its first element `offset` elements after
/// a 64-byte boundary: a kernel that writes outside is caught by intact(), one that reads outside
/// by the NaN in its result.
template <class T>
class Guarded {
  static T nan() {
    if constexpr (!std::is_class_v<T>) return std::numeric_limits<T>::quiet_NaN();
    T all_ones;  // NaN in bfloat16
    std::memset(static_cast<void*>(&all_ones), 0xff, sizeof(T));
    return all_ones;
  }

 public:
  explicit Guarded(std::int64_t n, int offset = 0, T fill = nan())
      : n_(n), memory_(static_cast<std::size_t>(n) + 2 * kBand + kAlign + 64, nan()) {
    auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    const std::size_t to_boundary = (64 - address % 64) % 64 / sizeof(T);
    start_ = to_boundary + kBand + static_cast<std::size_t>(offset);
    for (std::int64_t i = 0; i < n; ++i) data()[i] = fill;
  }

  T* data() { return memory_.data() + start_; }
  const T* data() const { return memory_.data() + start_; }
  std::int64_t size() const { return n_; }
  T& operator[](std::int64_t i) { return data()[i]; }
  const T& operator[](std::int64_t i) const { return data()[i]; }
  std::vector<T> values() const { return std::vector<T>(data(), data() + n_); }

  /// Whether both bands still hold the bits they were filled with.
  bool intact() const {
    const T wanted = nan();
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      if (i >= start_ && i < start_ + static_cast<std::size_t>(n_)) continue;
      if (std::memcmp(&memory_[i], &wanted, sizeof(T)) != 0) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kBand = 128,
                               kAlign =
                                   64;  // in elements; a multiple of 64 bytes for float and double

  std::int64_t n_;
  std::vector<T> memory_;
  std::size_t start_ = 0;
};

}  // namespace attend::test
