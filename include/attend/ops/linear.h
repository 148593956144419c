#pragma once
#include <ATen/core/Tensor.h>

namespace attend {

/// What follows a linear map, element by element.
enum class Activation {
  kNone,
  kRelu,      // max(x, 0)
  kGelu,      // x Φ(x), Φ the standard normal distribution function (Hendrycks & Gimpel 2016)
  kGeluTanh,  // ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), their approximation
};

/// output = activation(input · weightᵀ + bias)
/// input […,I], weight [O,I], bias [O] or undefined; returns […,O]. Any number of leading dimensions, also none or zero rows.
/// Differentiable in all three, twice (the second time through the definition). Fused for float and
/// double on the CPU from 48 rows on: product, bias and relu in one pass, the gelus in a second one;
/// same bits for any number of threads. Fewer rows, other dtypes and other devices run the
/// definition; last_dispatch() says so. Mismatched sizes, dtypes or devices throw Error(kUsage).
/// Cost: 2 · rows · I · O operations forward, twice that backward (less for gradients nobody wants).
at::Tensor linear(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias = {},
                  Activation activation = Activation::kNone);

namespace compose {
at::Tensor linear(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias = {},
                  Activation activation = Activation::kNone);
}  // namespace compose
}  // namespace attend
