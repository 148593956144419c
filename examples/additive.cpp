#include <ATen/ops/tensor.h>
#include <attend/ops/additive.h>

#include <iostream>

int main() {
  // The example that docs/mechanisms/additive.md works out by hand: two source words, then two decoder steps over them.
  const at::Tensor key = at::tensor({0.5, -0.5, -1.0, 1.0}).view({1, 2, 2});
  const at::Tensor value = at::tensor({10.0, 20.0}).view({1, 2, 1});
  const at::Tensor score_weight = at::tensor({1.0, -1.0});
  const at::Tensor queries = at::tensor({0.5, 0.0, -0.5, 1.0}).view({1, 2, 2});
  const attend::AdditiveKeys keys = attend::prepare_additive_keys(key);  // once for the sentence
  attend::AttentionOptions options;
  options.need_weights = true;
  std::cout.precision(4);
  std::cout << std::fixed;
  for (int step = 0; step < 2; ++step) {
    const auto [context, weights] =
        attend::additive(queries.narrow(1, step, 1), keys, value, score_weight, options);
    std::cout << "weights " << weights[0][0][0].item<double>() << ' '
              << weights[0][0][1].item<double>() << ", context " << context[0][0][0].item<double>()
              << '\n';
  }
}
