// DRAW's read and write: include/attend/kernels/filterbank.h has the equations, rows-inl.h the products.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/filterbank/filterbank.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/filterbank/rows-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

// Highway 1.0.3 exports plain functions only, hence one per op and dtype.
#define ATTEND_FILTERBANK_ROWS(name, Problem, row, T)                                                        \
  void name(const Problem<T>& p, const FilterbankLayout& layout, std::int64_t first, std::int64_t last, T* scratch) { \
    note_simd_target(HWY_TARGET);                                                                            \
    for (std::int64_t b = first; b < last; ++b) row(p, layout, b, scratch);                                  \
  }
ATTEND_FILTERBANK_ROWS(filterbank_read_float, FilterbankRead, read_row, float)
ATTEND_FILTERBANK_ROWS(filterbank_read_double, FilterbankRead, read_row, double)
ATTEND_FILTERBANK_ROWS(filterbank_read_backward_float, FilterbankReadBackward, read_row, float)
ATTEND_FILTERBANK_ROWS(filterbank_read_backward_double, FilterbankReadBackward, read_row, double)
ATTEND_FILTERBANK_ROWS(filterbank_write_float, FilterbankWrite, write_row, float)
ATTEND_FILTERBANK_ROWS(filterbank_write_double, FilterbankWrite, write_row, double)
ATTEND_FILTERBANK_ROWS(filterbank_write_backward_float, FilterbankWriteBackward, write_row, float)
ATTEND_FILTERBANK_ROWS(filterbank_write_backward_double, FilterbankWriteBackward, write_row, double)
#undef ATTEND_FILTERBANK_ROWS

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <type_traits>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

HWY_EXPORT(filterbank_read_float);
HWY_EXPORT(filterbank_read_double);
HWY_EXPORT(filterbank_read_backward_float);
HWY_EXPORT(filterbank_read_backward_double);
HWY_EXPORT(filterbank_write_float);
HWY_EXPORT(filterbank_write_double);
HWY_EXPORT(filterbank_write_backward_float);
HWY_EXPORT(filterbank_write_backward_double);

// The batch is dealt out in at most this many parts; each has scratch of its own.
constexpr std::int64_t kParts = 16;

// Below this many multiply-adds a parallel region costs more than it saves.
constexpr std::int64_t kParallelWork = 32768;

std::int64_t parts(const FilterbankShape& s) { return std::clamp<std::int64_t>(s.batch, 1, kParts); }

/// task(first row, last row + 1, scratch) for every part.
template <class T, class F>
void for_each_part(const FilterbankShape& s, const FilterbankLayout& layout, T* workspace, F task) {
  const std::int64_t n = parts(s);
  const auto run = [&](std::int64_t i) { task(i * s.batch / n, (i + 1) * s.batch / n, workspace + i * layout.size); };
  if (s.batch * (s.channels + 1) * s.filters * s.height * s.width < kParallelWork) {
    for (std::int64_t i = 0; i < n; ++i) run(i);
  } else {
    parallel_run(static_cast<int>(n), [&](int i) { run(i); });
  }
}

}  // namespace

std::int64_t filterbank_workspace(const FilterbankShape& s) { return parts(s) * FilterbankLayout(s).size; }

template <class T>
void filterbank_read(const FilterbankRead<T>& p) {
  const FilterbankLayout layout(p.shape);
  for_each_part(p.shape, layout, p.workspace, [&](std::int64_t first, std::int64_t last, T* scratch) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(filterbank_read_float)(p, layout, first, last, scratch);
    else
      HWY_DYNAMIC_DISPATCH(filterbank_read_double)(p, layout, first, last, scratch);
  });
}

template <class T>
void filterbank_read_backward(const FilterbankReadBackward<T>& p) {
  const FilterbankLayout layout(p.forward.shape);
  for_each_part(p.forward.shape, layout, p.forward.workspace, [&](std::int64_t first, std::int64_t last, T* scratch) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(filterbank_read_backward_float)(p, layout, first, last, scratch);
    else
      HWY_DYNAMIC_DISPATCH(filterbank_read_backward_double)(p, layout, first, last, scratch);
  });
}

template <class T>
void filterbank_write(const FilterbankWrite<T>& p) {
  const FilterbankLayout layout(p.shape);
  for_each_part(p.shape, layout, p.workspace, [&](std::int64_t first, std::int64_t last, T* scratch) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(filterbank_write_float)(p, layout, first, last, scratch);
    else
      HWY_DYNAMIC_DISPATCH(filterbank_write_double)(p, layout, first, last, scratch);
  });
}

template <class T>
void filterbank_write_backward(const FilterbankWriteBackward<T>& p) {
  const FilterbankLayout layout(p.forward.shape);
  for_each_part(p.forward.shape, layout, p.forward.workspace, [&](std::int64_t first, std::int64_t last, T* scratch) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(filterbank_write_backward_float)(p, layout, first, last, scratch);
    else
      HWY_DYNAMIC_DISPATCH(filterbank_write_backward_double)(p, layout, first, last, scratch);
  });
}

template void filterbank_read(const FilterbankRead<float>&);
template void filterbank_read(const FilterbankRead<double>&);
template void filterbank_read_backward(const FilterbankReadBackward<float>&);
template void filterbank_read_backward(const FilterbankReadBackward<double>&);
template void filterbank_write(const FilterbankWrite<float>&);
template void filterbank_write(const FilterbankWrite<double>&);
template void filterbank_write_backward(const FilterbankWriteBackward<float>&);
template void filterbank_write_backward(const FilterbankWriteBackward<double>&);

}  // namespace attend::kernels
#endif  // HWY_ONCE
