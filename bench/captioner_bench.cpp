// A training step of "Show, Attend and Tell" from annotations that are there already, beside the same equations as a user of
// libtorch writes them: linear, tanh, softmax, bmm, lstm_cell, cross-entropy. Forward, backward, every gradient.
#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/lstm_cell.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>
#include <memory>

#include "attend/base/error.h"
#include "attend/models/captioner.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

models::CaptionerConfig captioner_config(const CaptionerCase& c) {
  models::CaptionerConfig out;
  out.vocabulary = c.words, out.max_length = c.length, out.annotation_width = c.width;
  out.embedding_width = c.width, out.hidden = c.hidden, out.attention_width = c.width;
  return out;
}

struct CaptionStep {
  explicit CaptionStep(const CaptionerCase& c)
      : model(models::make_captioner(captioner_config(c), 1)) {
    annotations = at::randn({c.batch, c.places, c.width});
    tokens = at::randint(models::kEnd + 1, c.words, {c.batch, c.length + 1}, at::kLong);
    for (const auto& [name, x] : model->parameters()) leaves.push_back(p[name] = x);
    input_weight = at::cat({p.at("lstm.weight_ih"), p.at("lstm.weight_ch")}, 1)
                       .detach()
                       .set_requires_grad(true);
    no_bias = at::zeros({4 * c.hidden});
    for (const auto& [name, x] : p)
      if (name != "lstm.weight_ih" && name != "lstm.weight_ch") their_leaves.push_back(x);
    their_leaves.push_back(input_weight);
  }

  /// What is timed must be one and the same.
  void check() {
    const models::CaptionLoss loss = model->loss(annotations, tokens, models::Pass{});
    const double a = (loss.words + loss.penalty).item<double>(), b = theirs_loss().item<double>();
    if (!(std::abs(a - b) <= 1e-4 * std::abs(b)))
      throw Error(ErrorKind::kFailure, "captioner: the two losses differ");
  }

  void ours() {
    const models::CaptionLoss loss = model->loss(annotations, tokens, models::Pass{});
    torch::autograd::grad({loss.words + loss.penalty}, leaves);
  }

  at::Tensor theirs_loss() const {
    const std::int64_t steps = tokens.size(1) - 1;
    const at::Tensor key = at::linear(annotations, p.at("attention.key.weight"),
                                      p.at("attention.key.bias")),
                     mean = annotations.mean({1}),
                     words = at::embedding(p.at("embedding.weight"), tokens.narrow(1, 0, steps));
    at::Tensor h = at::tanh(
                   at::linear(mean, p.at("initial.hidden.weight"), p.at("initial.hidden.bias"))),
               s = at::tanh(
                   at::linear(mean, p.at("initial.memory.weight"), p.at("initial.memory.bias")));
    std::vector<at::Tensor> states, contexts, maps;
    for (std::int64_t t = 0; t < steps; ++t) {
      const at::Tensor query = at::linear(h, p.at("attention.query.weight")).unsqueeze(1);
      const at::Tensor map =
          at::softmax(at::matmul(at::tanh(key + query), p.at("attention.score.weight")), -1);
      const at::Tensor gate =
          at::sigmoid(at::matmul(h, p.at("gate.weight")) + p.at("gate.bias")).unsqueeze(1);
      const at::Tensor z = gate * at::bmm(map.unsqueeze(1), annotations).squeeze(1);
      std::tie(h, s) = at::lstm_cell(at::cat({words.select(1, t), z}, 1), {h, s}, input_weight,
                                     p.at("lstm.weight_hh"), p.at("lstm.bias"), no_bias);
      states.push_back(h), contexts.push_back(z), maps.push_back(map);
    }
    const at::Tensor readout =
        at::tanh(words + at::linear(at::stack(states, 1), p.at("readout.state.weight")) +
                 at::linear(at::stack(contexts, 1), p.at("readout.context.weight")));
    const at::Tensor logits =
        at::linear(readout.flatten(0, 1), p.at("output.weight"), p.at("output.bias"));
    const at::Tensor missing = 1 - at::stack(maps, 1).sum(1);
    return at::cross_entropy_loss(logits, tokens.narrow(1, 1, steps).reshape({-1}), {},
                                  at::Reduction::Sum) +
           (missing * missing).sum();
  }
  void theirs() const { torch::autograd::grad({theirs_loss()}, their_leaves); }

  std::unique_ptr<models::Captioner> model;
  std::map<std::string, at::Tensor> p;
  std::vector<at::Tensor> leaves, their_leaves;
  at::Tensor annotations, tokens, input_weight, no_bias;
};

Case captioner_case(const CaptionerCase& c) {
  Case row;
  row.op = "captioner";
  row.shape = {{"B", c.batch},  {"L", c.places}, {"D", c.width},
               {"H", c.hidden}, {"V", c.words},  {"T", c.length}};
  row.peer = "composition";
  row.prepare = [=] {
    const auto step = std::make_shared<CaptionStep>(c);
    step->check();
    return Runs{[step] { step->ours(); }, [step] { step->theirs(); }};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const CaptionerCase& c : kCaptionerCases) rows.push_back(captioner_case(c));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
