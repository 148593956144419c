#pragma once
#include <ATen/core/Tensor.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <tuple>

namespace attend::nn {

/// Options of AttentionPool: C, the width pooled, and T, the number of positions that have a bias.
struct AttentionPoolOptions {
  AttentionPoolOptions(int64_t width, int64_t positions) : width_(width), positions_(positions) {}
  TORCH_ARG(int64_t, width);
  TORCH_ARG(int64_t, positions);
  TORCH_ARG(uint64_t, seed) = 0;
};

/// The guide's attention layer on attend::pool: weight [C] ~ N(0, .05²), bias [T] = 0.
class AttentionPoolImpl : public torch::nn::Cloneable<AttentionPoolImpl> {
 public:
  AttentionPoolImpl(int64_t width, int64_t positions)
      : AttentionPoolImpl(AttentionPoolOptions(width, positions)) {}
  explicit AttentionPoolImpl(const AttentionPoolOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// value [B,L,C] with L ≤ T, lengths [B] or undefined → (output [B,C], weights [B,L]).
  std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& value,
                                             const at::Tensor& lengths = {});

  AttentionPoolOptions options;
  at::Tensor weight, bias;
};
TORCH_MODULE(AttentionPool);

}  // namespace attend::nn
