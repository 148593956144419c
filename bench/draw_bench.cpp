// A training step of DRAW's time loop (forward, bound, every gradient) beside its definition in eager libtorch: at::lstm_cell,
// filter banks composed of ATen ops, autograd through all of it. Parameters, bound and data are the same on both sides.
#include <ATen/TensorOperators.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>

#include "attend/ops/draw.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

using Loop = decltype(&draw);

struct DrawProblem {
  explicit DrawProblem(const DrawCase& c) {
    options.attention = c.attention;
    const std::int64_t read = 2 * (c.attention ? 4 : 784), patch = c.attention ? 25 : 784;
    const auto leaf = [&](at::IntArrayRef sizes, std::int64_t inputs) {
      leaves.push_back(at::randn(sizes)
                           .mul_(0.5 / std::sqrt(static_cast<double>(inputs)))
                           .set_requires_grad(true));
      return leaves.back();
    };
    const std::int64_t h = c.hidden, z = c.latent;
    weights.canvas = leaf({1, 28, 28}, 1);
    weights.encoder_hidden = leaf({h}, h), weights.encoder_cell = leaf({h}, h);
    weights.decoder_hidden = leaf({h}, h), weights.decoder_cell = leaf({h}, h);
    weights.encoder_ih = leaf({4 * h, read + h}, read + h);
    weights.encoder_hh = leaf({4 * h, h}, h), weights.encoder_bias = leaf({4 * h}, h);
    weights.latent = leaf({2 * z, h}, h), weights.latent_bias = leaf({2 * z}, h);
    weights.decoder_ih = leaf({4 * h, z}, z), weights.decoder_hh = leaf({4 * h, h}, h);
    weights.decoder_bias = leaf({4 * h}, h);
    weights.write = leaf({patch + (c.attention ? 10 : 0), h}, h);
    weights.write_bias = leaf({patch + (c.attention ? 10 : 0)}, h);
    image = at::rand({c.batch, 1, 28, 28}).round();
    noise = at::randn({c.steps, c.batch, z});
  }

  void train(Loop loop) const {
    const DrawResult r = loop(image, noise, weights, options);
    const at::Tensor kl =
        0.5 * (r.mean * r.mean + at::exp(2 * r.log_sigma) - 2 * r.log_sigma - 1).sum();
    const at::Tensor bound =
        at::binary_cross_entropy_with_logits(r.canvas, image, {}, {}, 2 /* sum */) + kl;
    torch::autograd::grad({bound}, leaves);
  }

  DrawWeights weights;
  DrawOptions options;
  std::vector<at::Tensor> leaves;
  at::Tensor image, noise;
};

Case make_case(const DrawCase& c) {
  Case row;
  row.op = c.attention ? "draw" : "draw_no_attention";
  row.shape = {{"B", c.batch}, {"T", c.steps}, {"H", c.hidden}, {"Z", c.latent}};
  row.peer = "composition";
  const double h = static_cast<double>(c.hidden), z = static_cast<double>(c.latent);
  // Without attention x's half of the read is one product for all steps, and needs no gradient of its input.
  const double read = c.attention ? 8 : 784, write = c.attention ? 35 : 784;
  const double products = 4 * h * (read + 2 * h) + 2 * z * h + 4 * h * (z + h) + write * h;
  row.flops = 3 * 2 * static_cast<double>(c.batch * c.steps) * products;
  row.prepare = [=] {
    const auto p = std::make_shared<DrawProblem>(c);
    return Runs{[p] { p->train(&draw); }, [p] { p->train(&compose::draw); }};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const DrawCase& c : kDrawCases) rows.push_back(make_case(c));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
