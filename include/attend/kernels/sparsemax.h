#pragma once
#include <cstdint>

#include "attend/kernels/sdpa.h"

namespace attend::kernels {

/// Sparsemax attention (Martins and Astudillo 2016, eqs. 2 and 3) on plain memory. Over the keys that query i sees:
///   s_ij = scale <q_i, k_j>,  w_i = argmin over the simplex of |w − s_i|²: w_ij = max(0, s_ij − τ_i) with Σ_j w_ij = 1
///   out_i = Σ_j w_ij v_j
/// Most weights are exactly 0; values of such keys are never read. A query that sees no key gives 0; a NaN among its scores
/// makes its weights NaN. Query head h reads key head h / (heads / key_heads). T is float or double.
template <class T>
struct SparsemaxForward {
  std::int64_t batch = 0, heads = 0, key_heads = 0, queries = 0, keys = 0, width = 0,
               value_width = 0;
  const T *query = nullptr, *key = nullptr,
          *value = nullptr;                              // [B,H,Lq,D] [B,Hkv,Lk,D] [B,Hkv,Lk,Dv]
  RowStrides query_strides, key_strides, value_strides;  // unit stride inside a row
  Visibility visible;
  T scale = 1;
  T* output = nullptr;     // [B,H,Lq,Dv] contiguous
  T* weights = nullptr;    // [B,H,Lq,Lk] contiguous, or null
  T* workspace = nullptr;  // sparsemax_forward_workspace elements
};

/// Elements of scratch: one row of scores for each task, of which there are at most 64.
template <class T>
std::int64_t sparsemax_forward_workspace(const SparsemaxForward<T>& p);

/// τ_i by Michelot's projections (1986): beginning with all keys, those at or under the threshold of the rest are dropped until
/// none is. Cost: 2 D operations for every query and key that it sees, a few passes over its scores, and 2 Dv operations for
/// every weight above 0. Shared out over base/threads.h; no allocation; the bits do not depend on the number of threads.
void sparsemax_forward(const SparsemaxForward<float>& p);
void sparsemax_forward(const SparsemaxForward<double>& p);

/// The gradient. On the support S_i = {j: w_ij > 0}, with g_ij = <dout_i, v_j> + dw_ij (eq. 10 of the paper):
///   ds_ij = g_ij − mean over S_i of g_i,  dq_i = scale Σ_j ds_ij k_j,  dk_j = scale Σ_i ds_ij q_i,  dv_j = Σ_i w_ij dout_i
/// and 0 outside of it. Nothing of the forward pass is kept: the weights are made again.
template <class T>
struct SparsemaxBackward {
  SparsemaxForward<T> forward;      // its output, weights and workspace are not used
  const T* grad_output = nullptr;   // [B,H,Lq,Dv] contiguous, or null: zero
  const T* grad_weights = nullptr;  // [B,H,Lq,Lk] contiguous, or null: zero
  T *grad_query = nullptr, *grad_key = nullptr, *grad_value = nullptr;  // contiguous
  T* workspace = nullptr;  // sparsemax_backward_workspace elements
};

/// Elements of scratch: two rows of scores for each key head.
template <class T>
std::int64_t sparsemax_backward_workspace(const SparsemaxForward<T>& p);

/// Cost: forward's, and 4 D + 4 Dv operations for every weight above 0. One task is a key head with the query heads that read
/// it, so more than B Hkv threads find no work. No allocation; the bits do not depend on the number of threads.
void sparsemax_backward(const SparsemaxBackward<float>& p);
void sparsemax_backward(const SparsemaxBackward<double>& p);

}  // namespace attend::kernels
