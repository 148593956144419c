#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <initializer_list>
#include <optional>

#include "attend/ops/dispatch.h"

namespace attend {

/// A schema's `Tensor?`; inside the library an absent tensor is an undefined one.
using OptionalTensor = std::optional<at::Tensor>;
inline at::Tensor or_undefined(const OptionalTensor& t) { return t ? *t : at::Tensor(); }
inline OptionalTensor or_none(const at::Tensor& t) {
  return t.defined() ? OptionalTensor(t) : std::nullopt;
}

/// An op of torch's registry, e.g. dispatched<decltype(pool_cpu)>("attend::pool"). Calls go through torch's dispatcher, so that
/// tracing and FakeTensor see ops and not their insides. An autograd::Function calls it under AutoDispatchBelowADInplaceOrView,
/// in backward too: autograd's fallback for ops without a derivative would box every argument, half a µs a call.
template <class Signature>
auto dispatched(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

/// Whether autograd must record a call on these tensors.
inline bool must_differentiate(std::initializer_list<at::Tensor> tensors) {
  if (!at::GradMode::is_enabled()) return false;
  for (const at::Tensor& t : tensors)
    if (t.defined() && t.requires_grad()) return true;
  return false;
}

/// nullptr when the fused CPU kernels can take these tensors: on the CPU, strided, all float or all
/// double. Otherwise one sentence that says why not. Undefined tensors are skipped.
const char* why_not_fused(std::initializer_list<const at::Tensor*> tensors);

/// bfloat16 on the CPU is computed in float: inputs converted, the fused path run, results converted back.
inline bool computes_in_float(const at::Tensor& t) {
  return t.scalar_type() == at::kBFloat16 && t.device().is_cpu();
}
inline at::Tensor in_float(const at::Tensor& t) { return t.defined() ? t.to(at::kFloat) : t; }
inline constexpr const char* kComputedInFloat = "bfloat16 is computed in float";

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
/// Adds a remark to what was noted last, e.g. that the tensors were converted first.
void note_reason(const char* reason);

}  // namespace attend
