// Every op as torch.ops.attend.NAME. Loading libattend.so (linking it, or torch.ops.load_library)
// registers them. An op has four kernels: Autograd (saves and differentiates), CPU (fused), Meta
// (shapes, for tracing and FakeTensor) and CompositeExplicitAutograd (the definition, for every
// other device). One file, because torch/library.h is slow to compile.
#include <torch/library.h>

#include "ops/lstm.h"
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
  m.def(
      "lstm(Tensor input, Tensor weight_ih, Tensor weight_hh, Tensor bias, *, Tensor? h0=None,"
      " Tensor? c0=None, Tensor? lengths=None, Tensor? input_mask=None, Tensor? "
      "recurrent_mask=None,"
      " bool reverse=False) -> (Tensor output, Tensor h_n, Tensor c_n)");
  m.def(
      "lstm_training(Tensor input, Tensor weight_ih, Tensor weight_hh, Tensor bias, Tensor? h0,"
      " Tensor? c0, Tensor? lengths, Tensor? input_mask, Tensor? recurrent_mask, bool reverse,"
      " int workers) -> (Tensor output, Tensor h_n, Tensor c_n, Tensor saved)");
  m.def(
      "lstm_backward(Tensor? grad_output, Tensor? grad_h_n, Tensor? grad_c_n, Tensor saved,"
      " Tensor input, Tensor weight_ih, Tensor weight_hh, Tensor? lengths, Tensor? input_mask,"
      " Tensor? recurrent_mask, bool reverse, int workers, int wanted) -> (Tensor grad_input,"
      " Tensor grad_weight_ih, Tensor grad_weight_hh, Tensor grad_bias, Tensor grad_h0,"
      " Tensor grad_c0)");
}

TORCH_LIBRARY_IMPL(attend, CPU, m) {
  m.impl("pool", &pool_cpu);
  m.impl("pool_backward", &pool_backward_cpu);
  m.impl("lstm", &lstm_cpu);
  m.impl("lstm_training", &lstm_training_cpu);
  m.impl("lstm_backward", &lstm_backward_cpu);
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) {
  m.impl("pool", &pool_composed);
  m.impl("lstm", &lstm_composed);
}

TORCH_LIBRARY_IMPL(attend, Meta, m) {
  m.impl("pool", &pool_meta);
  m.impl("pool_backward", &pool_backward_meta);
  m.impl("lstm", &lstm_meta);
  m.impl("lstm_training", &lstm_training_meta);
  m.impl("lstm_backward", &lstm_backward_meta);
}

TORCH_LIBRARY_IMPL(attend, Autograd, m) {
  m.impl("pool", &pool_autograd);
  m.impl("lstm", &lstm_autograd);
}

}  // namespace attend
