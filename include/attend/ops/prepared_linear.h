#pragma once
#include <ATen/core/Tensor.h>
#include <attend/kernels/prepared.h>
#include <attend/ops/linear.h>

#include <cstdint>

namespace attend {

using kernels::Precision;

/// A linear map whose weights no longer change, laid out once for many products: output = activation(input · weightᵀ + bias).
/// What decoding runs, where few rows meet many weights; no gradients. Later changes of `weight` are not seen. Precision::kInt8
/// rounds each row of weights to 127 steps of its largest magnitude and each row of inputs likewise as it comes; the products
/// are added up exactly and scaled in float (compose::int8_linear). A copy of the weights is held, a quarter as large in int8.
/// weight [O,I] float on the CPU, bias [O] or undefined. Throws Error(kUsage) naming argument, shape and rule; for more inputs
/// than kernels::kMostInt8Inputs in int8. Every row of the result is the same bits whatever else is in the batch, and for any
/// number of threads. Thread-safe once made.
///
///   const attend::PreparedLinear project(weight, bias, attend::Precision::kInt8);
///   const at::Tensor y = project(x);  // […,I] → […,O]
class PreparedLinear {
 public:
  PreparedLinear() = default;
  PreparedLinear(const at::Tensor& weight, const at::Tensor& bias,
                 Precision precision = Precision::kFloat32);

  /// input […,I] float → […,O].
  at::Tensor operator()(const at::Tensor& input, Activation activation = Activation::kNone) const;
  /// output += input · weightᵀ + bias; input [N,I], output [N,O] float, both dense.
  void add_to(const at::Tensor& output, const at::Tensor& input) const;

  std::int64_t inputs() const { return shape_.inputs; }
  std::int64_t outputs() const { return shape_.outputs; }
  Precision precision() const { return shape_.precision; }
  /// The kernel's arguments with the weights filled in.
  kernels::PreparedProduct product() const;

 private:
  kernels::PreparedShape shape_;
  at::Tensor memory_, bias_;
};

namespace compose {
/// PreparedLinear in int8, in plain ATen: its definition and the oracle of the tests. With s = max |weight_o| / 127 of each row
/// and t = max |input_n| / 127 of each row:  s t Σ round(input · (1/t)) round(weight / s) + bias; a row of zeros gives bias.
at::Tensor int8_linear(const at::Tensor& input, const at::Tensor& weight,
                       const at::Tensor& bias = {});
}  // namespace compose
}  // namespace attend
