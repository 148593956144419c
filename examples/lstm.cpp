#include <ATen/ops/tensor.h>
#include <attend/ops/lstm.h>

#include <iostream>

int main() {
  // The example that docs/mechanisms/lstm.md works out by hand: one sequence, two steps, one input, one unit.
  const at::Tensor input = at::tensor({1.0, -1.0}).view({1, 2, 1});
  const at::Tensor weight_ih = at::tensor({1.0, 0.0, 1.0, 1.0}).view({4, 1});  // i, f, g, o
  const at::Tensor weight_hh = at::tensor({0.0, 0.0, 1.0, 0.0}).view({4, 1});
  const at::Tensor bias = at::tensor({0.0, 1.0, 0.0, 0.0});
  const auto [output, h_n, c_n] = attend::lstm(input, weight_ih, weight_hh, bias);
  std::cout.precision(4);
  for (int t = 0; t < 2; ++t) std::cout << "h " << output[0][t][0].item<double>() << '\n';
  std::cout << "c " << c_n[0][0].item<double>() << '\n';
}
