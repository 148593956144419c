// One position of a recurrent decoder with additive attention, beside the same step of libtorch's cells: a step as one writes it,
// with the token's product inside, keys projected beforehand on both sides.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gru_cell.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/lstm_cell.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>

#include "attend/ops/decoder_step.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

struct StepProblem {
  StepProblem(const DecoderStepCase& c, DecoderCell cell_) : cell(cell_) {
    const std::int64_t b = c.batch, h = c.hidden, gh = gates() * h;
    const auto leaf = [](at::IntArrayRef sizes, double scale) {
      return at::randn(sizes, at::kFloat).mul_(scale).set_requires_grad(true);
    };
    const double narrow = 1 / std::sqrt(static_cast<double>(h));
    token = leaf({b, h}, 1), state = leaf({b, h}, 1), memory = leaf({b, h}, 1);
    key = leaf({b, c.keys, h}, 1), value = leaf({b, c.keys, h}, 1);
    query = leaf({h, h}, narrow), score = leaf({h}, narrow);
    from_token = leaf({gh, h}, narrow), from_context = leaf({gh, h}, narrow);
    hidden = leaf({gh, h}, narrow), bias_input = leaf({gh}, narrow), bias = leaf({gh}, narrow);
    both = at::cat({from_token, from_context}, 1).detach().set_requires_grad(true);
    cotangent = at::randn({b, h}, at::kFloat);
    prepared_key = prepare_additive_keys(key.detach());
    packed = prepare_decoder_step({query, score, from_context, hidden, bias, {}}, cell);
  }
  std::int64_t gates() const { return cell == DecoderCell::kLstm ? 4 : 3; }

  at::Tensor ours() const {
    DecoderStepOptions o;
    o.cell = cell;
    if (cell == DecoderCell::kLstm) o.memory = memory;
    const AdditiveKeys keys{key, prepared_key.prepared};
    return decoder_step(at::linear(token, from_token, bias_input), state, keys, value, packed, o)
        .state;
  }
  at::Tensor theirs() const {
    const at::Tensor e =
        at::matmul(at::tanh(at::linear(state, query).unsqueeze(1) + key), score);  // [B,Lk]
    const at::Tensor context =
        at::matmul(at::softmax(e, 1).unsqueeze(1), value).squeeze(1);  // [B,H]
    const at::Tensor x = at::cat({token, context}, 1);
    return cell == DecoderCell::kLstm
               ? std::get<0>(at::lstm_cell(x, {state, memory}, both, hidden, bias_input, bias))
               : at::gru_cell(x, state, both, hidden, bias_input, bias);
  }
  void backward(const at::Tensor& from, bool ours) const {
    torch::autograd::variable_list in{token, state,  key,        value, query,
                                      score, hidden, bias_input, bias};
    if (ours)
      in.push_back(from_token), in.push_back(from_context);
    else
      in.push_back(both);
    torch::autograd::grad({from}, in, {cotangent}, /*retain_graph=*/true);
  }

  DecoderCell cell;
  at::Tensor token, state, memory, key, value, query, score, from_token, from_context, both, hidden,
      bias_input, bias, cotangent;
  AdditiveKeys prepared_key;
  DecoderStepWeights packed;
};

std::function<void()> step_side(const std::shared_ptr<StepProblem>& p, bool ours,
                                Direction direction) {
  const auto output = [p, ours] { return ours ? p->ours() : p->theirs(); };
  if (direction == Direction::kForwardBackward)
    return [p, output, ours] { p->backward(output(), ours); };
  return [output] {
    const at::NoGradGuard off;
    output();
  };
}

Case step_case(const DecoderStepCase& c, DecoderCell cell, Direction direction) {
  Case row;
  row.op = cell == DecoderCell::kLstm ? "decoder_step_lstm" : "decoder_step_gru";
  row.direction = direction;
  row.shape = {{"B", c.batch}, {"H", c.hidden}, {"Lk", c.keys}};
  row.peer = "libtorch";
  const auto h = static_cast<double>(c.hidden), b = static_cast<double>(c.batch);
  const double gates = cell == DecoderCell::kLstm ? 4 : 3;
  row.flops = 2 * b * h * h * (1 + 3 * gates) * (direction == Direction::kForward ? 1 : 3);
  // The weights are read once forward and once backward, and their gradients written.
  row.bytes = 4 * h * h * (1 + 3 * gates) * (direction == Direction::kForward ? 1 : 3);
  row.prepare = [=] {
    const auto p = std::make_shared<StepProblem>(c, cell);
    return Runs{step_side(p, true, direction), step_side(p, false, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const DecoderStepCase& c : kDecoderStepCases)
    for (const DecoderCell cell : {DecoderCell::kGru, DecoderCell::kLstm})
      for (const Direction d : {Direction::kForward, Direction::kForwardBackward})
        rows.push_back(step_case(c, cell, d));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
