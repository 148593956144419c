#pragma once
#include <ATen/core/Tensor.h>

#include <memory>

namespace attend::nn {

/// x Wᵀ with one W at every step of a recurrent decoder, for training: made once for a batch and called at each step.
///   const StepLinear recurrent(weight_hh);
///   for (std::int64_t t = 0; t < T; ++t) state = cell(gates.select(1, t) + recurrent(state));
/// What at::linear would compute, but W is laid out for the product once instead of T times, and its gradient is one product of
/// all steps, which autograd would make T products and T sums of W's size. weight [O,I], x [..., I] → [..., O]; float and double
/// on the CPU, otherwise (and where nothing is differentiated) at::linear itself. One backward pass of a graph at a time;
/// no second derivative (Error(kUsage)). W must not change in place between the calls and backward. Memory: two copies of W and
/// all x and their gradients until backward ends. Copies share what they hold.
class StepLinear {
 public:
  explicit StepLinear(const at::Tensor& weight);
  at::Tensor operator()(const at::Tensor& x) const;

  struct Tape;

 private:
  at::Tensor weight_, ticket_;
  std::shared_ptr<Tape> tape_;
};

}  // namespace attend::nn
