#pragma once
#include "attend/kernels/gru.h"
#include "kernels/lstm/layout.h"

namespace attend::kernels {

// A row of gates is [u r z a], each H wide: r and z; a = the input's part of n, before activation; u = the recurrent
// part of n where the reset comes after the product, else v = r ∘ h̃, what is multiplied. In this order [r z a] are the
// columns that x̃ contributes to, and products that go from left to right overwrite what the one before spilled.
// Saved rows and scratch are the LSTM's (lstm/layout.h): `joint` is [h̃, x̃], `cells` are the states h.

/// Three matrices that the weights are cut into: those of h̃ to n, of [h̃, x̃] or h̃ to r and z, and of x̃ (to n or all).
template <class T>
struct GruMatrices {
  T *hidden = nullptr, *gates = nullptr, *input = nullptr;

  /// Packed for forward: [H][H], [H + I][2H], [I][H], columns padded.
  void take_forward(LstmPieces<T>& pieces, const LstmShape& s) {
    hidden = pieces.take(s.hidden * lstm_padded(s.hidden));
    gates = pieces.take((s.hidden + s.input) * lstm_padded(2 * s.hidden));
    input = pieces.take(s.input * lstm_padded(s.hidden));
  }
  /// Packed for backward: [H][H], [2H][H], [3H][I].
  void take_backward(LstmPieces<T>& pieces, const LstmShape& s) {
    hidden = pieces.take(s.hidden * lstm_padded(s.hidden));
    gates = pieces.take(2 * s.hidden * lstm_padded(s.hidden));
    input = pieces.take(3 * s.hidden * lstm_padded(s.input));
  }
  /// One worker's weight gradients: [H][H], [H][2H], [I][3H].
  void take_sums(LstmPieces<T>& pieces, const LstmShape& s) {
    hidden = pieces.take(s.hidden * lstm_padded(s.hidden));
    gates = pieces.take(s.hidden * lstm_padded(2 * s.hidden));
    input = pieces.take(s.input * lstm_padded(3 * s.hidden));
  }
};

/// What the products start from: biases of u, [r z] and a; zeros in backward.
template <class T>
struct GruStart {
  T *hidden = nullptr, *gates = nullptr, *input = nullptr;

  void take(LstmPieces<T>& pieces, const LstmShape& s) {
    hidden = pieces.take(lstm_padded(s.hidden));
    gates = pieces.take(lstm_padded(2 * s.hidden));
    input = pieces.take(lstm_padded(std::max(s.hidden, s.input)));
  }
};

template <class T>
struct GruBackwardScratch {
  T* gates = nullptr;  // [block rows][gates]: gradients of [u r z a], filled from the end
  T* panel = nullptr;  // [block rows][columns of one panel]
  T* joint = nullptr;  // [rows][joint]: gradient of [h̃, x̃]
  T* carry = nullptr;  // [rows][state]: gradient of h that does not pass through the products
  T* bias = nullptr;   // [4 state]
  GruMatrices<T> sums;
  T *input_mask = nullptr, *recurrent_mask = nullptr;  // in the slice's order

  void take(LstmPieces<T>& pieces, const LstmShape& shape, const LstmLayout& layout,
            const LstmPlan::Slice& slice) {
    const auto rows = static_cast<std::int64_t>(slice.rows.size());
    gates = pieces.take(lstm_block_rows(slice) * layout.gates);
    panel = pieces.take(lstm_block_rows(slice) * LstmBackwardScratch<T>::kLstmPanelColumns);
    joint = pieces.take(rows * layout.joint);
    carry = pieces.take(rows * layout.state);
    bias = pieces.take(4 * layout.state);
    sums.take_sums(pieces, shape);
    input_mask = pieces.take(rows * layout.input);
    recurrent_mask = pieces.take(rows * layout.state);
  }
};

}  // namespace attend::kernels
