#include "ops/dispatch.h"

#include "kernels/simd/target.h"

namespace attend {
namespace {
thread_local Dispatch t_last;
}  // namespace

Dispatch last_dispatch() { return t_last; }

const char* why_not_fused(std::initializer_list<const at::Tensor*> tensors) {
  const at::Tensor* first = nullptr;
  for (const at::Tensor* t : tensors) {
    if (!t->defined()) continue;
    if (!t->device().is_cpu()) return "a tensor is not on the CPU";
    if (t->layout() != at::kStrided) return "a tensor is not strided";
    if (t->scalar_type() != at::kFloat && t->scalar_type() != at::kDouble)
      return "dtype is not float or double";
    if (first && t->scalar_type() != first->scalar_type()) return "dtypes differ";
    if (!first) first = t;
  }
  return nullptr;
}

void note_fused(const char* op) {
  t_last = {op, Path::kFused, kernels::last_simd_target_name(), ""};
}

void note_reason(const char* reason) { t_last.reason = reason; }

void note_composed(const char* op, const char* reason) {
  t_last = {op, Path::kComposed, "", reason};
}

}  // namespace attend
