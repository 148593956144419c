#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>

#include "attend/ops/pool.h"
#include "ops/pool.h"

namespace attend::compose {

std::tuple<at::Tensor, at::Tensor> pool(const at::Tensor& value, const at::Tensor& score_weight,
                                        const at::Tensor& bias, const at::Tensor& lengths) {
  check_pool(value, score_weight, bias, lengths);
  // Without lengths this is the formula itself. With them, what lies in the padding is replaced
  // before it is used, so that a NaN there reaches neither the result nor a gradient (0 · NaN is
  // NaN).
  at::Tensor padding;  // [B,T]
  if (lengths.defined())
    padding = at::arange(value.size(1), lengths.options()) >= lengths.unsqueeze(1);
  const auto fill = [&](const at::Tensor& t, double x) {
    return padding.defined() ? t.masked_fill(t.dim() == 3 ? padding.unsqueeze(2) : padding, x) : t;
  };
  const at::Tensor x = fill(value, 0);         // [B,T,C]
  at::Tensor a = at::matmul(x, score_weight);  // [B,T]
  if (bias.defined()) a = fill(a + bias, 0);
  // e^−10000 is 0 in every dtype; unlike −∞ it leaves no NaN in a row that is all padding.
  const at::Tensor s = fill(at::tanh(a), -10000);                    // [B,T]
  const at::Tensor weights = fill(at::softmax(s, 1), 0);             // [B,T]
  return {at::matmul(weights.unsqueeze(1), x).squeeze(1), weights};  // [B,C], [B,T]
}

}  // namespace attend::compose
