#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

#include "ops/dispatch.h"

// What is bound to torch.ops.attend.pool and .pool_backward, one function per dispatch
// key.
namespace attend {

std::tuple<at::Tensor, at::Tensor> pool_autograd(const at::Tensor& value,
                                                 const at::Tensor& score_weight,
                                                 const OptionalTensor& bias,
                                                 const OptionalTensor& lengths);
std::tuple<at::Tensor, at::Tensor> pool_cpu(const at::Tensor& value, const at::Tensor& score_weight,
                                            const OptionalTensor& bias,
                                            const OptionalTensor& lengths);
std::tuple<at::Tensor, at::Tensor> pool_composed(const at::Tensor& value,
                                                 const at::Tensor& score_weight,
                                                 const OptionalTensor& bias,
                                                 const OptionalTensor& lengths);
std::tuple<at::Tensor, at::Tensor> pool_meta(const at::Tensor& value,
                                             const at::Tensor& score_weight,
                                             const OptionalTensor& bias,
                                             const OptionalTensor& lengths);

/// (dvalue [B,T,C], dscore_weight [C], dbias [T]); an absent gradient counts as zero.
std::tuple<at::Tensor, at::Tensor, at::Tensor> pool_backward_cpu(
    const OptionalTensor& grad_output, const OptionalTensor& grad_weights, const at::Tensor& value,
    const at::Tensor& score_weight, const OptionalTensor& bias, const OptionalTensor& lengths);
std::tuple<at::Tensor, at::Tensor, at::Tensor> pool_backward_meta(
    const OptionalTensor& grad_output, const OptionalTensor& grad_weights, const at::Tensor& value,
    const at::Tensor& score_weight, const OptionalTensor& bias, const OptionalTensor& lengths);

/// The shapes and dtypes that every path asks for. Throws Error(kUsage).
void check_pool(const at::Tensor& value, const at::Tensor& score_weight, const at::Tensor& bias,
                const at::Tensor& lengths);

}  // namespace attend
