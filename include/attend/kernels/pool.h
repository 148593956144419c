#pragma once
#include <cstdint>

namespace attend::kernels {

/// Attention pooling of a padded batch, the guide's Keras layer, on plain memory:
///   a_t = <x_t, w> + b_t,  s_t = tanh(a_t),  α = softmax over t < length of s,  out = Σ_t α_t x_t
/// value [B,T,C] with any stride over batch and time and unit stride over channels; every other
/// array is contiguous. Positions t ≥ length are never read; their weight is 0. length 0 (or T = 0)
/// gives out = 0. NaN inside the length propagates to its row. No softmax maximum is needed: |s| ≤
/// 1. Cost: 4·B·T·C floating-point operations, each row of value read twice (the second time from
/// cache). Thread-safe, no allocation; rows are shared out over base/threads.h. T is float or
/// double.
template <class T>
struct PoolForward {
  std::int64_t batch = 0, time = 0, channels = 0;
  const T* value = nullptr;
  std::int64_t value_batch_stride = 0, value_time_stride = 0;  // in elements
  const T* score_weight = nullptr;                             // [C]
  const T* bias = nullptr;                                     // [T], or null: no bias
  const std::int64_t* lengths = nullptr;  // [B], or null: every row has length T
  T* output = nullptr;                    // [B,C]
  T* weights = nullptr;                   // [B,T]
};
template <class T>
void pool_forward(const PoolForward<T>& p);

/// The gradient. With p_t = <dout, x_t> + dα_t:
///   ds_t = α_t (p_t − Σ_j α_j p_j),  da_t = ds_t (1 − s_t²)
///   dx_t = α_t dout + da_t w,  dw = Σ_{b,t} da_t x_t,  db_t = Σ_b da_t
/// Nothing of the forward pass is kept: s and α are computed again in the pass that computes p,
/// from the same loads. Sums over the batch go through a fixed number of partial sums, so the bits
/// do not depend on the number of threads. Cost: 10·B·T·C floating-point operations, each row of
/// value read twice, dx written once.
template <class T>
struct PoolBackward {
  PoolForward<T> forward;           // its output and weights are not used
  const T* grad_output = nullptr;   // [B,C], or null: zero
  const T* grad_weights = nullptr;  // [B,T], or null: zero
  T* grad_value = nullptr;          // [B,T,C] contiguous; 0 where t ≥ length
  T* grad_score_weight = nullptr;   // [C]
  T* grad_bias = nullptr;           // [T]
  T* workspace = nullptr;  // pool_backward_workspace(B, T, C) elements, contents irrelevant
};
template <class T>
void pool_backward(const PoolBackward<T>& p);

/// Elements of PoolBackward::workspace.
std::int64_t pool_backward_workspace(std::int64_t batch, std::int64_t time, std::int64_t channels);

}  // namespace attend::kernels
