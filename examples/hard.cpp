#include <ATen/TensorOperators.h>
#include <ATen/ops/log.h>
#include <ATen/ops/tensor.h>
#include <attend/ops/hard.h>

#include <cmath>
#include <iostream>

// The example that docs/mechanisms/hard.md works out by hand: the probabilities 0.2, 0.5, 0.3 over three values.
int main() {
  const at::Tensor scores = at::tensor({0.2, 0.5, 0.3}).log().view({1, 1, 3});
  const at::Tensor value = at::tensor({10.0, 20.0, 30.0}).view({1, 3, 1});
  attend::HardOptions options;
  options.attention.seed = 1;
  const attend::HardResult once = attend::hard(scores, value, options);
  const bool is_a_value = (value[0] == once.output[0]).any().item<bool>();
  std::cout << std::fixed;
  std::cout.precision(4);
  std::cout << "one of the three " << (is_a_value ? "yes" : "no") << '\n';
  std::cout << "entropy " << once.entropy.item<double>() << '\n';
  std::cout << "penalty " << attend::doubly_stochastic_penalty(once.weights).item<double>() << '\n';

  // Twenty thousand choices, each with noise of its own: on average the soft answer.
  const at::Tensor many = attend::hard(scores.expand({1, 20000, 3}), value, options).output;
  std::cout << "mean of 20000 within 0.2 of 21: "
            << (std::abs(many.mean().item<double>() - 21) < 0.2 ? "yes" : "no") << '\n';
}
