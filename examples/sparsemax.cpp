#include <ATen/ops/tensor.h>
#include <attend/ops/sparsemax.h>

#include <iostream>

// The example that docs/mechanisms/sparsemax.md works out by hand: one query, three keys with scores 1, 0.8 and 0.1.
int main() {
  const at::Tensor query = at::tensor({1.0}).view({1, 1, 1, 1});
  const at::Tensor key = at::tensor({1.0, 0.8, 0.1}).view({1, 1, 3, 1});
  const at::Tensor value = at::tensor({10.0, 20.0, 30.0}).view({1, 1, 3, 1});
  attend::AttentionOptions options;
  options.need_weights = true;
  const auto [output, weights] = attend::sparsemax(query, key, value, options);
  const auto [soft_output, soft_weights] = attend::sdpa(query, key, value, options);
  std::cout << std::fixed;
  std::cout.precision(4);
  for (int j = 0; j < 3; ++j)
    std::cout << "key " << j << " sparsemax " << weights[0][0][0][j].item<double>() << " softmax "
              << soft_weights[0][0][0][j].item<double>() << '\n';
  std::cout << "output " << output.item<double>() << " and " << soft_output.item<double>() << '\n';
}
