#include <ATen/ops/rand.h>
#include <attend/ops/pool.h>

#include <iostream>

int main() {
  const at::Tensor states = at::rand({8, 30, 64}), score_weight = at::rand({64});
  const auto [context, weights] = attend::pool(states, score_weight);
  std::cout << context.sizes() << " from weights " << weights.sizes() << '\n';
}
