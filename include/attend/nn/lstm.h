#pragma once
#include <ATen/core/Tensor.h>
#include <attend/nn/recurrent.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <tuple>
#include <vector>

namespace attend::nn {

/// Options of LSTM. Beyond torch::nn::LSTM: recurrent dropout, masks shared by time steps, lengths.
struct LSTMOptions {
  LSTMOptions(int64_t input_size, int64_t hidden_size)
      : input_size_(input_size), hidden_size_(hidden_size) {}
  TORCH_ARG(int64_t, input_size);
  TORCH_ARG(int64_t, hidden_size);
  TORCH_ARG(int64_t, num_layers) = 1;
  TORCH_ARG(bool, bidirectional) = false;
  TORCH_ARG(double, dropout) = 0.0;            ///< on each layer's input, one mask per sequence
  TORCH_ARG(double, recurrent_dropout) = 0.0;  ///< on h_{t−1}, one mask per sequence
  TORCH_ARG(uint64_t, seed) = 0;               ///< of the initial weights and of the dropout masks
};

/// Stacked, optionally bidirectional LSTM, batch first, on attend::lstm. In training mode the n-th
/// forward call uses the dropout masks of step n (`step`, which may be set: a resumed run repeats
/// its masks). Parameters: weight_ih_l{k}[_reverse] [4H,I], weight_hh_l{k} [4H,H], bias_l{k} [4H].
class LSTMImpl : public torch::nn::Cloneable<LSTMImpl> {
 public:
  LSTMImpl(int64_t input_size, int64_t hidden_size)
      : LSTMImpl(LSTMOptions(input_size, hidden_size)) {}
  explicit LSTMImpl(const LSTMOptions& options);
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// input [B,T,I], lengths [B] or undefined → (output [B,T,D·H], (h_n, c_n) [layers·D,B,H]).
  std::tuple<at::Tensor, std::tuple<at::Tensor, at::Tensor>> forward(
      const at::Tensor& input, const at::Tensor& lengths = {});

  LSTMOptions options;
  int64_t step = 0;
  std::vector<CellWeights> weights;
};
TORCH_MODULE(LSTM);

}  // namespace attend::nn
