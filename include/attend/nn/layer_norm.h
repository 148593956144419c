#pragma once
#include <ATen/core/Tensor.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

namespace attend::nn {

/// Options of LayerNorm, over the last dimension.
struct LayerNormOptions {
  explicit LayerNormOptions(int64_t width) : width_(width) {}
  TORCH_ARG(int64_t, width);
  TORCH_ARG(double, eps) = 1e-5;
  TORCH_ARG(bool, bias) = true;
};

/// (x − mean) / √(variance + eps) · weight + bias over the last dimension (Ba et al. 2016, eq. 4; the variance divides by C).
/// Parameters: weight [C] = 1, bias [C] = 0.
class LayerNormImpl : public torch::nn::Cloneable<LayerNormImpl> {
 public:
  explicit LayerNormImpl(int64_t width) : LayerNormImpl(LayerNormOptions(width)) {}
  explicit LayerNormImpl(const LayerNormOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// input […,C] → […,C].
  at::Tensor forward(const at::Tensor& input);

  LayerNormOptions options;
  at::Tensor weight, bias;
};
TORCH_MODULE(LayerNorm);

}  // namespace attend::nn
