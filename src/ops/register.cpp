// Every op as torch.ops.attend.NAME. Loading libattend.so (linking it, or torch.ops.load_library) registers them.
// An op has four kernels: Autograd (saves and differentiates), CPU (fused), Meta (shapes, for tracing and FakeTensor) and
// CompositeExplicitAutograd (the definition, for every other device). One file, because torch/library.h is slow to compile.
#include <torch/library.h>

#include "ops/pool.h"

namespace attend {

TORCH_LIBRARY(attend, m) {
  m.def(
      "pool(Tensor value, Tensor score_weight, *, Tensor? bias=None, Tensor? lengths=None)"
      " -> (Tensor output, Tensor weights)");
  m.def(
      "pool_backward(Tensor? grad_output, Tensor? grad_weights, Tensor value, Tensor score_weight,"
      " Tensor? bias, Tensor? lengths) -> (Tensor grad_value, Tensor grad_score_weight, Tensor "
      "grad_bias)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("pool", &pool_cpu);
  m.impl("pool_backward", &pool_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) { m.impl("pool", &pool_composed); }

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("pool", &pool_meta);
  m.impl("pool_backward", &pool_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) { m.impl("pool", &pool_autograd); }

}  // namespace attend
