#pragma once
#include <algorithm>
#include <cstdint>

namespace attend::kernels {

/// Rows of a matrix whose columns are contiguous.
template <class T>
struct Rows {
  T const* data;
  std::int64_t stride;
  const T* row(std::int64_t i) const { return data + i * stride; }
};

/// Fetches the rows that the next block will read or write while this one is computed, a few cache lines at every tile: all at
/// once would stall the loads of the tiles, and not at all, the transpositions at both ends of a block wait for memory (5 % of
/// the time at L 512, D 64).
class Ahead {
 public:
  /// Rows [first, last) of a matrix; nothing when first >= last.
  template <class T>
  void add(Rows<T> rows, std::int64_t first, std::int64_t last, std::int64_t width) {
    if (first >= last) return;
    const auto size = static_cast<std::int64_t>(sizeof(T));
    std::int64_t count = last - first;
    if (rows.stride == width) width *= count, count = 1;  // one long row
    Stretch& s = stretches_[last_++];
    s = {reinterpret_cast<const char*>(rows.row(first)), rows.stride * size, count,
         (width * size + kLine - 1) / kLine};
    lines_ += count * s.lines;
  }
  /// All that was added, in about this many steps.
  void spread(std::int64_t steps) {
    each_ = (lines_ + steps - 1) / std::max<std::int64_t>(1, steps);
  }

  void step(std::int64_t steps = 1) {
    for (std::int64_t n = each_ * steps; n > 0 && first_ < last_;) {
      Stretch& s = stretches_[first_];
      const std::int64_t some = std::min(n, s.lines - line_);
      const char* at = s.row + line_ * kLine;
      for (std::int64_t i = 0; i < some; ++i) __builtin_prefetch(at + i * kLine, 0, 2);
      n -= some, line_ += some;
      if (line_ < s.lines) continue;
      line_ = 0, s.row += s.stride;
      if (--s.rows == 0) ++first_;
    }
  }

 private:
  static constexpr std::int64_t kLine = 64;
  struct Stretch {
    const char* row = nullptr;
    std::int64_t stride = 0, rows = 0, lines = 0;
  };
  Stretch stretches_[8];
  int first_ = 0, last_ = 0;
  std::int64_t line_ = 0, lines_ = 0, each_ = 0;
};

}  // namespace attend::kernels
