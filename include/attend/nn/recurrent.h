#pragma once
#include <ATen/core/Tensor.h>
#include <attend/base/random.h>
#include <attend/nn/dropout.h>

#include <cstdint>
#include <string>
#include <vector>

namespace attend::nn {

enum class Cell { kLstm, kGru };

/// Stacked and bidirectional recurrence as a plain function: what the modules LSTM and GRU and the
/// models share.
struct RecurrentOptions {
  Cell cell = Cell::kLstm;
  std::int64_t input = 0;   // I, width of the first layer's input
  std::int64_t hidden = 0;  // H
  std::int64_t layers = 1;
  bool bidirectional = false;  // D = 2 directions, else 1; later layers read [forward, backward]
  double dropout = 0.0;        // on every layer's input
  double recurrent_dropout = 0.0;  // on h_{t−1}
  std::int64_t directions() const { return bidirectional ? 2 : 1; }
};

/// One layer in one direction. LSTM: weight_ih [4H,I], weight_hh [4H,H], bias [4H], gates i, f, g,
/// o. GRU: weight_ih [3H,I], weight_hh [3H,H], bias [3H] and bias_hh [3H], gates r, z, n.
struct CellWeights {
  at::Tensor weight_ih, weight_hh, bias, bias_hh;
};

/// Weights by layer, then direction (forward first), as PyTorch orders them, with Keras'
/// initialisers: glorot-uniform weight_ih, orthogonal weight_hh, zero bias except 1 for an LSTM's
/// forget gate.
std::vector<CellWeights> recurrent_weights(const RecurrentOptions& options, std::uint64_t seed,
                                           at::ScalarType dtype = at::kFloat);

/// "_l0", "_l0_reverse", "_l1", …: the place of weights i in a stack, as torch names it.
std::string cell_suffix(std::size_t i, const RecurrentOptions& options);

struct RecurrentOutput {
  at::Tensor output;            // [B,T,D·H], the last layer's states
  std::vector<at::Tensor> h_n;  // one [B,H] for each layer and direction
  std::vector<at::Tensor> c_n;  // the same, LSTM only
};

/// Runs the stack. input [B,T,I]; lengths [B] int64 or undefined (every step is valid). Dropout
/// masks are used when pass.training: one per sequence, shared by time steps and gates. With h0
/// (and c0 for an LSTM) one [B,H] each per layer and direction, or empty for zeros.
RecurrentOutput recurrent(const at::Tensor& input, const at::Tensor& lengths,
                          const std::vector<CellWeights>& weights, const RecurrentOptions& options,
                          const Pass& pass, const std::vector<at::Tensor>& h0 = {},
                          const std::vector<at::Tensor>& c0 = {});

/// The last state of the top layer, [B,D·H]: forward's last valid step beside backward's first.
at::Tensor last_state(const RecurrentOutput& states, const RecurrentOptions& options);

}  // namespace attend::nn
