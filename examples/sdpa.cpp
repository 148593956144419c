#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <attend/ops/attention.h>

#include <iostream>

// The examples that docs/mechanisms/sdpa.md works out by hand.
int main() {
  std::cout << std::fixed;
  std::cout.precision(4);
  attend::AttentionOptions options;
  options.need_weights = true;

  // Three values, and keys whose scores are the logarithms of 0.2, 0.5 and 0.3.
  const at::Tensor query = at::ones({1, 1, 1, 1}, at::kDouble);
  const at::Tensor key = at::tensor({0.2, 0.5, 0.3}).log().view({1, 1, 3, 1});
  const at::Tensor value = at::tensor({10.0, 20.0, 30.0}).view({1, 1, 3, 1});
  const auto [output, weights] = attend::sdpa(query, key, value, options);
  for (int j = 0; j < 3; ++j) std::cout << "weight " << weights[0][0][0][j].item<double>() << '\n';
  std::cout << "output " << output.item<double>() << '\n';

  // Three heads: width 6 is cut into three of width 2, and each head looks for itself.
  const auto heads = [](const at::Tensor& rows) {
    return rows.view({1, -1, 3, 2}).transpose(1, 2);
  };  // [1,L,6] -> [1,3,L,2]
  const at::Tensor q = at::tensor({2.0, 0.0, 0.0, 2.0, 1.0, 1.0}).view({1, 1, 6});
  const at::Tensor k =
      at::tensor({1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0}).view({1, 2, 6});
  const at::Tensor v =
      at::cat({at::ones({1, 1, 6}, at::kDouble), 3 * at::ones({1, 1, 6}, at::kDouble)}, 1);
  const auto [parts, looks] = attend::sdpa(heads(q), heads(k), heads(v), options);
  for (int h = 0; h < 3; ++h)
    std::cout << "head " << h << " weights " << looks[0][h][0][0].item<double>() << ' '
              << looks[0][h][0][1].item<double>() << " output " << parts[0][h][0][0].item<double>()
              << '\n';
}
