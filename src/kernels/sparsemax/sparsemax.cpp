// Sparsemax attention, forward and backward: include/attend/kernels/sparsemax.h has the equations.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sparsemax/sparsemax.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "attend/kernels/sparsemax.h"
#include "kernels/simd/target.h"
#include "kernels/sparsemax/rows-inl.h"
#include "kernels/sparsemax/tasks.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

template <class T>
void sparsemax_forward_task(const SparsemaxForward<T>& p, std::int64_t task) {
  note_simd_target(HWY_TARGET);
  const std::int64_t rows = p.batch * p.heads * p.queries, tasks = sparsemax_tasks(p);
  T* s = p.workspace + task * p.keys;
  for (std::int64_t row = rows * task / tasks; row < rows * (task + 1) / tasks; ++row) {
    const std::int64_t bh = row / p.queries;
    sparsemax_forward_row(p, SparsemaxRow<T>(p, bh / p.heads, bh % p.heads, row % p.queries), s);
  }
}

template <class T>
void sparsemax_backward_task(const SparsemaxBackward<T>& q, std::int64_t task) {
  note_simd_target(HWY_TARGET);
  const SparsemaxForward<T>& p = q.forward;
  const std::int64_t group = p.heads / p.key_heads, b = task / p.key_heads, kv = task % p.key_heads;
  T *s = q.workspace + task * 2 * p.keys, *ds = s + p.keys;
  T* grad_key = q.grad_key + task * p.keys * p.width;
  T* grad_value = q.grad_value + task * p.keys * p.value_width;
  std::fill_n(grad_key, p.keys * p.width, T(0));
  std::fill_n(grad_value, p.keys * p.value_width, T(0));
  for (std::int64_t h = kv * group; h < (kv + 1) * group; ++h)
    for (std::int64_t i = 0; i < p.queries; ++i) {
      const SparsemaxRow<T> r(p, b, h, i);
      sparsemax_backward_row(q, r, s, ds, grad_key + r.begin * p.width,
                             grad_value + r.begin * p.value_width);
    }
}

}  // namespace

void sparsemax_forward_float(const SparsemaxForward<float>& p, std::int64_t task) {
  sparsemax_forward_task(p, task);
}
void sparsemax_forward_double(const SparsemaxForward<double>& p, std::int64_t task) {
  sparsemax_forward_task(p, task);
}
void sparsemax_backward_float(const SparsemaxBackward<float>& q, std::int64_t task) {
  sparsemax_backward_task(q, task);
}
void sparsemax_backward_double(const SparsemaxBackward<double>& q, std::int64_t task) {
  sparsemax_backward_task(q, task);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "attend/base/threads.h"

namespace attend::kernels {

HWY_EXPORT(sparsemax_forward_float);
HWY_EXPORT(sparsemax_forward_double);
HWY_EXPORT(sparsemax_backward_float);
HWY_EXPORT(sparsemax_backward_double);

template <class T>
std::int64_t sparsemax_forward_workspace(const SparsemaxForward<T>& p) {
  return sparsemax_tasks(p) * p.keys;
}
template <class T>
std::int64_t sparsemax_backward_workspace(const SparsemaxForward<T>& p) {
  return p.batch * p.key_heads * 2 * p.keys;
}
template std::int64_t sparsemax_forward_workspace(const SparsemaxForward<float>&);
template std::int64_t sparsemax_forward_workspace(const SparsemaxForward<double>&);
template std::int64_t sparsemax_backward_workspace(const SparsemaxForward<float>&);
template std::int64_t sparsemax_backward_workspace(const SparsemaxForward<double>&);

void sparsemax_forward(const SparsemaxForward<float>& p) {
  parallel_run(static_cast<int>(sparsemax_tasks(p)), [&](int task) {
    HWY_DYNAMIC_DISPATCH(sparsemax_forward_float)(p, task);
  });
}
void sparsemax_forward(const SparsemaxForward<double>& p) {
  parallel_run(static_cast<int>(sparsemax_tasks(p)), [&](int task) {
    HWY_DYNAMIC_DISPATCH(sparsemax_forward_double)(p, task);
  });
}
void sparsemax_backward(const SparsemaxBackward<float>& q) {
  parallel_run(static_cast<int>(q.forward.batch * q.forward.key_heads), [&](int task) {
    HWY_DYNAMIC_DISPATCH(sparsemax_backward_float)(q, task);
  });
}
void sparsemax_backward(const SparsemaxBackward<double>& q) {
  parallel_run(static_cast<int>(q.forward.batch * q.forward.key_heads), [&](int task) {
    HWY_DYNAMIC_DISPATCH(sparsemax_backward_double)(q, task);
  });
}

}  // namespace attend::kernels
#endif  // HWY_ONCE
