// The cell of a decoder step: attend/kernels/decoder_step.h has the equations.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/decoder_step/decoder_step.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/decoder_step/cells-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

void step_reset_float(const StepForward<float>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  step_reset_rows(p, first, last);
}
void step_reset_double(const StepForward<double>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  step_reset_rows(p, first, last);
}
void step_forward_float(const StepForward<float>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  step_forward_rows(p, first, last);
}
void step_forward_double(const StepForward<double>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  step_forward_rows(p, first, last);
}
void step_backward_float(const StepBackward<float>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  step_backward_rows(p, first, last);
}
void step_backward_double(const StepBackward<double>& p, std::int64_t first, std::int64_t last) {
  note_simd_target(HWY_TARGET);
  step_backward_rows(p, first, last);
}
void step_reset_backward_float(const StepBackward<float>& p, std::int64_t first,
                               std::int64_t last) {
  note_simd_target(HWY_TARGET);
  step_reset_backward_rows(p, first, last);
}
void step_reset_backward_double(const StepBackward<double>& p, std::int64_t first,
                                std::int64_t last) {
  note_simd_target(HWY_TARGET);
  step_reset_backward_rows(p, first, last);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <type_traits>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

HWY_EXPORT(step_reset_float);
HWY_EXPORT(step_reset_double);
HWY_EXPORT(step_forward_float);
HWY_EXPORT(step_forward_double);
HWY_EXPORT(step_backward_float);
HWY_EXPORT(step_backward_double);
HWY_EXPORT(step_reset_backward_float);
HWY_EXPORT(step_reset_backward_double);

/// Fewer elements than this run on the caller's thread: a parallel region costs 1 µs hot and 50 µs cold.
constexpr std::int64_t kStepParallel = 8192;

/// task(first row, last row + 1): rows do not depend on each other, so any cut gives the same bits.
template <class F>
void step_share(std::int64_t batch, std::int64_t hidden, const F& task) {
  const std::int64_t n =
      batch * hidden < kStepParallel ? 1 : std::min<std::int64_t>(batch, threads());
  parallel_run(static_cast<int>(n), [&](int i) { task(i * batch / n, (i + 1) * batch / n); });
}

}  // namespace

template <class T>
void step_reset(const StepForward<T>& p) {
  step_share(p.batch, p.hidden, [&](std::int64_t first, std::int64_t last) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(step_reset_float)(p, first, last);
    else
      HWY_DYNAMIC_DISPATCH(step_reset_double)(p, first, last);
  });
}
template <class T>
void step_forward(const StepForward<T>& p) {
  step_share(p.batch, p.hidden, [&](std::int64_t first, std::int64_t last) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(step_forward_float)(p, first, last);
    else
      HWY_DYNAMIC_DISPATCH(step_forward_double)(p, first, last);
  });
}
template <class T>
void step_backward(const StepBackward<T>& p) {
  step_share(p.batch, p.hidden, [&](std::int64_t first, std::int64_t last) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(step_backward_float)(p, first, last);
    else
      HWY_DYNAMIC_DISPATCH(step_backward_double)(p, first, last);
  });
}
template <class T>
void step_reset_backward(const StepBackward<T>& p) {
  step_share(p.batch, p.hidden, [&](std::int64_t first, std::int64_t last) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(step_reset_backward_float)(p, first, last);
    else
      HWY_DYNAMIC_DISPATCH(step_reset_backward_double)(p, first, last);
  });
}

template void step_reset(const StepForward<float>&);
template void step_reset(const StepForward<double>&);
template void step_forward(const StepForward<float>&);
template void step_forward(const StepForward<double>&);
template void step_backward(const StepBackward<float>&);
template void step_backward(const StepBackward<double>&);
template void step_reset_backward(const StepBackward<float>&);
template void step_reset_backward(const StepBackward<double>&);

}  // namespace attend::kernels
#endif  // HWY_ONCE
