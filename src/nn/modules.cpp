// The three modules share a file: torch/nn/cloneable.h alone costs more than all else here.
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <ostream>
#include <string>

#include "attend/base/error.h"
#include "attend/nn/attention_pool.h"
#include "attend/nn/gru.h"
#include "attend/nn/init.h"
#include "attend/nn/lstm.h"
#include "attend/ops/pool.h"

namespace attend::nn {
namespace {

template <class Options>
RecurrentOptions to_recurrent(const Options& o, Cell cell) {
  RecurrentOptions r;
  r.cell = cell;
  r.input = o.input_size();
  r.hidden = o.hidden_size();
  r.layers = o.num_layers();
  r.bidirectional = o.bidirectional();
  r.dropout = o.dropout();
  r.recurrent_dropout = o.recurrent_dropout();
  return r;
}

void check(const RecurrentOptions& o, const std::string& name) {
  if (o.input < 1 || o.hidden < 1 || o.layers < 1)
    fail_usage(name + ": input_size, hidden_size and num_layers must be at least 1");
  if (!(o.dropout >= 0 && o.dropout < 1) || !(o.recurrent_dropout >= 0 && o.recurrent_dropout < 1))
    fail_usage(name + ": dropout and recurrent_dropout must be in [0, 1)");
}

Pass next_pass(bool training, std::uint64_t seed, std::int64_t& step) {
  const Pass pass{training, seed, step};
  if (training) ++step;
  return pass;
}

template <class Options>
void print(std::ostream& stream, const char* name, const Options& o) {
  stream << name << "(input_size=" << o.input_size() << ", hidden_size=" << o.hidden_size()
         << ", num_layers=" << o.num_layers()
         << ", bidirectional=" << (o.bidirectional() ? "true" : "false")
         << ", dropout=" << o.dropout() << ", recurrent_dropout=" << o.recurrent_dropout() << ")";
}

}  // namespace

LSTMImpl::LSTMImpl(const LSTMOptions& given) : options(given) { reset(); }

void LSTMImpl::reset() {
  const RecurrentOptions o = to_recurrent(options, Cell::kLstm);
  check(o, "attend::nn::LSTM");
  weights = recurrent_weights(o, options.seed());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    CellWeights& w = weights[i];
    w.weight_ih = register_parameter("weight_ih" + cell_suffix(i, o), w.weight_ih);
    w.weight_hh = register_parameter("weight_hh" + cell_suffix(i, o), w.weight_hh);
    w.bias = register_parameter("bias" + cell_suffix(i, o), w.bias);
  }
}

void LSTMImpl::pretty_print(std::ostream& stream) const { print(stream, "attend::LSTM", options); }

std::tuple<at::Tensor, std::tuple<at::Tensor, at::Tensor>> LSTMImpl::forward(
    const at::Tensor& input, const at::Tensor& lengths) {
  const Pass pass = next_pass(is_training(), options.seed(), step);
  const RecurrentOutput out =
      recurrent(input, lengths, weights, to_recurrent(options, Cell::kLstm), pass);
  return {out.output, {at::stack(out.h_n), at::stack(out.c_n)}};
}

GRUImpl::GRUImpl(const GRUOptions& given) : options(given) { reset(); }

void GRUImpl::reset() {
  const RecurrentOptions o = to_recurrent(options, Cell::kGru);
  check(o, "attend::nn::GRU");
  weights = recurrent_weights(o, options.seed());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    CellWeights& w = weights[i];
    w.weight_ih = register_parameter("weight_ih" + cell_suffix(i, o), w.weight_ih);
    w.weight_hh = register_parameter("weight_hh" + cell_suffix(i, o), w.weight_hh);
    w.bias = register_parameter("bias_ih" + cell_suffix(i, o), w.bias);
    w.bias_hh = register_parameter("bias_hh" + cell_suffix(i, o), w.bias_hh);
  }
}

void GRUImpl::pretty_print(std::ostream& stream) const { print(stream, "attend::GRU", options); }

std::tuple<at::Tensor, at::Tensor> GRUImpl::forward(const at::Tensor& input,
                                                    const at::Tensor& lengths) {
  const Pass pass = next_pass(is_training(), options.seed(), step);
  const RecurrentOutput out =
      recurrent(input, lengths, weights, to_recurrent(options, Cell::kGru), pass);
  return {out.output, at::stack(out.h_n)};
}

AttentionPoolImpl::AttentionPoolImpl(const AttentionPoolOptions& given) : options(given) {
  reset();
}

void AttentionPoolImpl::reset() {
  if (options.width() < 1 || options.positions() < 1)
    fail_usage("attend::nn::AttentionPool: width and positions must be at least 1");
  Random random(options.seed(), Purpose::kInit, 1);
  weight = register_parameter("weight", normal({options.width()}, 0.05, random));
  bias = register_parameter("bias", at::zeros({options.positions()}));
}

void AttentionPoolImpl::pretty_print(std::ostream& stream) const {
  stream << "attend::AttentionPool(width=" << options.width()
         << ", positions=" << options.positions() << ")";
}

std::tuple<at::Tensor, at::Tensor> AttentionPoolImpl::forward(const at::Tensor& value,
                                                              const at::Tensor& lengths) {
  const std::int64_t steps = value.dim() == 3 ? value.size(1) : 0;
  if (steps > options.positions())
    fail_usage("attend::nn::AttentionPool: value has " + std::to_string(steps) +
               " positions, the layer has " + std::to_string(options.positions()));
  return pool(value, weight, bias.narrow(0, 0, steps), lengths);
}

}  // namespace attend::nn
