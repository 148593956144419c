#pragma once
#include <ATen/core/Tensor.h>
#include <attend/nn/recurrent.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <tuple>
#include <vector>

namespace attend::nn {

/// Options of GRU; the same as LSTMOptions.
struct GRUOptions {
  GRUOptions(int64_t input_size, int64_t hidden_size)
      : input_size_(input_size), hidden_size_(hidden_size) {}
  TORCH_ARG(int64_t, input_size);
  TORCH_ARG(int64_t, hidden_size);
  TORCH_ARG(int64_t, num_layers) = 1;
  TORCH_ARG(bool, bidirectional) = false;
  TORCH_ARG(double, dropout) = 0.0;
  TORCH_ARG(double, recurrent_dropout) = 0.0;
  TORCH_ARG(uint64_t, seed) = 0;
};

/// Stacked, optionally bidirectional GRU on attend::gru; dropout and `step` as in LSTM.
/// Parameters: weight_ih_l{k}[_reverse] [3H,I], weight_hh_l{k} [3H,H], bias_ih_l{k}, bias_hh_l{k}
/// [3H].
class GRUImpl : public torch::nn::Cloneable<GRUImpl> {
 public:
  GRUImpl(int64_t input_size, int64_t hidden_size) : GRUImpl(GRUOptions(input_size, hidden_size)) {}
  explicit GRUImpl(const GRUOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// input [B,T,I], lengths [B] or undefined → (output [B,T,D·H], h_n [layers·D,B,H]).
  std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& input,
                                             const at::Tensor& lengths = {});

  GRUOptions options;
  int64_t step = 0;
  std::vector<CellWeights> weights;
};
TORCH_MODULE(GRU);

}  // namespace attend::nn
