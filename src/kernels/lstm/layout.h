#pragma once
#include <algorithm>
#include <cstdint>

#include "attend/kernels/lstm.h"

namespace attend::kernels {

/// Elements of the widest vector. Rows are padded to it, so that kernels store whole vectors and let what exceeds the
/// row spill into padding, or into columns that are written afterwards.
inline constexpr std::int64_t kLstmPad = 16;

inline std::int64_t lstm_padded(std::int64_t n) { return (n + kLstmPad - 1) / kLstmPad * kLstmPad; }

/// Row strides, in elements, of everything the kernels keep. None is a multiple of 256 elements: rows a multiple of
/// 1 KiB apart (4 KiB after four) would all compete for the same few lines of the first-level cache.
struct LstmLayout {
  std::int64_t joint;  // [h̃ (H), x̃ (I)]: the rows that are multiplied by the weights
  std::int64_t gates;  // [i f g o] (4H) before activation, activated, and their gradients
  std::int64_t state;  // H, a multiple of kLstmPad: cells; the bias gradient takes four of these
  std::int64_t input;  // I
  std::int64_t forward_columns, backward_columns;  // of the packed weights: 4H and H + I, padded

  explicit LstmLayout(const LstmShape& s)
      : joint(spread(std::max(s.hidden + lstm_padded(s.input), lstm_padded(s.hidden)))),
        gates(spread(3 * s.hidden + lstm_padded(s.hidden) + kLstmPad)),
        state(lstm_padded(s.hidden)),
        input(lstm_padded(s.input)),
        forward_columns(lstm_padded(4 * s.hidden)),
        backward_columns(lstm_padded(s.hidden + s.input)) {}

 private:
  static std::int64_t spread(std::int64_t n) {
    const std::int64_t stride = lstm_padded(n);
    return stride % 256 == 0 ? stride + kLstmPad : stride;
  }
};

/// Rows of gate gradients that are collected before they go into the weight gradient: long enough that reading and
/// writing that gradient once per block costs little, short enough that the block stays in the second-level cache.
inline constexpr std::int64_t kLstmBlockRows = 200;

/// Rows of it that are multiplied at once: with panels of 5 vectors, 20 of the 32 KB of a first-level cache.
inline constexpr std::int64_t kLstmPanelRows = 64;

inline std::int64_t lstm_block_rows(const LstmPlan::Slice& slice) {
  const auto rows = static_cast<std::int64_t>(slice.rows.size());
  return std::min(std::max(kLstmBlockRows, rows), std::max(slice.pairs(), rows));
}

/// Hands out pieces of a caller's buffer in a fixed order, each a multiple of kLstmPad elements. With a null base it
/// only counts: sizes and addresses come from the same code.
template <class T>
class LstmPieces {
 public:
  explicit LstmPieces(T* base) : base_(base) {}
  T* take(std::int64_t n) {
    T* const piece = base_ ? base_ + used_ : nullptr;
    used_ += lstm_padded(n);
    return piece;
  }
  std::int64_t used() const { return used_; }

 private:
  T* base_;
  std::int64_t used_ = 0;
};

/// The part of worker `w` of what all workers take from `pieces` in turn; take(part, slice) takes one worker's.
template <class Part, class T, class Take>
Part lstm_part(const LstmPlan& plan, LstmPieces<T> pieces, std::int64_t w, const Take& take) {
  Part part;
  for (std::int64_t i = 0; i <= w; ++i) take(part, pieces, plan.slices()[i]);
  return part;
}

/// One worker's part of `saved`.
template <class T>
struct LstmSaved {
  T* joint = nullptr;  // [pairs][joint]
  T* gates = nullptr;  // [pairs][gates], activated
  T* cells = nullptr;  // [rows + pairs][state]: c0 of every row, then c after each (step, row)

  void take(LstmPieces<T>& pieces, const LstmLayout& layout, const LstmPlan::Slice& slice) {
    const auto rows = static_cast<std::int64_t>(slice.rows.size());
    joint = pieces.take(slice.pairs() * layout.joint);
    gates = pieces.take(slice.pairs() * layout.gates);
    cells = pieces.take((rows + slice.pairs()) * layout.state);
  }
};

/// Read by all workers: the weights as panels, and the row that every product starts from (bias; zeros).
template <class T>
struct LstmPacked {
  T *weights = nullptr, *start = nullptr;

  void take(LstmPieces<T>& pieces, std::int64_t depth, std::int64_t columns) {
    weights = pieces.take(depth * columns);
    start = pieces.take(columns);
  }
};

template <class T>
struct LstmForwardScratch {
  T* input_mask = nullptr;      // [rows][input], in the slice's order
  T* recurrent_mask = nullptr;  // [rows][state]
  T *joint = nullptr, *gates = nullptr,
    *cells = nullptr;  // one step of LstmSaved, when nothing is saved

  void take(LstmPieces<T>& pieces, const LstmLayout& layout, const LstmPlan::Slice& slice,
            bool training) {
    const auto rows = static_cast<std::int64_t>(slice.rows.size());
    input_mask = pieces.take(rows * layout.input);
    recurrent_mask = pieces.take(rows * layout.state);
    if (training) return;
    joint = pieces.take(rows * layout.joint);
    gates = pieces.take(rows * layout.gates);
    cells = pieces.take(rows * layout.state);
  }
};

template <class T>
struct LstmBackwardScratch {
  T* gates = nullptr;       // [block rows][gates]: gate gradients, filled from the end
  T* panel = nullptr;       // [block rows][columns of one panel]
  T* joint = nullptr;       // [rows][backward_columns + pad]: gradient of [h̃, x̃]
  T* cells = nullptr;       // [rows][state]
  T* bias = nullptr;        // [4 state]
  T* weights = nullptr;     // [panels][H + I][columns of the panel]
  T* input_mask = nullptr;  // as in LstmForwardScratch
  T* recurrent_mask = nullptr;

  void take(LstmPieces<T>& pieces, const LstmShape& shape, const LstmLayout& layout,
            const LstmPlan::Slice& slice) {
    const auto rows = static_cast<std::int64_t>(slice.rows.size());
    const std::int64_t block = lstm_block_rows(slice);
    gates = pieces.take(block * layout.gates);
    panel = pieces.take(block * kLstmPanelColumns);
    joint = pieces.take(rows * layout.joint);
    cells = pieces.take(rows * layout.state);
    bias = pieces.take(4 * layout.state);
    weights = pieces.take((shape.hidden + shape.input) * layout.forward_columns);
    input_mask = pieces.take(rows * layout.input);
    recurrent_mask = pieces.take(rows * layout.state);
  }

  static constexpr std::int64_t kLstmPanelColumns = 5 * kLstmPad;
};

}  // namespace attend::kernels
