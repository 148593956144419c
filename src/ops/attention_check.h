#pragma once
#include "attend/ops/attention.h"
#include "ops/shape_check.h"

namespace attend {

/// Checks the options against the shape of the scores: [B,H,Lq,Lk], or [B,Lq,Lk] for ops without heads. `check` must have
/// bound B, Lq and Lk.
void check_attention_options(ShapeCheck& check, const char* op, const AttentionOptions& options,
                             at::IntArrayRef scores);

/// `t` broadcasts to `shape` without growing it. Throws kUsage naming op and argument; undefined passes.
void check_broadcast(const char* op, const char* name, const at::Tensor& t, at::IntArrayRef shape);

}  // namespace attend
