#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace attend::nn {

/// A ragged batch without its padding: the valid rows of all sequences one after the other.
/// padded [B,L,C], lengths [B] int64 in 0…L → [N,C] with N = Σ lengths. Differentiable. Error(kUsage) on other shapes.
at::Tensor pack(const at::Tensor& padded, const at::Tensor& lengths);

/// The way back: rows [N,C] → [B,L,C], zero beyond each length. L is the longest length unless given (and must hold it).
at::Tensor unpack(const at::Tensor& rows, const at::Tensor& lengths, std::int64_t length = -1);

}  // namespace attend::nn
