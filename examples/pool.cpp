#include <ATen/ops/tensor.h>
#include <attend/ops/pool.h>

#include <iostream>

int main() {
  // The example that docs/mechanisms/pool.md works out by hand: one sentence, three states of width 2.
  const at::Tensor value = at::tensor({1.0, 0.0, 0.0, 1.0, 1.0, 1.0}).view({1, 3, 2});
  const at::Tensor score_weight = at::tensor({0.5, -0.5});
  const auto [context, weights] = attend::pool(value, score_weight);
  std::cout.precision(4);
  for (int t = 0; t < 3; ++t) std::cout << "weight " << weights[0][t].item<double>() << '\n';
  for (int c = 0; c < 2; ++c) std::cout << "context " << context[0][c].item<double>() << '\n';
}
