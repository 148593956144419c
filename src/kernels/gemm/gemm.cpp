// The matrix product: include/attend/kernels/gemm.h has the formula. Goto & van de Geijn's scheme (2008): b is packed once, in
// panels as wide as the register tile; a task packs its own rows of a, which then stay in L2, and streams b's panels past them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/gemm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "attend/kernels/gemm.h"
#include "kernels/gemm/tile-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

std::int64_t gemm_a_panel() { return kGemmRows; }
std::int64_t gemm_b_panel_float() { return kGemmColumns<float>; }
std::int64_t gemm_b_panel_double() { return kGemmColumns<double>; }

void gemm_pack_b_float(const Gemm<float>& p, const GemmPlan& plan, std::int64_t first,
                       std::int64_t last, float* packed) {
  note_simd_target(HWY_TARGET);
  gemm_pack_b(p, plan, first, last, packed);
}
void gemm_pack_b_double(const Gemm<double>& p, const GemmPlan& plan, std::int64_t first,
                        std::int64_t last, double* packed) {
  note_simd_target(HWY_TARGET);
  gemm_pack_b(p, plan, first, last, packed);
}
void gemm_pack_a_float(const Gemm<float>& p, const GemmPlan& plan, float* packed) {
  for (std::int64_t s = 0; s < plan.stretches; ++s)
    gemm_pack_a(p, plan, s, 0, plan.a_panels, packed + plan.start(s) * plan.a_panels * kGemmRows);
}
void gemm_pack_a_double(const Gemm<double>& p, const GemmPlan& plan, double* packed) {
  for (std::int64_t s = 0; s < plan.stretches; ++s)
    gemm_pack_a(p, plan, s, 0, plan.a_panels, packed + plan.start(s) * plan.a_panels * kGemmRows);
}
void gemm_panels_float(const Gemm<float>& p, const GemmPlan& plan, std::int64_t first,
                       std::int64_t last, float* scratch) {
  note_simd_target(HWY_TARGET);
  if (plan.by_columns)
    gemm_columns(p, plan, first, last, scratch);
  else
    gemm_rows(p, plan, first, last, scratch);
}
void gemm_panels_double(const Gemm<double>& p, const GemmPlan& plan, std::int64_t first,
                        std::int64_t last, double* scratch) {
  note_simd_target(HWY_TARGET);
  if (plan.by_columns)
    gemm_columns(p, plan, first, last, scratch);
  else
    gemm_rows(p, plan, first, last, scratch);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <type_traits>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

HWY_EXPORT(gemm_a_panel);
HWY_EXPORT(gemm_b_panel_float);
HWY_EXPORT(gemm_b_panel_double);
HWY_EXPORT(gemm_pack_b_float);
HWY_EXPORT(gemm_pack_b_double);
HWY_EXPORT(gemm_pack_a_float);
HWY_EXPORT(gemm_pack_a_double);
HWY_EXPORT(gemm_panels_float);
HWY_EXPORT(gemm_panels_double);

template <class T>
constexpr bool kGemmIsFloat = std::is_same_v<T, float>;

/// Products below this many operations run on the caller's thread: a parallel region costs 1 µs hot and 50 µs cold.
constexpr double kGemmParallel = 4e6;

template <class T>
std::int64_t gemm_b_panel() {
  if constexpr (kGemmIsFloat<T>)
    return HWY_DYNAMIC_DISPATCH(gemm_b_panel_float)();
  else
    return HWY_DYNAMIC_DISPATCH(gemm_b_panel_double)();
}

template <class T>
bool gemm_is_parallel(const Gemm<T>& p) {
  return 2.0 * static_cast<double>(p.rows) * static_cast<double>(p.columns) *
             static_cast<double>(p.depth) >=
         kGemmParallel;
}

template <class T>
GemmPlan gemm_plan(const Gemm<T>& p) {
  const std::int64_t a_panel = HWY_DYNAMIC_DISPATCH(gemm_a_panel)(), b_panel = gemm_b_panel<T>();
  GemmPlan plan;
  plan.depth = p.depth;
  plan.stretches = std::max<std::int64_t>(1, (p.depth + kGemmStretch - 1) / kGemmStretch);
  plan.a_panels = (p.rows + a_panel - 1) / a_panel;
  plan.b_panels = (p.columns + b_panel - 1) / b_panel;
  // However it is cut, each element is made by the same operations. A multiple of four shares out evenly among few.
  // Few rows stay in L2 whole, so that b is read once.
  plan.by_columns = p.rows <= kGemmTaskRows;
  const std::int64_t cut = plan.by_columns ? plan.b_panels : plan.a_panels;
  const std::int64_t tasks =
      plan.by_columns ? kGemmColumnTasks : (p.rows + kGemmTaskRows - 1) / kGemmTaskRows;
  plan.tasks = std::clamp<std::int64_t>((tasks + 3) / 4 * 4, 1, std::max<std::int64_t>(1, cut));
  return plan;
}

/// Elements, rounded up to whole cache lines, so that what follows stays aligned.
std::int64_t gemm_aligned(std::int64_t n) { return (n + 15) / 16 * 16; }

/// All of a packed, which tasks by columns share; or each task's own rows.
std::int64_t gemm_a_scratch(const GemmPlan& plan) {
  const std::int64_t rows = HWY_DYNAMIC_DISPATCH(gemm_a_panel)();
  return plan.by_columns ? gemm_aligned(plan.a_panels * rows * plan.depth)
                         : gemm_aligned(plan.most_panels() * rows * plan.longest_stretch());
}

template <class T>
std::int64_t gemm_b_size(const GemmPlan& plan) {
  return gemm_aligned(plan.b_panels * gemm_b_panel<T>() * plan.depth);
}

template <class F>
void gemm_share(std::int64_t tasks, bool parallel, const F& task) {
  if (parallel) return parallel_run(static_cast<int>(tasks), [&](int i) { task(i); });
  for (std::int64_t i = 0; i < tasks; ++i) task(i);
}

template <class T>
void gemm_pack_shared(const Gemm<T>& p, const GemmPlan& plan, bool parallel, T* packed) {
  const std::int64_t packers = std::min<std::int64_t>(plan.b_panels, parallel ? threads() : 1);
  gemm_share(packers, parallel, [&](std::int64_t i) {
    const std::int64_t first = i * plan.b_panels / packers,
                       last = (i + 1) * plan.b_panels / packers;
    if constexpr (kGemmIsFloat<T>)
      HWY_DYNAMIC_DISPATCH(gemm_pack_b_float)(p, plan, first, last, packed);
    else
      HWY_DYNAMIC_DISPATCH(gemm_pack_b_double)(p, plan, first, last, packed);
  });
}

}  // namespace

