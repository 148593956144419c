#pragma once
#include <ATen/core/Tensor.h>

#include <tuple>

namespace attend::nn {

/// Rows of `table` [N,E] by `ids` [B,T] int64 → [B,T,E], and the penalty l2 · Σ table² (a scalar; 0
/// without a pass over the table when l2 is 0). One autograd node: backward writes the dense
/// gradient
///   d table = 2 · l2 · d penalty · table + Σ_{b,t} d out[b,t] at row ids[b,t]
/// in one buffer, always in the same order. An id outside [0, N) throws kBadInput with its place.
/// Float and double on the CPU; O(N·E + B·T·E) time.
std::tuple<at::Tensor, at::Tensor> embed(const at::Tensor& table, const at::Tensor& ids,
                                         double l2 = 0.0);

}  // namespace attend::nn
