#pragma once
#include <cstdint>

namespace attend::kernels {

/// Keys [begin, begin + count) of one query.
struct KeySpan {
  std::int64_t begin = 0, count = 0;
  std::int64_t end() const { return begin + count; }
};

/// Any function of one score and its place, in place of the score: apply() replaces those of keys [first, first + count) of one
/// query and, unless slopes is null, stores the derivative there. It may run on any thread.
template <class T>
struct ScoreHook {
  void (*apply)(const void* context, std::int64_t batch, std::int64_t query, std::int64_t first,
                std::int64_t count, T* scores,
                T* slopes) = nullptr;  // null: scores stay as they are
  const void* context = nullptr;
};

/// Local attention (Luong et al. 2015, §3.2) around a centre c_i for every query, on plain memory. Over the keys j < length with
/// |j − c_i| ≤ window, at most 2 · window + 1 of them:
///   s_ij = scale <q_i, k_j>,  or with score_weight  scale Σ_a v_a tanh(q_ia + k_ja)
///   a_i = softmax(s_i),  w_ij = a_ij g_ij,  g_ij = exp(−(j − c_i)² sharpness),  out_i = Σ_j w_ij v_j
/// spans, where given, say which keys each query sees in place of centre and window (every query its own: causal, lengths, …), and
/// hook changes s after the scale. sharpness is 1 / 2σ²; 0 leaves the Gaussian out. A window without keys gives 0, and its query is not read; a NaN centre
/// gives NaN. Keys outside of every window are never read. T is float or double; keys < 2^24, so that float counts them exactly.
template <class T>
struct LocalForward {
  std::int64_t batch = 0, queries = 0, keys = 0, width = 0, value_width = 0;
  const T *query = nullptr, *key = nullptr,
          *value = nullptr;  // [B,Lq,D], [B,Lk,D], [B,Lk,Dv]; unit stride inside a row
  std::int64_t query_batch = 0, query_row = 0, key_batch = 0, key_row = 0, value_batch = 0,
               value_row = 0;      // strides
  const T* centre = nullptr;       // [B,Lq] contiguous; not read with spans
  const KeySpan* spans = nullptr;  // [B,Lq] or null; at most 2 · window + 1 keys each
  ScoreHook<T> hook;
  const T* score_weight = nullptr;            // [D], or null: dot product
  const std::int64_t* key_lengths = nullptr;  // [B] or null
  std::int64_t window = 0;                    // ≥ 1
  T scale = 1, sharpness = 0;
  T* output = nullptr;     // [B,Lq,Dv] contiguous
  T* weights = nullptr;    // [B,Lq,Lk] contiguous, or null
  T* workspace = nullptr;  // local_forward_workspace elements
};

/// Elements of scratch: one window for each 32 queries.
template <class T>
std::int64_t local_forward_workspace(const LocalForward<T>& p);

/// Cost: 2 (D + Dv) operations for every query and key in its window; O(1) memory beside workspace and output. Shared out over
/// base/threads.h; no allocation; the bits do not depend on the number of threads.
void local_forward(const LocalForward<float>& p);
void local_forward(const LocalForward<double>& p);

/// The gradient. With p_ij = <dout_i, v_j> + dw_ij and m_i = Σ_j a_ij g_ij p_ij:
///   ds_ij = scale a_ij (g_ij p_ij − m_i),  dq_i = Σ_j ds_ij k_j,  dk_j = Σ_i ds_ij q_i,  dv_j = Σ_i w_ij dout_i
///   dc_i = Σ_j w_ij p_ij 2 sharpness (j − c_i): the centre moves the Gaussian; the window's edges have no gradient
/// and with score_weight, t = tanh(q_i + k_j):  dq_i, dk_j get ds_ij v (1 − t²), dv_a = Σ_ij ds_ij t_a.
/// Nothing of the forward pass is kept: scores and weights are made again.
template <class T>
struct LocalBackward {
  LocalForward<T> forward;          // its output, weights and workspace are not used
  const T* grad_output = nullptr;   // [B,Lq,Dv] contiguous, or null: zero
  const T* grad_weights = nullptr;  // [B,Lq,Lk] contiguous, or null: zero
  T *grad_query = nullptr, *grad_key = nullptr, *grad_value = nullptr;  // contiguous
  T* grad_centre = nullptr;        // [B,Lq]; not written with spans
  T* grad_score_weight = nullptr;  // [D]; null without score_weight
  T* workspace = nullptr;          // local_backward_workspace elements
  std::int64_t* places = nullptr;  // local_backward_places elements: scratch too
};

/// Elements of scratch: two numbers for every query and key in its window, O(B Lq window).
template <class T>
std::int64_t local_backward_workspace(const LocalForward<T>& p);

/// One number for every query, and one for every block of keys.
template <class T>
std::int64_t local_backward_places(const LocalForward<T>& p);

/// Cost: 6 D + 4 Dv operations for every query and key in its window. Keys are dealt out in blocks, each of which looks at the
/// queries whose windows begin in it or at most one window before it: O(Lq window) in all, wherever the centres lie.
/// No allocation; the bits do not depend on the number of threads.
void local_backward(const LocalBackward<float>& p);
void local_backward(const LocalBackward<double>& p);

}  // namespace attend::kernels
