#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <attend/ops/multiplicative.h>

#include <iostream>

// The example that docs/mechanisms/location.md works out by hand: where to look, said by the query alone.
int main() {
  const at::Tensor query = at::ones({1, 1, 1}, at::kDouble);
  const at::Tensor value = at::tensor({10.0, 20.0, 30.0}).view({1, 3, 1});
  const at::Tensor weight =
      at::tensor({0.0, 1.0, -1.0, 5.0}).view({4, 1});  // four places; a row of three uses three
  attend::AttentionOptions options;
  options.need_weights = true;
  const auto [output, weights] = attend::location(query, value, weight, options);
  std::cout << std::fixed;
  std::cout.precision(4);
  for (int j = 0; j < 3; ++j) std::cout << "weight " << weights[0][0][j].item<double>() << '\n';
  std::cout << "output " << output.item<double>() << '\n';
}
