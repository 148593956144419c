#include <ATen/ops/tensor.h>
#include <attend/ops/multiplicative.h>

#include <iostream>

// The example that docs/mechanisms/multiplicative.md works out by hand: one query, three keys, four scores.
int main() {
  using Score = attend::MultiplicativeScore;
  const at::Tensor query = at::tensor({2.0, 1.0}).view({1, 1, 2});
  const at::Tensor key = at::tensor({1.0, 0.0, 0.0, 1.0, 1.0, 1.0}).view({1, 3, 2});
  const at::Tensor value = at::tensor({10.0, 20.0, 30.0}).view({1, 3, 1});
  const at::Tensor exchange = at::tensor({0.0, 1.0, 1.0, 0.0}).view({2, 2});
  attend::AttentionOptions options;
  options.need_weights = true;
  std::cout << std::fixed;
  std::cout.precision(4);
  const auto show = [&](const char* name, Score score, const at::Tensor& weight) {
    const auto [output, weights] =
        attend::multiplicative(query, key, value, score, weight, options);
    std::cout << name;
    for (int j = 0; j < 3; ++j) std::cout << ' ' << weights[0][0][j].item<double>();
    std::cout << " output " << output.item<double>() << '\n';
  };
  show("dot", Score::kDot, {});
  show("general", Score::kGeneral, exchange);
  show("scaled-dot", Score::kScaledDot, {});
  show("cosine", Score::kCosine, {});
}
