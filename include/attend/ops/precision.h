#pragma once

namespace attend {

/// In what numbers the matrix products of float tensors are made where a guard stands.
enum class ProductPrecision {
  kFloat32,
  kBFloat16,  // factors and result rounded to 8 bits, sums in float32: twice as fast where the CPU multiplies them
};

/// Has this CPU products of bfloat16 (AVX512-BF16)? Without them they are slower than those of float32.
bool has_bfloat16_products();

/// While it lives, attend::linear and attend::vocabulary_loss (a mean or a sum) of float tensors on the CPU, called on this thread,
/// make their products so, and those of their gradients, wherever backward runs. What goes in and comes out is float32: weights,
/// gradients, sums over the vocabulary. Forward and backward once; no second derivative. Not part of torch.ops.attend.
class ProductPrecisionGuard {
 public:
  explicit ProductPrecisionGuard(ProductPrecision precision);
  ~ProductPrecisionGuard();
  ProductPrecisionGuard(const ProductPrecisionGuard&) = delete;
  ProductPrecisionGuard& operator=(const ProductPrecisionGuard&) = delete;

 private:
  ProductPrecision before_;
};

/// What holds on this thread; kFloat32 without a guard.
ProductPrecision product_precision();

}  // namespace attend
