// What a user's program does: call an op, and read the weights it returns.
#include <ATen/ops/rand.h>
#include <ATen/ops/sum.h>
#include <attend/ops/pool.h>

#include <cmath>
#include <cstdio>

int main() {
  const at::Tensor states = at::rand({2, 5, 3}), score_weight = at::rand({3});
  const auto [context, weights] = attend::pool(states, score_weight);
  const double total = weights.sum().item<double>();
  std::printf("context [%ld,%ld], weights sum to %.6f over 2 rows\n", context.size(0),
              context.size(1), total);
  return std::abs(total - 2.0) < 1e-5 ? 0 : 1;
}
