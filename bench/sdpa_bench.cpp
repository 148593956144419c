// Scaled dot-product attention beside PyTorch's, self-attention with as many queries as keys.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/csrc/autograd/autograd.h>

#include <memory>

#include "attend/ops/attention.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

using Attention = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool causal);

at::Tensor ours(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, bool causal) {
  AttentionOptions options;
  options.causal = causal;
  return std::get<0>(sdpa(query, key, value, options));
}

at::Tensor theirs(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, bool causal) {
  return at::scaled_dot_product_attention(query, key, value, {}, 0.0, causal);
}

struct Problem {
  explicit Problem(const SdpaCase& c) : causal(c.causal) {
    const auto make = [&] { return at::randn({c.batch, c.heads, c.length, c.width}).set_requires_grad(true); };
    query = make(), key = make(), value = make();
    cotangent = at::randn({c.batch, c.heads, c.length, c.width});
  }
  void forward(Attention f) const {
    const at::NoGradGuard off;
    f(query, key, value, causal);
  }
  at::Tensor output(Attention f) const { return f(query, key, value, causal); }
  void backward(const at::Tensor& from) const {
    torch::autograd::grad({from}, {query, key, value}, {cotangent}, /*retain_graph=*/true);
  }
  at::Tensor query, key, value, cotangent;
  bool causal;
};

std::function<void()> one_side(const std::shared_ptr<Problem>& p, Attention f, Direction direction) {
  if (direction == Direction::kForward) return [p, f] { p->forward(f); };
  return [p, kept = p->output(f)] { p->backward(kept); };
}

Case make_case(const SdpaCase& c, Direction direction) {
  const double scores = static_cast<double>(c.batch * c.heads * c.length) * static_cast<double>(c.length) * (c.causal ? 0.5 : 1);
  const double elements = static_cast<double>(c.batch * c.heads * c.length * c.width);
  const bool forward = direction == Direction::kForward;
  Case row;
  row.op = "sdpa";
  row.direction = direction;
  row.shape = {{"B", c.batch}, {"H", c.heads}, {"L", c.length}, {"D", c.width}};
  if (c.causal) row.shape.emplace_back("causal", 1);
  row.peer = "libtorch";
  row.flops = scores * static_cast<double>(c.width) * (forward ? 4 : 10);   // two products forward, five backward
  row.bytes = elements * 4 * (forward ? 4 : 8);
  row.prepare = [=] {
    const auto p = std::make_shared<Problem>(c);
    return Runs{one_side(p, &ours, direction), one_side(p, &theirs, direction)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const Direction d : {Direction::kForward, Direction::kBackward})
    for (const SdpaCase& c : kSdpaCases) rows.push_back(make_case(c, d));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
