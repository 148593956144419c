#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <attend/ops/local.h>

#include <iostream>

// The example that docs/mechanisms/local.md works out by hand: five keys, a centre between the second and the third.
int main() {
  const at::Tensor query = at::ones({1, 1, 1}, at::kDouble);
  const at::Tensor key = at::tensor({0.0, 1.0, 2.0, 1.0, 5.0}).view({1, 5, 1});
  const at::Tensor value = at::tensor({10.0, 20.0, 30.0, 40.0, 50.0}).view({1, 5, 1});
  const at::Tensor centre = at::tensor({1.4}, at::kDouble).view({1, 1}).set_requires_grad(true);
  attend::LocalOptions options;
  options.window = 2;
  options.need_weights = true;
  const auto [output, weights] = attend::local(query, key, value, centre, options);
  output.sum().backward();
  std::cout << std::fixed;
  std::cout.precision(4);
  for (int j = 0; j < 5; ++j) std::cout << "weight " << weights[0][0][j].item<double>() << '\n';
  std::cout << "output " << output.item<double>() << '\n';
  std::cout << "gradient of the centre " << centre.grad().item<double>() << '\n';
}
