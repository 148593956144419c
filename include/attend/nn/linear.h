#pragma once
#include <ATen/core/Tensor.h>
#include <attend/ops/linear.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

namespace attend::nn {

/// Options of Linear: torch::nn::Linear's, and the seed of the initial numbers.
struct LinearOptions {
  LinearOptions(int64_t in_features, int64_t out_features)
      : in_features_(in_features), out_features_(out_features) {}
  TORCH_ARG(int64_t, in_features);
  TORCH_ARG(int64_t, out_features);
  TORCH_ARG(bool, bias) = true;
  TORCH_ARG(uint64_t, seed) = 0;
};

/// attend::linear with its parameters: weight [O,I], bias [O], both ~ U(−1/√I, 1/√I) as torch's.
class LinearImpl : public torch::nn::Cloneable<LinearImpl> {
 public:
  LinearImpl(int64_t in_features, int64_t out_features)
      : LinearImpl(LinearOptions(in_features, out_features)) {}
  explicit LinearImpl(const LinearOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// input […,I] → activation(input · weightᵀ + bias) […,O].
  at::Tensor forward(const at::Tensor& input, Activation activation = Activation::kNone);

  LinearOptions options;
  at::Tensor weight, bias;
};
TORCH_MODULE(Linear);

}  // namespace attend::nn