template <class T>
std::int64_t gemm_packed_size(const Gemm<T>& p) {
  return gemm_b_size<T>(gemm_plan(p));
}

template <class T>
void gemm_pack(const Gemm<T>& p, T* packed) {
  if (p.columns > 0) gemm_pack_shared(p, gemm_plan(p), /*parallel=*/true, packed);
}

template <class T>
std::int64_t gemm_workspace(const Gemm<T>& p) {
  const GemmPlan plan = gemm_plan(p);
  return (p.packed ? 0 : gemm_b_size<T>(plan)) +
         (plan.by_columns ? 1 : plan.tasks) * gemm_a_scratch(plan);
}

template <class T>
void gemm(const Gemm<T>& given) {
  if (given.rows == 0 || given.columns == 0) return;
  Gemm<T> p = given;
  const GemmPlan plan = gemm_plan(p);
  const bool parallel = gemm_is_parallel(p);
  T* scratch = p.workspace;
  if (!p.packed) {
    gemm_pack_shared(p, plan, parallel, scratch);
    p.packed = scratch, scratch += gemm_b_size<T>(plan);
  }
  if (plan.by_columns) {
    if constexpr (kGemmIsFloat<T>)
      HWY_DYNAMIC_DISPATCH(gemm_pack_a_float)(p, plan, scratch);
    else
      HWY_DYNAMIC_DISPATCH(gemm_pack_a_double)(p, plan, scratch);
  }
  gemm_share(plan.tasks, parallel, [&](std::int64_t i) {
    T* const own = plan.by_columns ? scratch : scratch + i * gemm_a_scratch(plan);
    if constexpr (kGemmIsFloat<T>) HWY_DYNAMIC_DISPATCH(gemm_panels_float)
    (p, plan, plan.first_panel(i), plan.first_panel(i + 1), own);
    else HWY_DYNAMIC_DISPATCH(gemm_panels_double)(p, plan, plan.first_panel(i),
                                                  plan.first_panel(i + 1), own);
  });
}

template void gemm(const Gemm<float>&);
template void gemm(const Gemm<double>&);
template void gemm_pack(const Gemm<float>&, float*);
template void gemm_pack(const Gemm<double>&, double*);
template std::int64_t gemm_packed_size(const Gemm<float>&);
template std::int64_t gemm_packed_size(const Gemm<double>&);
template std::int64_t gemm_workspace(const Gemm<float>&);
template std::int64_t gemm_workspace(const Gemm<double>&);

}  // namespace attend::kernels
#endif  // HWY_ONCE
