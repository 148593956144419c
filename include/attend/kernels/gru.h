#pragma once
#include <cstdint>

#include "attend/kernels/lstm.h"

namespace attend::kernels {

/// Where the reset gate r acts: on the recurrent product (PyTorch, Keras' reset_after) or on the state before it
/// (Cho et al. 2014, eq. 8).
enum class GruForm { kResetAfter, kResetBefore };

/// What forward and backward both read. Dense row-major; masks may be null (ones). Sequences, plans and their slices
/// are the LSTM's: both layers split a batch alike.
template <class T>
struct GruWeights {
  GruForm form = GruForm::kResetAfter;
  const T* weight_ih = nullptr;       // [3H,I], gates r, z, n (PyTorch)
  const T* weight_hh = nullptr;       // [3H,H]
  const T* input_mask = nullptr;      // [B,I]
  const T* recurrent_mask = nullptr;  // [B,H]
};

template <class T>
struct GruForward {
  GruWeights<T> weights;
  const T *bias_ih = nullptr, *bias_hh = nullptr;  // [3H] or null
  LstmSequence<const T> input;                     // [B,T,I]
  const T* h0 = nullptr;                           // [B,H] or null
  LstmSequence<T> output;                          // [B,T,H]; 0 after a row's length
  T* h_n = nullptr;        // [B,H], of the last valid step; h0 where the length is 0
  T* saved = nullptr;      // gru_saved_size, or null: nothing is kept for backward
  T* workspace = nullptr;  // gru_forward_workspace
};

/// Any of the incoming gradients may be null (zeros), any of the outgoing ones too (not wanted).
template <class T>
struct GruBackward {
  GruWeights<T> weights;
  LstmSequence<const T> grad_output;  // [B,T,H]; ignored after a row's length
  const T* grad_h_n = nullptr;        // [B,H]
  const T* saved = nullptr;           // only read: backward may run more than once
  LstmSequence<T> grad_input;         // [B,T,I]; 0 after a row's length
  T *grad_weight_ih = nullptr, *grad_weight_hh = nullptr;  // [3H,I], [3H,H]
  T *grad_bias_ih = nullptr, *grad_bias_hh = nullptr;      // [3H]
  T* grad_h0 = nullptr;                                    // [B,H]
  T* workspace = nullptr;                                  // gru_backward_workspace
};

/// Elements of T that the caller provides; saved: T·B·(6H + I) and padding.
std::int64_t gru_saved_size(const LstmPlan& plan);
std::int64_t gru_forward_workspace(const LstmPlan& plan, bool training);
std::int64_t gru_backward_workspace(const LstmPlan& plan);

/// One GRU layer over a padded batch (attend/ops/gru.h has the equations). Three products a step: [h̃, x̃] with the
/// weights of r and z, h̃ (or r ∘ h̃) and x̃ with theirs of n; weights packed once per call. No allocation; threads
/// through base/threads.h; several calls may run at once. The same plan gives the same bits.
/// Work: 2·3H·(I+H) flops per valid (row, step) forward, twice that backward.
void gru_forward(const LstmPlan& plan, const GruForward<float>& run);
void gru_forward(const LstmPlan& plan, const GruForward<double>& run);

/// Gradients of the same: each worker over its own rows with its own weight gradients, which are summed in the order of
/// the workers.
void gru_backward(const LstmPlan& plan, const GruBackward<float>& run);
void gru_backward(const LstmPlan& plan, const GruBackward<double>& run);

}  // namespace attend::kernels
