#pragma once
#include <cstdint>

#include "attend/kernels/bfloat16.h"

namespace attend::kernels {

/// Element strides of [B,H,L,·] arrays whose last dimension has stride 1.
struct RowStrides {
  std::int64_t batch = 0, head = 0, row = 0;
};
/// Element strides of [B,H,Lq,Lk] arrays; 0 broadcasts.
struct ScoreStrides {
  std::int64_t batch = 0, head = 0, row = 0, column = 0;
};

/// Which keys a query may attend to, as facts: attend::AttentionOptions has their meaning.
struct Visibility {
  const std::int64_t* query_lengths = nullptr;  // [B] or null
  const std::int64_t* key_lengths = nullptr;    // [B] or null
  bool causal = false;
  bool align_last = true;
  std::int64_t window_left = -1, window_right = -1;
  const bool* mask = nullptr;  // or null
  ScoreStrides mask_strides;
};

/// out[b,h,i,:] = Σ_j w_ij v_j,  w_i = softmax_j(scale · <q_i, k_j> + bias_ij)      (Vaswani et al. 2017, eq. 1)
/// Backward makes w again from two numbers a query (Dao 2022): largest_i = max_j s_ij and inverse_i = 1 / Σ_j exp(s_ij − largest_i).
/// Two, because with their sum in one (the log-sum-exp) large scores would lose the low bits that decide between near ties.
/// A query that sees no key gives out = 0, inverse = 0, weights 0. Query head h reads key head h / (heads / key_heads).
///
/// I is what the arrays hold: float, double or BFloat16, which is computed in float: softmax, sums and what is kept for backward.
/// A CPU with AVX512_BF16 multiplies pairs of bfloat16 (the weights, and in backward dS, are rounded for that); any other, and an
/// odd width, converts keys and values to float block by block.
template <class I>
struct SdpaForward {
  using T = Accumulator<I>;
  std::int64_t batch = 0, heads = 0, key_heads = 0, queries = 0, keys = 0, width = 0,
               value_width = 0;
  const I* query = nullptr;  // [B,H,Lq,D]
  const I* key = nullptr;    // [B,Hkv,Lk,D]
  const I* value = nullptr;  // [B,Hkv,Lk,Dv]
  RowStrides query_strides, key_strides, value_strides;
  Visibility visible;
  const I* bias = nullptr;  // or null
  ScoreStrides bias_strides;
  T scale = 1;
  double dropout = 0;  // of the weights, after the softmax; inverse and weights are those before
  std::uint64_t seed = 0;
  I* output = nullptr;  // [B,H,Lq,Dv]
  RowStrides output_strides;
  T* largest = nullptr;    // [B,H,Lq] contiguous, or null; in units that backward shares
  T* inverse = nullptr;    // [B,H,Lq] contiguous, or null
  T* weights = nullptr;    // [B,H,Lq,Lk] contiguous, or null
  T* workspace = nullptr;  // sdpa_forward_workspace elements, 64-byte aligned
};

/// Elements of scratch that sdpa_forward needs with the current number of threads. Those of sdpa_backward include a dQ for each
/// part of the keys, at most eight, where it shares them out.
template <class I>
std::int64_t sdpa_forward_workspace(const SdpaForward<I>& p);

/// Runs on up to threads() threads; no allocation. Cost: 4 B H Lq Lk D operations on visible tiles alone (in steps of a few
/// keys), O(1) memory beside the output.
void sdpa_forward(const SdpaForward<float>& p);
void sdpa_forward(const SdpaForward<double>& p);
void sdpa_forward(const SdpaForward<BFloat16>& p);

/// Gradients of sdpa_forward for a cotangent dout, from the inputs and two numbers a query (Dao 2022, alg. 4).
///   p_ij = exp(s_ij − largest_i) inverse_i,  dv_j = Σ_i z_ij p_ij dout_i,  ds_ij = p_ij (z_ij <dout_i, v_j> − <dout_i, out_i>)
///   dq_i = scale Σ_j ds_ij k_j,  dk_j = scale Σ_i ds_ij q_i,  dbias_ij = ds_ij;  z the dropout factor (1 without)
/// A query that sees no key has gradient 0, and its row of dout is not touched. Gradients of bfloat16 arrays come in float.
template <class I>
struct SdpaBackward {
  using T = Accumulator<I>;
  SdpaForward<I>
      forward;  // inputs, output, largest and inverse of the forward call; its workspace is not used
  const I* grad_output = nullptr;  // [B,H,Lq,Dv]
  RowStrides grad_output_strides;
  T* grad_query = nullptr;  // [B,H,Lq,D] contiguous
  T* grad_key = nullptr;    // [B,Hkv,Lk,D] contiguous
  T* grad_value = nullptr;  // [B,Hkv,Lk,Dv] contiguous
  T* grad_bias = nullptr;   // or null; contiguous, summed over the dimensions whose stride is 0
  ScoreStrides grad_bias_strides;
  T* workspace = nullptr;  // sdpa_backward_workspace elements, 64-byte aligned
};

template <class I>
std::int64_t sdpa_backward_workspace(const SdpaBackward<I>& p);

/// Parallel over batch × key heads, and over parts of their keys where there are fewer heads than threads; no allocation. Cost:
/// 10 B H Lq Lk D operations on visible tiles. Heads and rows of the batch that share their places of grad_bias take turns, in up to
/// eight teams with a sum of their own each (in the workspace). The same bits on any number of threads.
void sdpa_backward(const SdpaBackward<float>& p);
void sdpa_backward(const SdpaBackward<double>& p);
void sdpa_backward(const SdpaBackward<BFloat16>& p);

/// Whether the last sdpa kernel of this thread multiplied bfloat16 pairs.
bool sdpa_used_bfloat16_dot();

}  // namespace attend::kernels
