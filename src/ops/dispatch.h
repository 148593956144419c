#pragma once
#include <ATen/core/Tensor.h>

#include <initializer_list>
#include <optional>

#include "attend/ops/dispatch.h"

namespace attend {

/// A schema's `Tensor?`; inside the library an absent tensor is an undefined one.
using OptionalTensor = std::optional<at::Tensor>;
inline at::Tensor or_undefined(const OptionalTensor& t) { return t ? *t : at::Tensor(); }
inline OptionalTensor or_none(const at::Tensor& t) { return t.defined() ? OptionalTensor(t) : std::nullopt; }

/// nullptr when the fused CPU kernels can take these tensors: on the CPU, strided, all float or all
/// double. Otherwise one sentence that says why not. Undefined tensors are skipped.
const char* why_not_fused(std::initializer_list<const at::Tensor*> tensors);

/// Calls f(T{}) with T = float or double, the dtype of `like` (which why_not_fused has accepted).
template <class F>
void with_scalar_type(const at::Tensor& like, F&& f) {
  if (like.scalar_type() == at::kDouble)
    f(double{});
  else
    f(float{});
}

/// Records what last_dispatch() answers. note_fused reads the SIMD target that the kernel has just
/// noted.
void note_fused(const char* op);
void note_composed(const char* op, const char* reason);

}  // namespace attend
