#include "ops/kernel_visibility.h"

#include "ops/shape_check.h"

namespace attend {

kernels::RowStrides row_strides(const at::Tensor& t) {
  return t.dim() == 4 ? kernels::RowStrides{t.stride(0), t.stride(1), t.stride(2)}
                      : kernels::RowStrides{t.stride(0), 0, t.stride(1)};
}

kernels::ScoreStrides score_strides(const at::Tensor& t, at::IntArrayRef scores) {
  const at::Tensor wide = t.expand(scores);
  if (scores.size() == 3) return {wide.stride(0), 0, wide.stride(1), wide.stride(2)};
  return {wide.stride(0), wide.stride(1), wide.stride(2), wide.stride(3)};
}

KernelVisibility::KernelVisibility(const AttentionOptions& o, at::IntArrayRef scores)
    : query_lengths(contiguous_or_undefined(o.query_lengths)),
      key_lengths(contiguous_or_undefined(o.key_lengths)) {
  const auto lengths = [](const at::Tensor& t) {
    return t.defined() ? t.const_data_ptr<std::int64_t>() : nullptr;
  };
  facts.query_lengths = lengths(query_lengths), facts.key_lengths = lengths(key_lengths);
  facts.causal = o.causal, facts.align_last = o.alignment == Alignment::kLast;
  facts.window_left = o.window_left, facts.window_right = o.window_right;
  if (o.mask.defined())
    facts.mask = o.mask.const_data_ptr<bool>(), facts.mask_strides = score_strides(o.mask, scores);
}

}  // namespace attend
