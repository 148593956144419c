#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <attend/ops/decoder_step.h>

#include <iostream>

int main() {
  // The example that docs/mechanisms/decoder_step.md works out by hand: two source words, a GRU of one unit.
  const at::Tensor gates = at::zeros({1, 3}, at::kDouble);  // what the token adds: nothing
  const at::Tensor state = at::tensor({0.5}).view({1, 1});
  const at::Tensor key = at::tensor({0.5, -0.5}).view({1, 2, 1});
  const at::Tensor value = at::tensor({1.0, -1.0}).view({1, 2, 1});
  attend::DecoderStepWeights weights;
  weights.query = at::tensor({1.0}).view({1, 1});
  weights.score = at::tensor({2.0});
  weights.context = at::tensor({0.0, 0.0, 1.0}).view({3, 1});  // r, z, n
  weights.hidden = at::zeros({3, 1}, at::kDouble);
  attend::DecoderStepOptions options;
  options.need_weights = true;
  // Once for the sentence; then a step for each target word.
  const auto keys = attend::prepare_additive_keys(key);
  const auto packed = attend::prepare_decoder_step(weights, options.cell);
  const auto step = attend::decoder_step(gates, state, keys, value, packed, options);
  std::cout.precision(4);
  std::cout << "weights " << step.weights[0][0].item<double>() << ' '
            << step.weights[0][1].item<double>() << ", context "
            << step.context[0][0].item<double>() << ", state " << step.state[0][0].item<double>()
            << '\n';
}
