// torch.ops.attend.dropout_factors: an op of its own, so that a composition with dropout can be traced.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "kernels/attention/dropout.h"
#include "ops/compose/masked_softmax.h"
#include "ops/dispatch.h"

namespace attend {
namespace {

/// On every device: drawn on the CPU, of `like` only sizes and options are read.
at::Tensor drawn_dropout_factors(const at::Tensor& like, double probability, std::int64_t seed) {
  at::Tensor factors = at::empty(like.sizes(), at::TensorOptions(at::kDouble));
  kernels::AttentionDropout(static_cast<std::uint64_t>(seed), probability)
      .fill(factors.mutable_data_ptr<double>(), like.size(0) * like.size(1), like.size(2),
            like.size(3));
  return factors.to(like.options());
}

at::Tensor dropout_factors_meta(const at::Tensor& like, double, std::int64_t) {
  return at::empty_symint(like.sym_sizes(), like.options());
}

}  // namespace

at::Tensor compose::dropout_factors(const AttentionOptions& o, const at::Tensor& weights) {
  static const auto op = dispatched<decltype(drawn_dropout_factors)>("attend::dropout_factors");
  return op.call(weights.detach(), o.dropout, static_cast<std::int64_t>(o.seed));
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def("dropout_factors(Tensor like, float probability, int seed) -> Tensor");
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) {
  m.impl("dropout_factors", &drawn_dropout_factors);
}

TORCH_LIBRARY_IMPL(attend, Meta, m) { m.impl("dropout_factors", &dropout_factors_meta); }

}  // namespace attend
