#include "attend/nn/lstmn.h"

#include <ATen/ops/zeros.h>

#include "attend/nn/init.h"

namespace attend::nn {

LstmnWeights lstmn_weights(const LstmnShape& shape, Random& random, at::ScalarType dtype) {
  const std::int64_t h = shape.hidden, i = shape.input, a = shape.width;
  const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    return glorot_uniform({rows, columns}, columns, rows, random, dtype);
  };
  LstmnWeights w;
  w.weight = at::zeros({4 * h, h + i}, at::TensorOptions().dtype(dtype));
  w.weight.narrow(1, 0, h).copy_(orthogonal(4 * h, h, random, dtype));
  w.weight.narrow(1, h, i).copy_(matrix(4 * h, i));
  w.bias = at::zeros({4 * h}, w.weight.options());
  w.bias.narrow(0, h, h).fill_(1);
  w.tape_weight = matrix(a, h), w.input_weight = matrix(a, i);
  w.summary_weight = matrix(a, h), w.score_weight = matrix(1, a).squeeze(0);
  return w;
}

NamedTensors named(const LstmnWeights& w, const std::string& prefix) {
  return {{prefix + "weight", w.weight},
          {prefix + "bias", w.bias},
          {prefix + "tape_weight", w.tape_weight},
          {prefix + "input_weight", w.input_weight},
          {prefix + "summary_weight", w.summary_weight},
          {prefix + "score_weight", w.score_weight}};
}

LstmnSource lstmn_source(const LstmnShape& shape, Random& random, at::ScalarType dtype) {
  const std::int64_t h = shape.hidden, i = shape.input, a = shape.width;
  const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    return glorot_uniform({rows, columns}, columns, rows, random, dtype);
  };
  LstmnSource s;
  s.tape_weight = matrix(a, h), s.input_weight = matrix(a, i);
  s.summary_weight = matrix(a, h), s.score_weight = matrix(1, a).squeeze(0);
  s.gate_weight = matrix(h, h + i);
  s.gate_bias = at::zeros({h}, at::TensorOptions().dtype(dtype));
  return s;
}

NamedTensors named(const LstmnSource& s, const std::string& prefix) {
  return {{prefix + "tape_weight", s.tape_weight},       {prefix + "input_weight", s.input_weight},
          {prefix + "summary_weight", s.summary_weight}, {prefix + "score_weight", s.score_weight},
          {prefix + "gate_weight", s.gate_weight},       {prefix + "gate_bias", s.gate_bias}};
}

}  // namespace attend::nn
