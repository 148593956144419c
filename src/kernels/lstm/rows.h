#pragma once
#include <cstdint>
#include <cstring>

#include "kernels/lstm/layout.h"

namespace attend::kernels {

/// Copies `n` elements, or zeros when there is nothing to copy from.
template <class T>
void lstm_copy(T* to, const T* from, std::int64_t n) {
  if (from) {
    std::memcpy(to, from, n * sizeof(T));
  } else {
    std::memset(to, 0, n * sizeof(T));
  }
}

/// One worker's view of its rows in the caller's [B,T,n] tensors.
class LstmRows {
 public:
  LstmRows(const LstmPlan& plan, const LstmPlan::Slice& slice)
      : slice_(slice), reverse_(plan.reverse()), even_(neighbours(slice)) {}

  std::int64_t count() const { return static_cast<std::int64_t>(slice_.rows.size()); }
  std::int64_t steps() const { return static_cast<std::int64_t>(slice_.active.size()); }
  std::int64_t active(std::int64_t s) const { return s < steps() ? slice_.active[s] : 0; }
  std::int64_t offset(std::int64_t s) const { return slice_.offset[s]; }
  std::int64_t batch(std::int64_t r) const { return slice_.rows[r]; }

  /// What row r reads and writes at its s-th step.
  template <class T>
  T* at(const LstmSequence<T>& x, std::int64_t r, std::int64_t s) const {
    const std::int64_t t = reverse_ ? slice_.lengths[r] - 1 - s : s;
    return x.data + slice_.rows[r] * x.batch_stride + t * x.step_stride;
  }

  /// Adds to `p` what the rows read or write of x at step s, when they lie at a fixed distance (that is, without lengths).
  template <class Prefetch, class T>
  void prefetch(Prefetch& p, const LstmSequence<T>& x, std::int64_t s, std::int64_t n) const {
    if (x.data && even_ && s < steps())
      p.add(at(x, 0, s), count(), x.batch_stride * sizeof(T), n * sizeof(T));
  }

  /// Zeros after each row's length.
  template <class T>
  void clear_rest(const LstmSequence<T>& x, std::int64_t steps, std::int64_t n) const {
    for (std::int64_t r = 0; r < count(); ++r)
      for (std::int64_t t = slice_.lengths[r]; t < steps; ++t)
        std::memset(x.data + slice_.rows[r] * x.batch_stride + t * x.step_stride, 0, n * sizeof(T));
  }

  /// The rows of a [B,n] matrix in this worker's order, `stride` apart.
  template <class T>
  void gather(const T* from, std::int64_t n, T* to, std::int64_t stride) const {
    for (std::int64_t r = 0; r < count(); ++r)
      lstm_copy(to + r * stride, from ? from + batch(r) * n : nullptr, n);
  }

 private:
  static bool neighbours(const LstmPlan::Slice& slice) {
    const auto n = static_cast<std::int64_t>(slice.rows.size());
    return n > 0 && slice.rows.back() - slice.rows.front() == n - 1 &&
           slice.lengths.front() == slice.lengths.back();
  }

  const LstmPlan::Slice& slice_;
  bool reverse_, even_;  // even_: neighbours in the batch, of one length
};

}  // namespace attend::kernels
