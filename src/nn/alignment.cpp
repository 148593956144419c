#include "attend/nn/alignment.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/nn/init.h"
#include "attend/ops/additive.h"
#include "attend/ops/attention.h"
#include "attend/ops/local.h"
#include "attend/ops/multiplicative.h"

namespace attend::nn {
namespace {

void check_alignment(const AlignmentOptions& o) {
  const bool multiplies =
      o.score == Score::kDot || o.score == Score::kScaledDot || o.score == Score::kCosine;
  if (multiplies && o.query_width != o.key_width)
    fail_usage("attention: this score multiplies queries of width " +
               std::to_string(o.query_width) + " by keys of width " + std::to_string(o.key_width) +
               ", which must be equal; take general, additive or concat");
  if (o.score == Score::kLocation && o.span != Span::kGlobal)
    fail_usage("attention: the location score has no local span: its scores are places already");
  if (o.score == Score::kLocation && o.positions < 1)
    fail_usage("attention: the location score needs the number of positions");
}

}  // namespace

AlignmentModel::AlignmentModel(const AlignmentOptions& options, std::uint64_t seed,
                               at::ScalarType dtype)
    : options_(options) {
  check_alignment(options);
  std::uint64_t stream = 0;
  const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    Random random(seed, Purpose::kInit, stream++);
    return glorot_uniform({rows, columns}, columns, rows, random, dtype);
  };
  const auto vector = [&](std::int64_t n) {
    Random random(seed, Purpose::kInit, stream++);
    return uniform({n}, 1 / std::sqrt(static_cast<double>(n)), random, dtype);
  };
  const auto add = [this](const std::string& name, const at::Tensor& x) {
    named_.emplace_back(name, x.set_requires_grad(true));
    return x;
  };
  const std::int64_t dq = options.query_width, dk = options.key_width, a = options.width;
  if (options.score == Score::kAdditive) {
    query_weight_ = add("query.weight", matrix(a, dq));
    query_bias_ = add("query.bias", at::zeros({a}, at::TensorOptions().dtype(dtype)));
    key_weight_ = add("key.weight", matrix(a, dk));
  }
  if (options.score == Score::kConcat) concat_weight_ = add("concat.weight", matrix(a, dq + dk));
  if (is_additive()) score_weight_ = add("score.weight", vector(a));
  if (options.score == Score::kGeneral) general_weight_ = add("general.weight", matrix(dq, dk));
  if (options.score == Score::kLocation)
    location_weight_ = add("location.weight", matrix(options.positions, dq));
  if (options.span == Span::kLocalP) {
    position_weight_ = add("position.weight", matrix(a, dq));
    position_score_ = add("position.score_weight", vector(a));
  }
}

AlignmentModel::Memory AlignmentModel::remember(const at::Tensor& annotations,
                                                const at::Tensor& lengths) const {
  Memory m{annotations, annotations, lengths};
  if (options_.score == Score::kAdditive) m.key = at::linear(annotations, key_weight_);  // [B,Lk,A]
  if (options_.score == Score::kConcat)
    m.key =
        at::linear(annotations, concat_weight_.narrow(1, options_.query_width, options_.key_width));
  if (options_.score == Score::kCosine) m.key = unit_rows(annotations);
  if (is_additive() && options_.span == Span::kGlobal)
    m.prepared = prepare_additive_keys(m.key).prepared;
  if (const at::Tensor matrix = query_matrix(); matrix.defined()) m.project = StepLinear(matrix);
  return m;
}

at::Tensor AlignmentModel::query_matrix() const {
  if (options_.score == Score::kAdditive) return query_weight_;
  if (options_.score == Score::kConcat) return concat_weight_.narrow(1, 0, options_.query_width);
  if (options_.score == Score::kGeneral) return general_weight_.t();
  return {};
}

at::Tensor AlignmentModel::projected(const Memory& memory, const at::Tensor& query) const {
  if (options_.score == Score::kCosine) return unit_rows(query);
  const at::Tensor matrix = query_matrix();
  if (!matrix.defined()) return query;
  const at::Tensor out = memory.project ? (*memory.project)(query) : at::linear(query, matrix);
  return query_bias_.defined() ? out + query_bias_ : out;
}

at::Tensor AlignmentModel::centre(const Memory& memory, const at::Tensor& query, std::int64_t first,
                                  std::int64_t step) const {
  const std::int64_t keys = memory.key.size(1);
  if (options_.span == Span::kLocalP)
    return predicted_centre(query, position_weight_, position_score_, keys, memory.lengths);
  const at::Tensor place =
      at::arange(query.size(1), query.options().requires_grad(false)) * step + first;
  return place.unsqueeze(0).expand({query.size(0), query.size(1)}).contiguous();  // [B,Lq]
}

AlignmentModel::Result AlignmentModel::operator()(const Memory& memory, const at::Tensor& query,
                                                  std::int64_t first, std::int64_t step,
                                                  bool need_weights) const {
  const double scale = options_.score == Score::kScaledDot
                           ? 1 / std::sqrt(static_cast<double>(options_.key_width))
                           : 1.0;
  AttentionResult found;
  if (options_.span != Span::kGlobal) {
    LocalOptions o;
    o.window = options_.window, o.gaussian = options_.span == Span::kLocalP;
    o.score_weight = score_weight_, o.key_lengths = memory.lengths;
    o.scale = scale, o.need_weights = need_weights;
    found = local(projected(memory, query), memory.key, memory.value,
                  centre(memory, query, first, step), o);
    return {std::get<0>(found), std::get<1>(found)};
  }
  AttentionOptions o;
  o.key_lengths = memory.lengths, o.scale = scale, o.need_weights = need_weights;
  if (is_additive())
    found = additive(projected(memory, query), AdditiveKeys{memory.key, memory.prepared},
                     memory.value, score_weight_, o);
  else if (options_.score == Score::kLocation)
    found = location(query, memory.value, location_weight_, o);
  else
    found = multiplicative(projected(memory, query), memory.key, memory.value,
                           MultiplicativeScore::kDot, {}, o);
  return {std::get<0>(found), std::get<1>(found)};
}

}  // namespace attend::nn
