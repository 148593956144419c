#pragma once
#include <cstdint>
#include <vector>

namespace attend::kernels {

/// B sequences of at most T steps, I inputs and H hidden units. B, T ≥ 0; I, H ≥ 1.
struct LstmShape {
  std::int64_t batch = 0, steps = 0, input = 0, hidden = 0;
};

/// Which rows each worker computes, and where it keeps what it saves. Made once per call of the op and shared by
/// forward and backward, so that both split the batch alike whatever the number of threads is by then.
///
/// Rows are ordered by descending length and dealt to the workers in turn, so that workers finish together and the
/// rows still active at a step are the first ones of a worker: finished rows cost nothing.
class LstmPlan {
 public:
  /// One worker's rows: `rows[i]` is the batch index of its i-th longest sequence.
  struct Slice {
    std::vector<std::int64_t> rows, lengths;
    std::vector<std::int64_t> active;  // rows with length > s, for s in [0, longest)
    std::vector<std::int64_t>
        offset;  // Σ active before step s; one entry more: all (row, step) pairs
    std::int64_t pairs() const { return offset.back(); }
  };

  /// lengths: `batch` values in [0, steps], or null: all are `steps`. workers ≥ 1: at most that many slices; fewer when
  /// there are fewer rows, or so little work that starting a thread costs more than it saves.
  LstmPlan(const LstmShape& shape, const std::int64_t* lengths, bool reverse, int workers);

  const LstmShape& shape() const { return shape_; }
  bool reverse() const { return reverse_; }
  const std::vector<Slice>& slices() const { return slices_; }

  /// Elements of T that the caller provides. saved: from forward to backward, T·B·(6H + I) and padding;
  /// workspaces: nothing in them outlives the call. With `training` false forward saves nothing and needs no `saved`.
  std::int64_t saved_size() const;
  std::int64_t forward_workspace_size(bool training) const;
  std::int64_t backward_workspace_size() const;

 private:
  LstmShape shape_;
  bool reverse_;
  std::vector<Slice> slices_;
};

/// A [B,T,n] tensor: element (b,t,i) at data[b·batch_stride + t·step_stride + i]. Any alignment that T itself allows.
template <class T>
struct LstmSequence {
  T* data = nullptr;
  std::int64_t batch_stride = 0, step_stride = 0;
};

/// What forward and backward both read. Dense row-major; masks and initial states may be null (ones, zeros).
template <class T>
struct LstmWeights {
  const T* weight_ih =
      nullptr;  // [4H,I], gates i, f, g, o (PyTorch); Keras' kernel [I,4H] is its transpose
  const T* weight_hh = nullptr;       // [4H,H]
  const T* input_mask = nullptr;      // [B,I]
  const T* recurrent_mask = nullptr;  // [B,H]
};

template <class T>
struct LstmForward {
  LstmWeights<T> weights;
  const T* bias = nullptr;               // [4H]
  LstmSequence<const T> input;           // [B,T,I]
  const T *h0 = nullptr, *c0 = nullptr;  // [B,H] or null
  LstmSequence<T> output;                // [B,T,H]; 0 after a row's length
  T *h_n = nullptr, *c_n = nullptr;  // [B,H], of the last valid step; h0, c0 where the length is 0
  T* saved = nullptr;                // plan.saved_size(), or null: nothing is kept for backward
  T* workspace = nullptr;            // plan.forward_workspace_size(saved != nullptr)
};

/// Any of the incoming gradients may be null (zeros), any of the outgoing ones too (not wanted; then not computed
/// where that saves work). `saved` is only read: backward may run more than once.
template <class T>
struct LstmBackward {
  LstmWeights<T> weights;
  LstmSequence<const T> grad_output;                 // [B,T,H]; ignored after a row's length
  const T *grad_h_n = nullptr, *grad_c_n = nullptr;  // [B,H]
  const T* saved = nullptr;
  LstmSequence<T> grad_input;                              // [B,T,I]; 0 after a row's length
  T *grad_weight_ih = nullptr, *grad_weight_hh = nullptr;  // [4H,I], [4H,H]
  T* grad_bias = nullptr;                                  // [4H]
  T *grad_h0 = nullptr, *grad_c0 = nullptr;                // [B,H]
  T* workspace = nullptr;                                  // plan.backward_workspace_size()
};

/// One LSTM layer over a padded batch (Hochreiter & Schmidhuber 1997 with forget gate; attend/ops/lstm.h has the
/// equations). Per step and worker one product [h̃, x̃] · [W_hh, W_ih]ᵀ with weights packed once per call. No
/// allocation; threads through base/threads.h; several calls may run at once. The same plan gives the same bits.
/// Work: 2·4H·(I+H) multiply-adds' flops per valid (row, step) forward, twice that backward.
void lstm_forward(const LstmPlan& plan, const LstmForward<float>& run);
void lstm_forward(const LstmPlan& plan, const LstmForward<double>& run);

/// Gradients of the same: back-propagation through time, each worker over its own rows with its own weight gradient;
/// these are summed in the order of the workers.
void lstm_backward(const LstmPlan& plan, const LstmBackward<float>& run);
void lstm_backward(const LstmPlan& plan, const LstmBackward<double>& run);

}  // namespace attend::kernels
