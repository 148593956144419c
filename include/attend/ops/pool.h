#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

namespace attend {

/// Attention pooling over time, the guide's Keras layer:
///   s_t = tanh(<x_t, w> + b_t),  α = softmax_t(s),  output = Σ_t α_t x_t
/// value [B,T,C], score_weight [C], bias [T] (one value per position) or undefined, lengths [B] int64 or undefined
/// (positions ≥ length get no weight; length 0 gives output 0 and zero gradients; undefined: every position counts).
/// Returns (output [B,C], weights [B,T]); the weights are always there (they cost nothing) and are differentiable.
std::tuple<at::Tensor, at::Tensor> pool(const at::Tensor& value, const at::Tensor& score_weight,
                                        const at::Tensor& bias = {},
                                        const at::Tensor& lengths = {});
namespace compose {
std::tuple<at::Tensor, at::Tensor> pool(const at::Tensor& value, const at::Tensor& score_weight,
                                        const at::Tensor& bias = {},
                                        const at::Tensor& lengths = {});
}  // namespace compose
}  // namespace attend
