#include <ATen/core/grad_mode.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <attend/nn/transformer.h>

#include <algorithm>
#include <cstdio>

using attend::nn::TransformerLayerOptions;

void print(const char* name, const at::Tensor& row) {
  std::printf("%s", name);
  for (int i = 0; i < row.numel(); ++i) std::printf(" %.4f", row[i].item<double>());
  std::printf("\n");
}

int main() {
  const at::NoGradGuard no_grad;
  print("position 2:", attend::nn::sinusoidal_positions(1, 4, 2)[0]);

  // One token (1, 2, 6); an attention that adds nothing, a feed-forward layer that is max(x, 0).
  for (const bool norm_first : {false, true}) {
    attend::nn::TransformerEncoderLayer layer(
        TransformerLayerOptions(3, 1).dim_feedforward(3).norm_first(norm_first));
    layer->eval();
    layer->self_attn->out_proj->weight.zero_();
    layer->linear1->weight.copy_(at::eye(3)), layer->linear1->bias.zero_();
    layer->linear2->weight.copy_(at::eye(3)), layer->linear2->bias.zero_();
    print(norm_first ? "pre-norm:" : "post-norm:",
          layer->forward(at::tensor({1.0f, 2.0f, 6.0f}).view({1, 1, 3}))[0][0]);
  }

  // A decoder, word by word with a cache and in one pass.
  attend::nn::TransformerDecoder decoder(
      attend::nn::TransformerDecoderOptions(TransformerLayerOptions(16, 4).dim_feedforward(32), 2));
  decoder->eval();
  const at::Tensor target = at::randn({1, 5, 16}), memory = at::randn({1, 7, 16});
  const at::Tensor all = decoder->forward(target, memory);
  attend::nn::DecoderCache cache;
  double difference = 0;
  for (int t = 0; t < 5; ++t) {
    const at::Tensor word = decoder->forward(target.narrow(1, t, 1), memory, {}, &cache);
    difference = std::max(difference, (word - all.narrow(1, t, 1)).abs().max().item<double>());
  }
  std::printf("word by word differs by less than 1e-5: %s\n", difference < 1e-5 ? "yes" : "no");

  attend::nn::AttentionCapture capture;
  attend::nn::DecoderPass pass;
  pass.capture = &capture;
  decoder->forward(target, memory, pass);
  std::printf("captured %zu matrices of 4 heads\n", capture.entries.size());
}
