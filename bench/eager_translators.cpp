#include "eager_translators.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/gru.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/lstm.h>
#include <ATen/ops/lstm_cell.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <vector>

namespace attend::bench {

at::Tensor Eager::linear(const at::Tensor& x, const std::string& name) const {
  return at::linear(x, get(name + ".weight"), get(name + ".bias"));
}

at::Tensor Eager::dropped(const at::Tensor& x) const {
  return at::dropout(x, config.dropout, training);
}

at::Tensor Eager::sentence_dropped(const at::Tensor& x) const {
  return training ? x * at::dropout(at::ones({x.size(0), 1, x.size(2)}), config.dropout, true) : x;
}

at::Tensor Eager::loss(const at::Tensor& readout, const at::Tensor& table,
                       const models::TranslationBatch& batch) const {
  const at::Tensor logits = at::linear(readout.flatten(0, 1), table, get("output.bias"));
  return at::cross_entropy_loss(logits, batch.target.narrow(1, 1, readout.size(1)).reshape({-1}),
                                {}, at::Reduction::Sum, -100, 0.1);
}

at::Tensor Eager::norm(const at::Tensor& x, const std::string& name) const {
  return at::layer_norm(x, {x.size(2)}, get(name + ".weight"), get(name + ".bias"));
}

at::Tensor Eager::attend(const at::Tensor& x, const at::Tensor& memory, const std::string& name,
                         bool causal) const {
  const std::int64_t c = x.size(2);
  const at::Tensor w = get(name + ".in_proj_weight"), b = get(name + ".in_proj_bias");
  const auto heads = [&](const at::Tensor& t) {
    return t.unflatten(2, {config.heads, -1}).transpose(1, 2);
  };
  std::vector<at::Tensor> qkv;
  if (x.is_same(memory)) {
    qkv = at::linear(x, w, b).chunk(3, 2);
  } else {
    qkv = at::linear(memory, w.narrow(0, c, 2 * c), b.narrow(0, c, 2 * c)).chunk(2, 2);
    qkv.insert(qkv.begin(), at::linear(x, w.narrow(0, 0, c), b.narrow(0, 0, c)));
  }
  const at::Tensor out = at::scaled_dot_product_attention(
      heads(qkv[0]), heads(qkv[1]), heads(qkv[2]), {}, training ? config.dropout : 0.0, causal);
  return linear(out.transpose(1, 2).flatten(2), name + ".out_proj");
}

at::Tensor Eager::feed_forward(const at::Tensor& x, const std::string& name) const {
  return linear(dropped(at::relu(linear(x, name + ".linear1"))), name + ".linear2");
}

at::Tensor Eager::embedded(const std::string& table, const at::Tensor& ids) const {
  const std::int64_t width = config.embedding_width;
  const at::Tensor x = at::embedding(get(table), ids) * std::sqrt(static_cast<double>(width));
  return dropped(x + positions.narrow(0, 0, ids.size(1)));
}

/// Norm first, as our recipes have it.
at::Tensor Eager::transformer(const models::TranslationBatch& batch) const {
  const std::int64_t steps = batch.target.size(1) - 1;
  at::Tensor x = embedded("encoder.embedding.weight", batch.source);
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string layer = "encoder.layers." + std::to_string(i);
    const at::Tensor seen = norm(x, layer + ".norm1");
    x = x + dropped(attend(seen, seen, layer + ".self_attn", false));
    x = x + dropped(feed_forward(norm(x, layer + ".norm2"), layer));
  }
  const at::Tensor memory = norm(x, "encoder.norm");
  x = embedded("decoder.embedding.weight", batch.target.narrow(1, 0, steps));
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string layer = "decoder.layers." + std::to_string(i);
    const at::Tensor seen = norm(x, layer + ".norm1");
    x = x + dropped(attend(seen, seen, layer + ".self_attn", true));
    x = x + dropped(attend(norm(x, layer + ".norm2"), memory, layer + ".multihead_attn", false));
    x = x + dropped(feed_forward(norm(x, layer + ".norm3"), layer));
  }
  return loss(norm(x, "decoder.norm"), get("output.weight"), batch);
}

