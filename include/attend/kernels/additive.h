#pragma once
#include <cstdint>

#include "attend/kernels/sdpa.h"

namespace attend::kernels {

/// Additive attention (Bahdanau et al. 2015, §A.1.2) on projected queries and keys:
///   s_ij = scale · Σ_a w_a tanh(q_ia + k_ja) + bias_ij,  p_i = softmax_j(s_i),  out_i = Σ_j p_ij v_j
///
/// The hyperbolic tangents cost one division for two of them and no exponential:
///   tanh(q + k) = 1 − 2 r,  r = 1 / (e^{2q} e^{2k} + 1)
/// with e^{2q} and e^{2k} made once per element of the queries and the keys. A row in which some |x| exceeds
/// additive_range (or is NaN) has exponentials that could leave the range of T; pairs with such a row take e^{2(q + k)}.
/// The error of a tanh is a few eps absolute, not relative.

/// Largest |x| whose e^{2x} and e^{−2x} are both normal numbers.
template <class T>
inline constexpr T additive_range = sizeof(T) == 4 ? T(43) : T(354);

/// Elements of one prepared row: the width rounded up to 128 bytes, at least that.
template <class T>
constexpr std::int64_t additive_padded(std::int64_t width) {
  constexpr std::int64_t unit = 128 / sizeof(T);
  return width <= 0 ? unit : (width + unit - 1) / unit * unit;
}

/// prepared[b,j,:] = e^{2 k_j}, padded with 0; its first element is −1 instead when the row is beyond additive_range. To
/// be made once for a source sentence and used at every decoder step. Cost: B Lk A exponentials.
template <class T>
struct AdditivePrepare {
  std::int64_t batch = 0, keys = 0, width = 0;
  const T* key = nullptr;  // [B,Lk,A]
  RowStrides key_strides;  // heads are not used here nor below
  T* prepared = nullptr;   // [B,Lk,additive_padded(A)] contiguous
};
void additive_prepare(const AdditivePrepare<float>& p);
void additive_prepare(const AdditivePrepare<double>& p);

template <class T>
struct AdditiveForward {
  std::int64_t batch = 0, queries = 0, keys = 0, width = 0, value_width = 0;
  const T* query = nullptr;  // [B,Lq,A]
  const T* key = nullptr;    // [B,Lk,A]
  const T* value = nullptr;  // [B,Lk,Dv]
  RowStrides query_strides, key_strides, value_strides;
  const T* prepared = nullptr;  // additive_prepare of key, or null: made on the way
  T* kept =
      nullptr;  // [B,Lk,additive_padded(A)], or null: where what is made on the way goes, rows that some query sees
  const T* score_weight = nullptr;  // [A]
  Visibility visible;
  const T* bias = nullptr;  // or null
  ScoreStrides bias_strides;
  T scale = 1;
  double dropout = 0;  // of the weights, after the softmax
  std::uint64_t seed = 0;
  T* output = nullptr;     // [B,Lq,Dv] contiguous
  T* weights = nullptr;    // [B,Lq,Lk] contiguous, before dropout; or null
  T* workspace = nullptr;  // additive_forward_workspace elements, 64-byte aligned
};

/// Elements of scratch with the current number of threads: O(A + Dv + threads · (A + Lk)), without prepared keys
/// O(A + Dv + threads · A Lk).
template <class T>
std::int64_t additive_forward_workspace(const AdditiveForward<T>& p);

/// A query that sees no key gives 0 and weights 0; keys and values that no query sees are never used, so a NaN in them is
/// harmless. Runs on up to threads() threads (rows of the batch, parts of them where they are few), the same bits on any number;
/// no allocation. Cost: half a division and about four operations for each visible (i, j, a), 2 B Lq Lk Dv for the values.
void additive_forward(const AdditiveForward<float>& p);
void additive_forward(const AdditiveForward<double>& p);

/// Gradients for cotangents of output and weights. With z the dropout factors (1 without), P_ij = z_ij <dout_i, v_j> + dp_ij:
///   ds_ij = p_ij (P_ij − Σ_j p_ij P_ij),  dv_j = Σ_i z_ij p_ij dout_i
///   dq_ia = 4 scale w_a Σ_j ds_ij (r − r²),  dk_ja = 4 scale w_a Σ_i ds_ij (r − r²)
///   dw_a = −2 scale Σ_ij ds_ij r   (Σ_j ds_ij = 0 takes the 1 of 1 − 2 r away),  dbias_ij = ds_ij
/// Nothing of size Lq Lk A is kept or made. Without the weights of the forward call the scores are made again too.
template <class T>
struct AdditiveBackward {
  AdditiveForward<T>
      forward;  // inputs; weights: what forward stored, or null; output, kept and workspace are not used
  const T* grad_output = nullptr;  // [B,Lq,Dv], or null: zero
  RowStrides grad_output_strides;
  const T* grad_weights = nullptr;  // [B,Lq,Lk] contiguous, or null: zero
  T* grad_query = nullptr;          // [B,Lq,A] contiguous, as all below
  T* grad_key = nullptr;            // [B,Lk,A]
  T* grad_value = nullptr;          // [B,Lk,Dv], or null: not wanted
  T* grad_score_weight = nullptr;   // [A]
  T* grad_bias = nullptr;           // [B,Lq,Lk], or null: not wanted
  T* workspace = nullptr;           // additive_backward_workspace elements, 64-byte aligned
};

/// O(B A + Dv + threads · min(Lq, 32) · (A + Lk)), without prepared keys and threads · A Lk.
template <class T>
std::int64_t additive_backward_workspace(const AdditiveBackward<T>& p);

/// Parallel over the batch, the same bits on any number of threads; no allocation.
void additive_backward(const AdditiveBackward<float>& p);
void additive_backward(const AdditiveBackward<double>& p);

}  // namespace attend::kernels
