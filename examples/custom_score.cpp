#include <ATen/ops/tensor.h>
#include <attend/ops/custom_score.h>

#include <cmath>
#include <iostream>

// An f(Q, K) of one's own: the score cannot exceed `cap`, and each step away from the query costs a half.
struct CappedNear {
  double cap = 2;
  template <class T>
  T operator()(T s, attend::ScorePlace at) const {
    return T(cap) * std::tanh(s / T(cap)) - T(0.5) * T(std::abs(at.query - at.key));
  }
  template <class T>
  T slope(T s, attend::ScorePlace) const {
    const T t = std::tanh(s / T(cap));
    return 1 - t * t;
  }
};

int main() {
  const at::Tensor query = at::tensor({2.0, 0.0}).view({1, 1, 1, 2}).set_requires_grad(true);
  const at::Tensor key = at::tensor({1.0, 0.0, 0.0, 1.0, 2.0, 0.0}).view({1, 1, 3, 2});
  const at::Tensor value = at::tensor({10.0, 20.0, 30.0}).view({1, 1, 3, 1});
  attend::AttentionOptions options;
  options.need_weights = true;
  const auto [output, weights] = attend::custom_score(query, key, value, CappedNear{}, options);
  output.sum().backward();
  std::cout << std::fixed;
  std::cout.precision(4);
  for (int j = 0; j < 3; ++j) std::cout << "weight " << weights[0][0][0][j].item<double>() << '\n';
  std::cout << "output " << output.item<double>() << '\n';
  std::cout << "gradient " << query.grad()[0][0][0][0].item<double>() << '\n';
}