at::Tensor Eager::rnnsearch(const models::TranslationBatch& batch) const {
  const std::int64_t b = batch.source.size(0), h = config.hidden, steps = batch.target.size(1) - 1;
  std::vector<at::Tensor> cells;
  for (const char* end : {"_l0", "_l0_reverse"})
    for (const char* what : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"})
      cells.push_back(get(std::string("encoder.gru.") + what + end));
  const at::Tensor source =
      sentence_dropped(at::embedding(get("encoder.embedding.weight"), batch.source));
  const auto [states, last] =
      at::gru(source, at::zeros({2, b, h}), cells, true, 1, 0.0, training, true, true);
  const at::Tensor key = at::linear(states, get("attention.key.weight"));
  const at::Tensor tokens = sentence_dropped(
      at::embedding(get("decoder.embedding.weight"), batch.target.narrow(1, 0, steps)));
  const at::Tensor gates =
      at::linear(tokens, get("decoder.gru.weight_ih"), get("decoder.gru.bias"));
  const at::Tensor hh = get("decoder.gru.weight_hh");
  at::Tensor s = at::tanh(linear(last.select(0, 1), "decoder.initial"));
  std::vector<at::Tensor> before, contexts;
  for (std::int64_t t = 0; t < steps; ++t) {
    const at::Tensor query = linear(s, "attention.query").unsqueeze(1);
    const at::Tensor weights =
        at::softmax(at::matmul(at::tanh(key + query), get("attention.score.weight")), 1);
    const at::Tensor context = at::bmm(weights.unsqueeze(1), states).squeeze(1);
    before.push_back(s), contexts.push_back(context);
    const at::Tensor x = gates.select(1, t) + at::linear(context, get("decoder.gru.weight_ch"));
    const at::Tensor rz =
        at::sigmoid(x.narrow(1, 0, 2 * h) + at::linear(s, hh.narrow(0, 0, 2 * h)));
    const at::Tensor r = rz.narrow(1, 0, h), z = rz.narrow(1, h, h);
    const at::Tensor n =
        at::tanh(x.narrow(1, 2 * h, h) + at::linear(r * s, hh.narrow(0, 2 * h, h)));
    s = (1 - z) * n + z * s;
  }
  const at::Tensor readout =
      at::linear(at::stack(before, 1), get("readout.state.weight"), get("readout.bias")) +
      at::linear(tokens, get("readout.token.weight")) +
      at::linear(at::stack(contexts, 1), get("readout.context.weight"));
  const at::Tensor maxout = std::get<0>(readout.unflatten(-1, {config.embedding_width, 2}).max(-1));
  return loss(sentence_dropped(maxout), get("output.weight"), batch);
}

at::Tensor Eager::luong_local(const models::TranslationBatch& batch) const {
  const std::int64_t b = batch.source.size(0), h = config.hidden, s = batch.source.size(1),
                     steps = batch.target.size(1) - 1;
  const at::Tensor no_bias = at::zeros({4 * h});
  std::vector<at::Tensor> cells, state, memory;
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string end = "_l" + std::to_string(i);
    for (const char* what : {"weight_ih", "weight_hh", "bias"})
      cells.push_back(get(std::string("encoder.lstm.") + what + end));
    cells.push_back(no_bias);
  }
  const at::Tensor source =
      sentence_dropped(at::embedding(get("encoder.embedding.weight"), batch.source));
  const at::Tensor zero = at::zeros({config.layers, b, h});
  const auto [flipped, h_n, c_n] = at::lstm(at::flip(source, {1}), {zero, zero}, cells, true,
                                            config.layers, config.dropout, training, false, true);
  const at::Tensor keys = at::flip(flipped, {1});
  for (std::int64_t i = 0; i < config.layers; ++i)
    state.push_back(h_n.select(0, i)), memory.push_back(c_n.select(0, i));
  const at::Tensor tokens = sentence_dropped(
      at::embedding(get("decoder.embedding.weight"), batch.target.narrow(1, 0, steps)));
  const at::Tensor between =
      training ? at::dropout(at::ones({b, h}), config.dropout, true) : at::Tensor();
  const at::Tensor place = at::arange(s, at::kFloat).unsqueeze(0);
  const double sigma = static_cast<double>(config.window) / 2;
  at::Tensor fed = at::zeros({b, h});
  std::vector<at::Tensor> readouts;
  for (std::int64_t t = 0; t < steps; ++t) {
    at::Tensor x = at::cat({tokens.select(1, t), fed}, 1);
    for (std::size_t i = 0; i < state.size(); ++i) {
      const std::string end = "_l" + std::to_string(i);
      if (i > 0 && training) x = x * between;
      std::tie(state[i], memory[i]) = at::lstm_cell(
          x, {state[i], memory[i]}, get("decoder.lstm.weight_ih" + end),
          get("decoder.lstm.weight_hh" + end), get("decoder.lstm.bias" + end), no_bias);
      x = state[i];
    }
    const at::Tensor centre =
        static_cast<double>(s) *
        at::sigmoid(at::matmul(at::tanh(at::linear(x, get("attention.position.weight"))),
                               get("attention.position.score_weight")))
            .unsqueeze(1);
    const at::Tensor apart = place - centre;
    const at::Tensor query = at::matmul(x, get("attention.general.weight"));
    const at::Tensor scores = at::bmm(keys, query.unsqueeze(2))
                                  .squeeze(2)
                                  .masked_fill(apart.abs().gt(static_cast<double>(config.window)),
                                               -std::numeric_limits<double>::infinity());
    const at::Tensor weights =
        at::softmax(scores, 1) * at::exp(apart * apart * (-0.5 / (sigma * sigma)));
    const at::Tensor context = at::bmm(weights.unsqueeze(1), keys).squeeze(1);
    fed = at::tanh(at::linear(at::cat({context, x}, 1), get("attentional.weight")));
    readouts.push_back(fed);
  }
  return loss(sentence_dropped(at::stack(readouts, 1)), get("output.weight"), batch);
}

}  // namespace attend::bench
