#include "attend/nn/recurrent.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <string>

#include "attend/base/error.h"
#include "attend/nn/init.h"
#include "attend/ops/gru.h"
#include "attend/ops/lstm.h"

namespace attend::nn {
namespace {

struct Masks {
  at::Tensor input, recurrent;
};

Masks draw_masks(const at::Tensor& x, const RecurrentOptions& o, const Pass& pass, std::size_t i) {
  Masks m;
  if (!pass.training) return m;
  if (pass.masks) return {pass.masks->input.at(i), pass.masks->recurrent.at(i)};
  const auto directions = static_cast<std::size_t>(o.directions());
  const auto layer = static_cast<std::int64_t>(i / directions);
  const bool reverse = i % directions == 1;
  const at::ScalarType dtype = x.scalar_type();
  if (o.dropout > 0)
    m.input = dropout_mask(x.size(0), x.size(2), o.dropout, pass,
                           {layer, reverse, DropoutSite::kInput}, dtype);
  if (o.recurrent_dropout > 0)
    m.recurrent = dropout_mask(x.size(0), o.hidden, o.recurrent_dropout, pass,
                               {layer, reverse, DropoutSite::kRecurrent}, dtype);
  return m;
}

void check(const at::Tensor& input, const std::vector<CellWeights>& weights,
           const RecurrentOptions& o) {
  if (input.dim() != 3 || input.size(2) != o.input)
    fail_usage("recurrent: input must be [B,T,I] with I = " + std::to_string(o.input));
  if (static_cast<std::int64_t>(weights.size()) != o.layers * o.directions())
    fail_usage("recurrent: " + std::to_string(weights.size()) + " sets of weights for " +
               std::to_string(o.layers) + " layers in " + std::to_string(o.directions()) +
               " directions");
}

CellWeights one_cell(const RecurrentOptions& o, std::int64_t input, std::uint64_t seed,
                     std::uint64_t index, at::ScalarType dtype) {
  const std::int64_t gates = o.cell == Cell::kLstm ? 4 : 3, h = o.hidden;
  Random kernel(seed, Purpose::kInit, index), recurrent(seed, Purpose::kInit, index + 1);
  CellWeights w;
  // Keras' fans are those of its kernel [I, gates·H].
  w.weight_ih = glorot_uniform({gates * h, input}, input, gates * h, kernel, dtype);
  w.weight_hh = orthogonal(h, gates * h, recurrent, dtype).t().contiguous();
  w.bias = at::zeros({gates * h}, at::TensorOptions().dtype(dtype));
  if (o.cell == Cell::kLstm) {
    w.bias.narrow(0, h, h).fill_(1.0);  // Jozefowicz et al. 2015: remember by default
  } else {
    w.bias_hh = at::zeros({gates * h}, at::TensorOptions().dtype(dtype));
  }
  return w;
}

}  // namespace

std::vector<CellWeights> recurrent_weights(const RecurrentOptions& options, std::uint64_t seed,
                                           at::ScalarType dtype) {
  std::vector<CellWeights> weights;
  for (std::int64_t layer = 0; layer < options.layers; ++layer) {
    const std::int64_t input = layer == 0 ? options.input : options.directions() * options.hidden;
    for (std::int64_t d = 0; d < options.directions(); ++d) {
      // Streams below 16 belong to the model around the recurrence (src/models/classifier.cpp).
      const std::uint64_t index = 16 + 2 * static_cast<std::uint64_t>(weights.size());
      weights.push_back(one_cell(options, input, seed, index, dtype));
    }
  }
  return weights;
}

std::string cell_suffix(std::size_t i, const RecurrentOptions& options) {
  const auto directions = static_cast<std::size_t>(options.directions());
  return "_l" + std::to_string(i / directions) + (i % directions == 1 ? "_reverse" : "");
}

RecurrentOutput recurrent(const at::Tensor& input, const at::Tensor& lengths,
                          const std::vector<CellWeights>& weights, const RecurrentOptions& options,
                          const Pass& pass, const std::vector<at::Tensor>& h0,
                          const std::vector<at::Tensor>& c0) {
  check(input, weights, options);
  RecurrentOutput result;
  at::Tensor x = input;
  std::size_t i = 0;
  for (std::int64_t layer = 0; layer < options.layers; ++layer) {
    std::vector<at::Tensor> outputs;
    for (std::int64_t d = 0; d < options.directions(); ++d, ++i) {
      const CellWeights& w = weights[i];
      const Masks mask = draw_masks(x, options, pass, i);
      const at::Tensor h = h0.empty() ? at::Tensor() : h0.at(i);
      if (options.cell == Cell::kLstm) {
        const LstmOptions lstm_options{
            h, c0.empty() ? at::Tensor() : c0.at(i), lengths, mask.input, mask.recurrent, d == 1};
        auto [output, h_n, c_n] = lstm(x, w.weight_ih, w.weight_hh, w.bias, lstm_options);
        outputs.push_back(output);
        result.h_n.push_back(h_n);
        result.c_n.push_back(c_n);
      } else {
        const GruOptions gru_options{h, lengths, mask.input, mask.recurrent, d == 1};
        auto [output, h_n] = gru(x, w.weight_ih, w.weight_hh, w.bias, w.bias_hh, gru_options);
        outputs.push_back(output);
        result.h_n.push_back(h_n);
      }
    }
    x = outputs.size() == 1 ? outputs[0] : at::cat(outputs, 2);  // [B,T,D·H]
  }
  result.output = x;
  return result;
}

at::Tensor last_state(const RecurrentOutput& states, const RecurrentOptions& options) {
  const at::Tensor& last = states.h_n.back();
  if (!options.bidirectional) return last;
  return at::cat({states.h_n[states.h_n.size() - 2], last}, 1);  // [B,2H]
}

}  // namespace attend::nn
