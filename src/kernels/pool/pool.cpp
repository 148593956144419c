// Attention pooling, forward and backward: include/attend/kernels/pool.h has the equations.
//
// A row [T,C] of the guide's sizes (32 × 100 floats) is 12.5 KB: it is read from L2 or memory once,
// for the scores, and from L1 the second time, for the weighted sum. Scores are horizontal sums
// over channels, four time steps at a time so that a load of w serves four; everything over time
// (tanh, exp, the softmax sums) runs in vectors over t.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool/pool.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "attend/kernels/pool.h"
#include "kernels/pool/rows-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

// Highway 1.0.3 exports plain functions only, hence one per dtype.
void pool_forward_float(const PoolForward<float>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  forward_rows(p, first, last);
}
void pool_forward_double(const PoolForward<double>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  forward_rows(p, first, last);
}
void pool_backward_float(const PoolBackward<float>& p, std::int64_t first, std::int64_t last,
                         float* scratch) {
  note_simd_target(HWY_TARGET);
  backward_rows(p, first, last, scratch);
}
void pool_backward_double(const PoolBackward<double>& p, std::int64_t first, std::int64_t last,
                          double* scratch) {
  note_simd_target(HWY_TARGET);
  backward_rows(p, first, last, scratch);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <type_traits>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

HWY_EXPORT(pool_forward_float);
HWY_EXPORT(pool_forward_double);
HWY_EXPORT(pool_backward_float);
HWY_EXPORT(pool_backward_double);

// Rows are dealt out in this many parts whatever the number of threads, so that sums over the batch
// have the same bits.
constexpr std::int64_t kParts = 16;

// Below this many elements of value a parallel region costs more than it saves (measured: 1 µs
// against 0.05 ns an element).
constexpr std::int64_t kParallelElements = 16384;

std::int64_t parts(std::int64_t batch) { return std::clamp<std::int64_t>(batch, 1, kParts); }

std::int64_t scratch_size(std::int64_t time, std::int64_t channels) { return channels + 6 * time; }

/// task(part, first row, last row + 1) for every part.
template <class T, class F>
void for_each_part(const PoolForward<T>& p, F task) {
  const std::int64_t n = parts(p.batch);
  const auto run = [&](std::int64_t i) { task(i, i * p.batch / n, (i + 1) * p.batch / n); };
  if (p.batch * p.time * p.channels < kParallelElements) {
    for (std::int64_t i = 0; i < n; ++i) run(i);
  } else {
    parallel_run(static_cast<int>(n), [&](int i) { run(i); });
  }
}

}  // namespace

std::int64_t pool_backward_workspace(std::int64_t batch, std::int64_t time, std::int64_t channels) {
  return parts(batch) * scratch_size(time, channels);
}

template <class T>
void pool_forward(const PoolForward<T>& p) {
  for_each_part(p, [&](std::int64_t, std::int64_t first, std::int64_t last) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(pool_forward_float)(p, first, last);
    else
      HWY_DYNAMIC_DISPATCH(pool_forward_double)(p, first, last);
  });
}

template <class T>
void pool_backward(const PoolBackward<T>& p) {
  const std::int64_t time = p.forward.time, channels = p.forward.channels,
                     size = scratch_size(time, channels);
  for_each_part(p.forward, [&](std::int64_t part, std::int64_t first, std::int64_t last) {
    T* scratch = p.workspace + part * size;
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(pool_backward_float)(p, first, last, scratch);
    else
      HWY_DYNAMIC_DISPATCH(pool_backward_double)(p, first, last, scratch);
  });
  std::fill_n(p.grad_score_weight, channels, T(0));
  std::fill_n(p.grad_bias, time, T(0));
  for (std::int64_t part = 0; part < parts(p.forward.batch); ++part) {
    const T* sums = p.workspace + part * size;
    for (std::int64_t c = 0; c < channels; ++c) p.grad_score_weight[c] += sums[c];
    for (std::int64_t t = 0; t < time; ++t) p.grad_bias[t] += sums[channels + t];
  }
}

template void pool_forward(const PoolForward<float>&);
template void pool_forward(const PoolForward<double>&);
template void pool_backward(const PoolBackward<float>&);
template void pool_backward(const PoolBackward<double>&);

}  // namespace attend::kernels
#endif  // HWY_ONCE
