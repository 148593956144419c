// Norms, attention of single queries, log-softmax and the best of a row: include/attend/kernels/decoding.h has the formulas.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/decoding/decoding.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/decoding/rows-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

void norm_rows_some(const NormRows& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  for (std::int64_t r = first; r < last; ++r) norm_row(p, r);
}
void step_attention_some(const StepAttention& p, std::int64_t first, std::int64_t last,
                         float* score) {
  note_simd_target(HWY_TARGET);
  for (std::int64_t r = first; r < last; ++r) step_row(p, r, score);
}
void log_softmax_some(float* scores, std::int64_t n, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  for (std::int64_t r = first; r < last; ++r) log_softmax_row(scores + r * n, n);
}
void best_of_some_float(const BestOfRows<float>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  for (std::int64_t r = first; r < last; ++r) best_of_row(p, r);
}
void best_of_some_double(const BestOfRows<double>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  for (std::int64_t r = first; r < last; ++r) best_of_row(p, r);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <type_traits>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

HWY_EXPORT(norm_rows_some);
HWY_EXPORT(step_attention_some);
HWY_EXPORT(log_softmax_some);
HWY_EXPORT(best_of_some_float);
HWY_EXPORT(best_of_some_double);

/// Numbers that one thread passes over in about the 5 µs that make a second one worth waking.
constexpr std::int64_t kDecodingAlone = 1 << 14;

/// work(first, last, task): rows shared out where they hold enough numbers.
template <class F>
void decoding_share(std::int64_t rows, std::int64_t numbers, const F& work) {
  const std::int64_t tasks = numbers < kDecodingAlone ? 1 : std::min<std::int64_t>(rows, threads());
  if (tasks <= 1) return work(0, rows, 0);
  parallel_run(static_cast<int>(tasks),
               [&](int i) { work(i * rows / tasks, (i + 1) * rows / tasks, i); });
}

std::int64_t step_scores_room(const StepAttention& p) { return (p.places + 15) / 16 * 16; }

}  // namespace

void norm_rows(const NormRows& p) {
  decoding_share(p.rows, p.rows * p.width / 2, [&](std::int64_t first, std::int64_t last, int) {
    HWY_DYNAMIC_DISPATCH(norm_rows_some)(p, first, last);
  });
}

std::int64_t step_attention_workspace(const StepAttention& p) {
  return std::max(1, threads()) * step_scores_room(p);
}

void step_attention(const StepAttention& p) {
  const std::int64_t numbers = p.rows * p.heads * (p.width + 16) * p.places;
  decoding_share(p.rows, numbers, [&](std::int64_t first, std::int64_t last, int task) {
    HWY_DYNAMIC_DISPATCH(step_attention_some)
    (p, first, last, p.workspace + task * step_scores_room(p));
  });
}

void log_softmax_rows(float* scores, std::int64_t rows, std::int64_t n) {
  decoding_share(rows, rows * n, [&](std::int64_t first, std::int64_t last, int) {
    HWY_DYNAMIC_DISPATCH(log_softmax_some)(scores, n, first, last);
  });
}

template <class T>
void best_of_rows(const BestOfRows<T>& p) {
  decoding_share(p.rows, p.rows * p.n / 4, [&](std::int64_t first, std::int64_t last, int) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(best_of_some_float)(p, first, last);
    else
      HWY_DYNAMIC_DISPATCH(best_of_some_double)(p, first, last);
  });
}
template void best_of_rows(const BestOfRows<float>&);
template void best_of_rows(const BestOfRows<double>&);

}  // namespace attend::kernels
#endif  // HWY_ONCE
