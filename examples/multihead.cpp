#include <ATen/core/grad_mode.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/tensor.h>
#include <attend/nn/multihead_attention.h>

#include <cstdio>

int main() {
  const at::NoGradGuard no_grad;
  const at::Tensor tokens =
      at::tensor({1.0f, 0.0f, 2.0f, 0.0f, 1.0f, 1.0f}).view({1, 2, 3});  // [B,L,C]
  attend::AttentionOptions options;
  options.need_weights = true;
  for (const int heads : {3, 1}) {
    attend::nn::MultiheadAttention attention(attend::nn::MultiheadAttentionOptions(3, heads));
    attention->in_proj_weight.copy_(
        at::eye(3).repeat({3, 1}));  // query, key and value are the token itself
    attention->out_proj->weight.copy_(at::eye(3));
    const auto [output, weights] = attention->forward(tokens, tokens, tokens, options);
    for (int h = 0; h < heads; ++h)
      std::printf("head %d of %d: weights %.4f %.4f\n", h + 1, heads,
                  weights[0][h][0][0].item<double>(), weights[0][h][0][1].item<double>());
    std::printf("output %.4f %.4f %.4f\n", output[0][0][0].item<double>(),
                output[0][0][1].item<double>(), output[0][0][2].item<double>());
  }
}
