#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

namespace attend {

/// Attention pooling over time, the guide's Keras layer:
///   s_t = tanh(<x_t, w> + b_t),  α = softmax_t(s),  output = Σ_t α_t x_t
/// value [B,T,C] (any strides), score_weight [C], bias [T] (one value per position) or undefined,
/// lengths [B] int64 in [0, T] or undefined (every position counts). All floating tensors have one
/// dtype and device. Returns (output [B,C], weights [B,T]); both are differentiable, twice too, and
/// a gradient may arrive through either.
///
/// Positions t ≥ length are never read (a NaN there changes nothing), get weight 0 and gradient 0;
/// length 0, and T = 0, give output 0. A NaN inside the length makes its row NaN.
///
/// Float and double on the CPU run fused kernels: forward 4·B·T·C operations, backward 10·B·T·C;
/// nothing of the size of value is kept for backward. Anything else runs compose::pool;
/// last_dispatch() (attend/ops/dispatch.h) says which. The bits do not depend on the number of
/// threads. Thread-safe. Throws Error(kUsage) naming argument, shape and rule.
///
///   const auto [context, weights] = attend::pool(states, score_weight, bias, lengths);
///
/// Also torch.ops.attend.pool. Source: the guide; a relative of Yang et al. 2016, equations 5 to 7.
std::tuple<at::Tensor, at::Tensor> pool(const at::Tensor& value, const at::Tensor& score_weight,
                                        const at::Tensor& bias = {},
                                        const at::Tensor& lengths = {});
namespace compose {
/// The definition of pool in plain ATen: oracle of the tests, path of every other device and dtype.
std::tuple<at::Tensor, at::Tensor> pool(const at::Tensor& value, const at::Tensor& score_weight,
                                        const at::Tensor& bias = {},
                                        const at::Tensor& lengths = {});
}  // namespace compose
}  // namespace attend
