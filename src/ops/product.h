#pragma once
#include <ATen/core/Tensor.h>

#include "attend/kernels/gemm.h"

// The matrix product of kernels/gemm on tensors, all float or all double, on the CPU. Of each factor one dimension is contiguous.
namespace attend {

struct ProductOptions {
  at::Tensor bias = {};  // [N], contiguous, or undefined
  kernels::GemmFinish finish = kernels::GemmFinish::kNone;
  at::Tensor packed = {};  // what pack_factor made of b, or undefined: b is packed at every call
};

/// c ← finish(a b + bias);  a [M,K], b [K,N], c [M,N] with contiguous rows. Scratch comes from the pool.
void product_into(const at::Tensor& c, const at::Tensor& a, const at::Tensor& b,
                  const ProductOptions& options = {});

/// The same into memory of the pool.
at::Tensor product(const at::Tensor& a, const at::Tensor& b, const ProductOptions& options = {});

/// b in the kernel's own layout, for many products with it: packed_factor_size(b) elements from packed's first on.
void pack_factor(const at::Tensor& b, const at::Tensor& packed);
std::int64_t packed_factor_size(const at::Tensor& b);

}  // namespace attend
