#include <ATen/ops/tensor.h>
#include <attend/ops/vocabulary_loss.h>

#include <iostream>

int main() {
  // The example that docs/mechanisms/vocabulary_loss.md works out by hand: one position of width 2, a vocabulary of three words.
  const at::Tensor input = at::tensor({1.0, 2.0}).view({1, 2}).set_requires_grad(true);
  const at::Tensor weight = at::tensor({1.0, 0.0, 0.0, 1.0, -1.0, 0.0}).view({3, 2});
  const at::Tensor target = at::tensor({0}, at::kLong);
  const at::Tensor loss = attend::vocabulary_loss(input, weight, {}, target);
  loss.backward();
  std::cout.precision(5);
  std::cout << "loss " << loss.item<double>() << '\n';
  std::cout
      << "smoothed "
      << attend::vocabulary_loss(input, weight, {}, target, {.label_smoothing = 0.3}).item<double>()
      << '\n';
  std::cout << std::fixed;
  std::cout.precision(4);
  for (int c = 0; c < 2; ++c) std::cout << "gradient " << input.grad()[0][c].item<double>() << '\n';
  const at::Tensor next =
      attend::vocabulary_log_probabilities(input, weight).exp();  // for decoding
  for (int j = 0; j < 3; ++j) std::cout << "probability " << next[0][j].item<double>() << '\n';
}
