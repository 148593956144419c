// The LSTM layer beside libtorch's, end to end through autograd; with masks, which libtorch's lacks, beside its
// composition; and the bare kernels beside the op, which shows what checks, allocation and autograd cost.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/lstm.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <memory>

#include "attend/base/threads.h"
#include "attend/kernels/lstm.h"
#include "attend/ops/lstm.h"
#include "cases.h"
#include "harness.h"

namespace attend::bench {
namespace {

enum class Layer { kOurs, kTorch, kComposition };

struct Problem {
  Problem(const LstmCase& c, at::ScalarType dtype, bool masks) {
    const auto options = at::TensorOptions(dtype);
    const double scale = 1 / std::sqrt(static_cast<double>(c.hidden));
    const auto leaf = [](at::Tensor t) { return t.set_requires_grad(true); };
    input = leaf(at::randn({c.batch, c.time, c.input}, options));
    weight_ih = leaf(at::randn({4 * c.hidden, c.input}, options).mul_(scale));
    weight_hh = leaf(at::randn({4 * c.hidden, c.hidden}, options).mul_(scale));
    bias = leaf(at::randn({4 * c.hidden}, options));
    second_bias = at::zeros({4 * c.hidden}, options);  // libtorch has two; only one learns here
    state = at::zeros({1, c.batch, c.hidden}, options);
    cotangent = at::randn({c.batch, c.time, c.hidden}, options);
    if (!masks) return;
    with.input_mask = at::rand({c.batch, c.input}, options).gt(0.3).to(dtype).div_(0.7);
    with.recurrent_mask = at::rand({c.batch, c.hidden}, options).gt(0.2).to(dtype).div_(0.8);
  }

  at::Tensor output(Layer layer) const {
    if (layer == Layer::kTorch)
      return std::get<0>(at::lstm(input, {state, state}, {weight_ih, weight_hh, bias, second_bias},
                                  true, 1, 0.0, true, false, true));
    const auto f = layer == Layer::kOurs ? &lstm : &compose::lstm;
    return std::get<0>(f(input, weight_ih, weight_hh, bias, with));
  }
  void forward(Layer layer) const {
    const at::NoGradGuard off;
    output(layer);
  }
  void backward(const at::Tensor& from) const {
    torch::autograd::grad({from}, {input, weight_ih, weight_hh, bias}, {cotangent},
                          /*retain_graph=*/true);
  }

  at::Tensor input, weight_ih, weight_hh, bias, second_bias, state, cotangent;
  LstmOptions with;
};

std::function<void()> one_side(const std::shared_ptr<Problem>& p, Layer layer,
                               Direction direction) {
  switch (direction) {
    case Direction::kForward:
      return [p, layer] { p->forward(layer); };
    case Direction::kBackward:
      return [p, kept = p->output(layer)] { p->backward(kept); };
    default:
      return [p, layer] { p->backward(p->output(layer)); };
  }
}

/// The kernels alone, on memory that is there already.
class Kernels {
 public:
  explicit Kernels(const std::shared_ptr<Problem>& p)
      : p_(p),
        plan_({p->input.size(0), p->input.size(1), p->input.size(2), p->weight_hh.size(1)}, nullptr,
              false, threads()),
        output_(p->cotangent.size(0) * p->cotangent.size(1) * p->cotangent.size(2)),
        input_(p->input.numel()),
        weight_ih_(p->weight_ih.numel()),
        weight_hh_(p->weight_hh.numel()),
        bias_(p->bias.numel()),
        h_(p->state.numel()),
        c_(p->state.numel()),
        saved_(plan_.saved_size()),
        workspace_(std::max(plan_.forward_workspace_size(true), plan_.backward_workspace_size())) {}

  void run() {
    const std::int64_t steps = p_->input.size(1), input = p_->input.size(2),
                       hidden = p_->weight_hh.size(1);
    kernels::LstmForward<float> f;
    f.weights.weight_ih = p_->weight_ih.const_data_ptr<float>();
    f.weights.weight_hh = p_->weight_hh.const_data_ptr<float>();
    f.bias = p_->bias.const_data_ptr<float>();
    f.input = {p_->input.const_data_ptr<float>(), steps * input, input};
    f.output = {output_.data(), steps * hidden, hidden};
    f.h_n = h_.data(), f.c_n = c_.data();
    f.saved = saved_.data(), f.workspace = workspace_.data();
    kernels::lstm_forward(plan_, f);
    kernels::LstmBackward<float> b;
    b.weights = f.weights;
    b.grad_output = {p_->cotangent.const_data_ptr<float>(), steps * hidden, hidden};
    b.saved = saved_.data(), b.workspace = workspace_.data();
    b.grad_input = {input_.data(), steps * input, input};
    b.grad_weight_ih = weight_ih_.data(), b.grad_weight_hh = weight_hh_.data(),
    b.grad_bias = bias_.data();
    kernels::lstm_backward(plan_, b);
  }

 private:
  std::shared_ptr<Problem> p_;
  kernels::LstmPlan plan_;
  std::vector<float> output_, input_, weight_ih_, weight_hh_, bias_, h_, c_, saved_, workspace_;
};

Case make_case(const LstmCase& c, Direction direction, Dtype dtype, const char* op,
               const char* peer) {
  Case row;
  row.op = op;
  row.direction = direction;
  row.shape = {{"B", c.batch}, {"T", c.time}, {"I", c.input}, {"H", c.hidden}};
  row.dtype = dtype;
  row.peer = peer;
  const double forward =
      8.0 * static_cast<double>(c.batch * c.time * c.hidden * (c.input + c.hidden));
  row.flops = forward * (direction == Direction::kForward    ? 1
                         : direction == Direction::kBackward ? 2
                                                             : 3);
  return row;
}

Case layer_case(const LstmCase& c, Direction direction, Dtype dtype, bool masks = false) {
  Case row = make_case(c, direction, dtype, masks ? "lstm_masks" : "lstm",
                       masks ? "composition" : "libtorch");
  row.prepare = [=] {
    const auto p =
        std::make_shared<Problem>(c, dtype == Dtype::kFloat ? at::kFloat : at::kDouble, masks);
    const Layer peer = masks ? Layer::kComposition : Layer::kTorch;
    return Runs{one_side(p, Layer::kOurs, direction), one_side(p, peer, direction)};
  };
  return row;
}

Case kernel_case(const LstmCase& c) {
  Case row =
      make_case(c, Direction::kForwardBackward, Dtype::kFloat, "lstm_kernels", "attend::lstm");
  row.prepare = [c] {
    const auto p = std::make_shared<Problem>(c, at::kFloat, false);
    const auto kernels = std::make_shared<Kernels>(p);
    return Runs{[kernels] { kernels->run(); },
                one_side(p, Layer::kOurs, Direction::kForwardBackward)};
  };
  return row;
}

const Registration kRegistration{[] {
  std::vector<Case> rows;
  for (const LstmCase& c : kLstmCases)
    for (const Direction d :
         {Direction::kForward, Direction::kBackward, Direction::kForwardBackward})
      rows.push_back(layer_case(c, d, Dtype::kFloat));
  rows.push_back(layer_case(kLstmCases[0], Direction::kForwardBackward, Dtype::kDouble));
  rows.push_back(
      layer_case(kLstmCases[0], Direction::kForwardBackward, Dtype::kFloat, /*masks=*/true));
  rows.push_back(kernel_case(kLstmCases[0]));
  rows.push_back(kernel_case(kLstmCases[1]));
  return rows;
}};

}  // namespace
}  // namespace attend::bench
