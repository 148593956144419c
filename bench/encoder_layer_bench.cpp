// A training step of a whole Transformer encoder layer beside libtorch's module: forward, backward, every gradient. And the
// linear map that most of its time goes to, beside libtorch's.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/transformerlayer.h>

#include <memory>

#include "attend/nn/transformer.h"
#include "attend/ops/linear.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

/// Both layers, in training mode.
struct EncoderLayers {
  EncoderLayers(const EncoderLayerCase& c, double dropout)
      : ours(nn::TransformerEncoderLayerOptions(c.width, c.heads)
                 .dim_feedforward(c.inner)
                 .dropout(dropout)),
        theirs(torch::nn::TransformerEncoderLayerOptions(c.width, c.heads)
                   .dim_feedforward(c.inner)
                   .dropout(dropout)) {
    input = at::randn({c.batch, c.length, c.width}).set_requires_grad(true);
    cotangent = at::randn({c.batch, c.length, c.width});
    input_by_step = input.detach().transpose(0, 1).contiguous().set_requires_grad(
        true);  // libtorch's wants [L,B,C]
    cotangent_by_step = cotangent.transpose(0, 1).contiguous();
  }
  void step_ours() {
    auto wanted = ours->parameters();
    wanted.push_back(input);
    torch::autograd::grad({ours->forward(input)}, wanted, {cotangent});
  }
  void step_theirs() {
    auto wanted = theirs->parameters();
    wanted.push_back(input_by_step);
    torch::autograd::grad({theirs->forward(input_by_step)}, wanted, {cotangent_by_step});
  }
  nn::TransformerEncoderLayer ours;
  torch::nn::TransformerEncoderLayer theirs;
  at::Tensor input, cotangent, input_by_step, cotangent_by_step;
};

Case layer_case(const EncoderLayerCase& c, double dropout) {
  Case row;
  row.op = "encoder_layer";
  row.shape = {{"B", c.batch}, {"L", c.length}, {"C", c.width}, {"H", c.heads}, {"F", c.inner}};
  if (dropout > 0)
    row.shape.emplace_back("dropout_percent", static_cast<std::int64_t>(100 * dropout));
  row.peer = "libtorch";
  const double tokens = static_cast<double>(c.batch * c.length),
               width = static_cast<double>(c.width);
  const double maps = 2 * tokens * width * (4 * width + 2 * static_cast<double>(c.inner));
  const double attention = 4 * tokens * static_cast<double>(c.length) * width;
  row.flops = 3 * maps + 3.5 * attention;  // sdpa's backward is five products to forward's two
  row.prepare = [=] {
    const auto both = std::make_shared<EncoderLayers>(c, dropout);
    return Runs{[both] { both->step_ours(); }, [both] { both->step_theirs(); }};
  };
  return row;
}

struct Product {
  explicit Product(const LinearCase& c) {
    input = at::randn({c.rows, c.input}).set_requires_grad(true);
    weight = at::randn({c.output, c.input}).set_requires_grad(true);
    bias = at::randn({c.output}).set_requires_grad(true);
    cotangent = at::randn({c.rows, c.output});
  }
  at::Tensor ours() const { return attend::linear(input, weight, bias); }
  at::Tensor theirs() const { return at::linear(input, weight, bias); }
  void backward(const at::Tensor& from) const {
    torch::autograd::grad({from}, {input, weight, bias}, {cotangent}, true);
  }
  at::Tensor input, weight, bias, cotangent;
};

Case linear_case(const LinearCase& c, Direction direction) {
  Case row;
  row.op = "linear";
  row.direction = direction;
  row.shape = {{"N", c.rows}, {"I", c.input}, {"O", c.output}};
  row.peer = "libtorch";
  row.flops = (direction == Direction::kForward ? 2.0 : 4.0) *
              static_cast<double>(c.rows * c.input * c.output);
  row.prepare = [=] {
    const auto p = std::make_shared<Product>(c);
    if (direction == Direction::kForward)
      return Runs{[p] {
                    const at::NoGradGuard off;
                    p->ours();
                  },
                  [p] {
                    const at::NoGradGuard off;
                    p->theirs();
                  }};
    return Runs{[p, kept = p->ours()] { p->backward(kept); },
                [p, kept = p->theirs()] { p->backward(kept); }};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const double dropout : {0.0, 0.1})
    for (const EncoderLayerCase& c : kEncoderLayerCases) rows.push_back(layer_case(c, dropout));
  for (const Direction d : {Direction::kForward, Direction::kBackward})
    for (const LinearCase& c : kLinearCases) rows.push_back(linear_case(c, d));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
