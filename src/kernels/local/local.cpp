// Local attention, forward and backward: include/attend/kernels/local.h has the equations.
//
// A query and its window is a matrix of at most 2 · window + 1 rows and one vector: products with every row, a softmax, and a sum of
// rows. Forward and the first pass of backward go by queries; the second pass goes by keys, each of which belongs to one task, so
// that no two threads add to the same gradient and every sum has one order. Between them the queries are sorted by where their
// windows begin: a task would otherwise look through all of them, which for long rows takes longer than the arithmetic.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/local/local.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "attend/kernels/local.h"
#include "kernels/local/rows-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// Queries of a task: row b, [first, last).
struct LocalQueryTask {
  std::int64_t b, first, last;
};
template <class T>
LocalQueryTask local_query_task(const LocalForward<T>& p, std::int64_t task) {
  const std::int64_t blocks = (p.queries + kLocalQueries - 1) / kLocalQueries,
                     first = task % blocks * kLocalQueries;
  return {task / blocks, first, std::min(p.queries, first + kLocalQueries)};
}

template <class T>
void local_forward_task(const LocalForward<T>& p, std::int64_t task) {
  note_simd_target(HWY_TARGET);
  const LocalQueryTask t = local_query_task(p, task);
  T* s = p.workspace + task * local_span(p);
  for (std::int64_t i = t.first; i < t.last; ++i) local_forward_query(p, t.b, i, s);
}

template <class T>
void local_backward_query_task(const LocalBackward<T>& q, std::int64_t task) {
  note_simd_target(HWY_TARGET);
  const LocalForward<T>& p = q.forward;
  const LocalQueryTask t = local_query_task(p, task);
  const std::int64_t span = local_span(p), saved = p.batch * p.queries * span;
  T* scratch = q.workspace + 2 * saved + task * local_task_scratch(p);
  if (p.score_weight) std::fill_n(scratch + 3 * span, p.width, T(0));
  for (std::int64_t i = t.first; i < t.last; ++i) {
    T* ds = q.workspace + (t.b * p.queries + i) * span;
    local_backward_query(q, t.b, i, scratch, ds, ds + saved);
  }
}

template <class T>
void local_backward_key_task(const LocalBackward<T>& q, std::int64_t task) {
  note_simd_target(HWY_TARGET);
  const LocalForward<T>& p = q.forward;
  const std::int64_t blocks = local_key_blocks(p), first = task % blocks * kLocalKeys;
  const T* ds = q.workspace;
  const T* weights = ds + p.batch * p.queries * local_span(p);
  LocalKeyGradients<T>(q, ds, weights, task / blocks, first, std::min(p.keys, first + kLocalKeys))
      .run();
}

}  // namespace

void local_forward_float(const LocalForward<float>& p, std::int64_t task) {
  local_forward_task(p, task);
}
void local_forward_double(const LocalForward<double>& p, std::int64_t task) {
  local_forward_task(p, task);
}
void local_queries_float(const LocalBackward<float>& q, std::int64_t task) {
  local_backward_query_task(q, task);
}
void local_queries_double(const LocalBackward<double>& q, std::int64_t task) {
  local_backward_query_task(q, task);
}
void local_keys_float(const LocalBackward<float>& q, std::int64_t task) {
  local_backward_key_task(q, task);
}
void local_keys_double(const LocalBackward<double>& q, std::int64_t task) {
  local_backward_key_task(q, task);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <type_traits>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

HWY_EXPORT(local_forward_float);
HWY_EXPORT(local_forward_double);
HWY_EXPORT(local_queries_float);
HWY_EXPORT(local_queries_double);
HWY_EXPORT(local_keys_float);
HWY_EXPORT(local_keys_double);

template <class T>
void run_local_forward(const LocalForward<T>& p) {
  parallel_run(static_cast<int>(local_query_tasks(p)), [&](int task) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(local_forward_float)(p, task);
    else
      HWY_DYNAMIC_DISPATCH(local_forward_double)(p, task);
  });
}

template <class T>
void run_local_backward(const LocalBackward<T>& q) {
  const LocalForward<T>& p = q.forward;
  const std::int64_t tasks = local_query_tasks(p), span = local_span(p);
  parallel_run(static_cast<int>(tasks), [&](int task) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(local_queries_float)(q, task);
    else
      HWY_DYNAMIC_DISPATCH(local_queries_double)(q, task);
  });
  parallel_run(static_cast<int>(p.batch), [&](int b) { LocalOrder<T>(q, b).sort(); });
  parallel_run(static_cast<int>(p.batch * local_key_blocks(p)), [&](int task) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(local_keys_float)(q, task);
    else
      HWY_DYNAMIC_DISPATCH(local_keys_double)(q, task);
  });
  if (!p.score_weight) return;
  std::fill_n(q.grad_score_weight, p.width, T(0));
  const T* shares = q.workspace + 2 * p.batch * p.queries * span + 3 * span;
  for (std::int64_t task = 0; task < tasks; ++task)
    for (std::int64_t a = 0; a < p.width; ++a)
      q.grad_score_weight[a] += shares[task * local_task_scratch(p) + a];
}

}  // namespace

template <class T>
std::int64_t local_forward_workspace(const LocalForward<T>& p) {
  return local_query_tasks(p) * local_span(p);
}
template <class T>
std::int64_t local_backward_workspace(const LocalForward<T>& p) {
  return 2 * p.batch * p.queries * local_span(p) + local_query_tasks(p) * local_task_scratch(p);
}
template <class T>
std::int64_t local_backward_places(const LocalForward<T>& p) {
  return p.batch * (p.queries + local_key_blocks(p) + 1);
}
template std::int64_t local_forward_workspace(const LocalForward<float>&);
template std::int64_t local_forward_workspace(const LocalForward<double>&);
template std::int64_t local_backward_workspace(const LocalForward<float>&);
template std::int64_t local_backward_workspace(const LocalForward<double>&);
template std::int64_t local_backward_places(const LocalForward<float>&);
template std::int64_t local_backward_places(const LocalForward<double>&);

void local_forward(const LocalForward<float>& p) { run_local_forward(p); }
void local_forward(const LocalForward<double>& p) { run_local_forward(p); }
void local_backward(const LocalBackward<float>& p) { run_local_backward(p); }
void local_backward(const LocalBackward<double>& p) { run_local_backward(p); }

}  // namespace attend::kernels
#endif  // HWY_ONCE
