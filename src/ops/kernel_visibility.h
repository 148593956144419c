#pragma once
#include "attend/kernels/sdpa.h"
#include "attend/ops/attention.h"

// Checked attention tensors and options as kernels take them.
namespace attend {

/// Element strides of [B,H,L,·], or of [B,L,·], which has one head.
kernels::RowStrides row_strides(const at::Tensor& t);

/// Those of a tensor broadcast to the scores' [B,H,Lq,Lk] or [B,Lq,Lk].
kernels::ScoreStrides score_strides(const at::Tensor& t, at::IntArrayRef scores);

/// Who may attend to whom; keeps the lengths that had to be copied alive.
struct KernelVisibility {
  at::Tensor query_lengths, key_lengths;
  kernels::Visibility facts;

  KernelVisibility(const AttentionOptions& options, at::IntArrayRef scores);
};

}  // namespace attend
