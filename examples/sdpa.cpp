#include <ATen/ops/randn.h>
#include <attend/ops/attention.h>

#include <iostream>

int main() {
  const at::Tensor query = at::randn({2, 8, 5, 64}), key = at::randn({2, 2, 9, 64}),
                   value = at::randn({2, 2, 9, 32});
  attend::AttentionOptions options;
  options.causal = true;
  options.need_weights = true;
  const auto [output, weights] = attend::sdpa(query, key, value, options);
  std::cout << output.sizes() << ' ' << weights.sizes() << '\n';
}
