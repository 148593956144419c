#include "ops/product.h"

#include "ops/arena.h"
#include "ops/dispatch.h"

namespace attend {
namespace {

/// A product of which only the second factor is known.
template <class T>
kernels::Gemm<T> product_with(const at::Tensor& b) {
  kernels::Gemm<T> p;
  p.columns = b.size(1), p.depth = b.size(0);
  p.b = b.const_data_ptr<T>(), p.b_depth = b.stride(0), p.b_column = b.stride(1);
  return p;
}

}  // namespace

void product_into(const at::Tensor& c, const at::Tensor& a, const at::Tensor& b,
                  const ProductOptions& options) {
  with_scalar_type(a, [&](auto zero) {
    using T = decltype(zero);
    const auto data = [](const at::Tensor& t) {
      return t.defined() ? t.const_data_ptr<T>() : nullptr;
    };
    kernels::Gemm<T> p = product_with<T>(b);
    p.rows = a.size(0), p.a = data(a), p.a_row = a.stride(0), p.a_depth = a.stride(1);
    p.c = c.mutable_data_ptr<T>(), p.c_row = c.stride(0);
    p.bias = data(options.bias), p.finish = options.finish, p.packed = data(options.packed);
    const at::Tensor workspace = pooled_empty(kernels::gemm_workspace(p), a.options());
    p.workspace = workspace.mutable_data_ptr<T>();
    kernels::gemm(p);
  });
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b, const ProductOptions& options) {
  const at::Tensor c = pooled_empty({a.size(0), b.size(1)}, a.options());
  product_into(c, a, b, options);
  return c;
}

void pack_factor(const at::Tensor& b, const at::Tensor& packed) {
  with_scalar_type(b, [&](auto zero) {
    using T = decltype(zero);
    kernels::gemm_pack(product_with<T>(b), packed.mutable_data_ptr<T>());
  });
}

std::int64_t packed_factor_size(const at::Tensor& b) {
  std::int64_t size = 0;
  with_scalar_type(
      b, [&](auto zero) { size = kernels::gemm_packed_size(product_with<decltype(zero)>(b)); });
  return size;
}

}  // namespace attend
