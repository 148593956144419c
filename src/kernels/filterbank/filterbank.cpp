// DRAW's read and write: include/attend/kernels/filterbank.h has the equations, rows-inl.h the products.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/filterbank/filterbank.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/filterbank/rows-inl.h"
#include "kernels/simd/target.h"

#ifndef ATTEND_KERNELS_FILTERBANK_PART
#define ATTEND_KERNELS_FILTERBANK_PART
namespace attend::kernels {
/// Rows [first, last) of the batch and the scratch they use.
template <class T>
struct FilterbankPart {
  std::int64_t first, last;
  T* scratch;
};
}  // namespace attend::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

template <class Problem, class T>
void filterbank_rows(const Problem& p, const FilterbankLayout& l, FilterbankPart<T> part) {
  note_simd_target(HWY_TARGET);
  for (std::int64_t b = part.first; b < part.last; ++b)
    l.lanes == 4   ? filterbank_row<4>(p, l, b, part.scratch)
    : l.lanes == 8 ? filterbank_row<8>(p, l, b, part.scratch)
                   : filterbank_row<16>(p, l, b, part.scratch);
}

// Highway 1.0.3 exports plain functions only, hence one per op and dtype.
#define ATTEND_FILTERBANK_ROWS(name, Problem)                             \
  void name##_float(const Problem<float>& p, const FilterbankLayout& l,   \
                    FilterbankPart<float> part) {                         \
    filterbank_rows(p, l, part);                                          \
  }                                                                       \
  void name##_double(const Problem<double>& p, const FilterbankLayout& l, \
                     FilterbankPart<double> part) {                       \
    filterbank_rows(p, l, part);                                          \
  }
ATTEND_FILTERBANK_ROWS(filterbank_read_rows, FilterbankRead)
ATTEND_FILTERBANK_ROWS(filterbank_read_backward_rows, FilterbankReadBackward)
ATTEND_FILTERBANK_ROWS(filterbank_write_rows, FilterbankWrite)
ATTEND_FILTERBANK_ROWS(filterbank_write_backward_rows, FilterbankWriteBackward)
#undef ATTEND_FILTERBANK_ROWS

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

// The batch is dealt out in at most this many parts, of no fewer rows than this; each has scratch of its own, which is warm
// after the first row.
constexpr std::int64_t kParts = 16, kFewestRows = 16;

// Below this many multiply-adds a parallel region costs more than it saves.
constexpr std::int64_t kParallelWork = 32768;

std::int64_t parts(const FilterbankShape& s) {
  return std::clamp<std::int64_t>(s.batch / kFewestRows, 1, kParts);
}

/// kernel(p, layout, part) for every part of the batch.
template <class T, class Problem, class Kernel>
void for_each_part(const Problem& p, const FilterbankShape& s, T* workspace, Kernel kernel) {
  const FilterbankLayout layout(s);
  const std::int64_t n = parts(s);
  const auto run = [&](std::int64_t i) {
    kernel(p, layout,
           FilterbankPart<T>{i * s.batch / n, (i + 1) * s.batch / n, workspace + i * layout.size});
  };
  if (s.batch * (s.channels + 1) * s.filters * s.height * s.width < kParallelWork) {
    for (std::int64_t i = 0; i < n; ++i) run(i);
  } else {
    parallel_run(static_cast<int>(n), [&](int i) { run(i); });
  }
}

}  // namespace

std::int64_t filterbank_workspace(const FilterbankShape& s) {
  return parts(s) * FilterbankLayout(s).size;
}
std::int64_t filterbank_read_kept(const FilterbankShape& s) { return FilterbankLayout(s).kept; }
std::int64_t filterbank_write_kept(const FilterbankShape& s) {
  return FilterbankLayout(s).kept_banks;
}

#define ATTEND_FILTERBANK_ENTRY(name, Problem, forward, T) \
  HWY_EXPORT(name##_rows_##T);                             \
  template <>                                              \
  void name(const Problem<T>& p) {                         \
    for_each_part(p, (forward).shape, (forward).workspace, \
                  &HWY_DYNAMIC_DISPATCH(name##_rows_##T)); \
  }
#define ATTEND_FILTERBANK_ENTRIES(T)                                                      \
  ATTEND_FILTERBANK_ENTRY(filterbank_read, FilterbankRead, p, T)                          \
  ATTEND_FILTERBANK_ENTRY(filterbank_read_backward, FilterbankReadBackward, p.forward, T) \
  ATTEND_FILTERBANK_ENTRY(filterbank_write, FilterbankWrite, p, T)                        \
  ATTEND_FILTERBANK_ENTRY(filterbank_write_backward, FilterbankWriteBackward, p.forward, T)
ATTEND_FILTERBANK_ENTRIES(float)
ATTEND_FILTERBANK_ENTRIES(double)
#undef ATTEND_FILTERBANK_ENTRIES
#undef ATTEND_FILTERBANK_ENTRY

}  // namespace attend::kernels
#endif  // HWY_ONCE
