#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>

#include <tuple>

#include "attend/ops/decoder_step.h"

namespace attend::compose {
namespace {

/// Rows first … last − 1 of a step's recurrent product.
at::Tensor step_product(const at::Tensor& state, const DecoderStepWeights& w, std::int64_t first,
                        std::int64_t last) {
  return at::linear(state, w.hidden.slice(0, first, last),
                    w.bias.defined() ? w.bias.slice(0, first, last) : w.bias);
}

at::Tensor gru_after(const at::Tensor& x, const at::Tensor& state, const DecoderStepWeights& w,
                     bool reset_before) {
  const std::int64_t h = state.size(1);
  const at::Tensor rz = at::sigmoid(x.slice(1, 0, 2 * h) + step_product(state, w, 0, 2 * h));
  const at::Tensor r = rz.slice(1, 0, h), z = rz.slice(1, h);
  const at::Tensor u = reset_before ? step_product(r * state, w, 2 * h, 3 * h)
                                    : r * step_product(state, w, 2 * h, 3 * h);
  const at::Tensor n = at::tanh(x.slice(1, 2 * h) + u);
  return n + z * (state - n);
}

}  // namespace

DecoderStepResult decoder_step(const at::Tensor& gates, const at::Tensor& state,
                               const AdditiveKeys& keys, const at::Tensor& value,
                               const DecoderStepWeights& w, const DecoderStepOptions& o) {
  AttentionOptions attention;
  attention.key_lengths = o.key_lengths, attention.mask = o.mask;
  attention.need_weights = o.need_weights;
  const at::Tensor query = at::linear(state, w.query).unsqueeze(1);  // [B,1,A]
  auto [context, seen] = compose::additive(query, keys.key, value, w.score, attention);
  DecoderStepResult out;
  out.context = context.squeeze(1);  // [B,Dv]
  if (o.need_weights) out.weights = seen.squeeze(1);
  const at::Tensor x = gates + at::linear(out.context, w.context);  // [B,GH]
  if (o.cell != DecoderCell::kLstm) {
    out.state = gru_after(x, state, w, o.cell == DecoderCell::kGruResetBefore);
    return out;
  }
  const auto ifgo = (x + at::linear(state, w.hidden, w.bias)).chunk(4, 1);  // [B,H] each
  out.memory = at::sigmoid(ifgo[1]) * o.memory + at::sigmoid(ifgo[0]) * at::tanh(ifgo[2]);
  out.state = at::sigmoid(ifgo[3]) * at::tanh(out.memory);
  return out;
}

}  // namespace attend::compose
