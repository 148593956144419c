#pragma once
#include <cstdint>

namespace attend::kernels {

/// The cell of a decoder step. A row of its gates is G blocks of H: [r z n] for the GRU (G = 3), [i f g o] for the LSTM (G = 4).
enum class StepCell { kGruResetAfter, kGruResetBefore, kLstm };
constexpr std::int64_t step_gates(StepCell cell) { return cell == StepCell::kLstm ? 4 : 3; }

/// The cell's part of one decoder step, element by element, its products being made by gemm:
///   x = token + from_context,  u = from_state
///   GRU:   r, z = σ(x + u),  n = tanh(x + r u) or, where the reset comes before the product, tanh(x + u)
///          after = n + z (state − n)
///   LSTM:  i, f, o = σ(x + u),  g = tanh(x + u),  memory_after = f memory + i g,  after = o tanh(memory_after)
/// Dense rows of G H or H elements; token's rows are token_row apart. T is float or double.
template <class T>
struct StepForward {
  StepCell cell = StepCell::kGruResetAfter;
  std::int64_t batch = 0, hidden = 0;
  const T* token = nullptr;
  std::int64_t token_row = 0;
  const T *from_context = nullptr,
          *from_state = nullptr;  // LSTM: from_context may be null, for zero
  const T *state = nullptr, *memory = nullptr;
  T* kept =
      nullptr;  // [B,4H] for backward: GRU [u r z n], with r ∘ state for u where the reset comes first; LSTM [i f g o]
  T *after = nullptr, *memory_after = nullptr;
};

/// kGruResetBefore only, before step_forward: r and r ∘ state into kept. from_state's block of n is not read yet.
template <class T>
void step_reset(const StepForward<T>& p);
/// Reads r from kept where the cell is kGruResetBefore. Parallel over the batch; no allocation.
template <class T>
void step_forward(const StepForward<T>& p);

template <class T>
struct StepBackward {
  StepCell cell = StepCell::kGruResetAfter;
  std::int64_t batch = 0, hidden = 0;
  const T *state = nullptr, *memory = nullptr, *memory_after = nullptr, *kept = nullptr;
  const T *grad_after = nullptr, *grad_memory_after = nullptr;  // or null: zero
  T* grad_input = nullptr;                                      // [B,GH]: of x
  T* grad_product = nullptr;  // [B,GH]: of u; kGruResetAfter only, elsewhere it is grad_input
  T *grad_state = nullptr, *grad_memory = nullptr;  // [B,H]: what passes no product
  const T* grad_reset = nullptr;  // [B,H]: of r ∘ state; step_reset_backward only
};

/// All but r's block of grad_input where the cell is kGruResetBefore, which step_reset_backward adds from grad_reset.
template <class T>
void step_backward(const StepBackward<T>& p);
template <class T>
void step_reset_backward(const StepBackward<T>& p);

}  // namespace attend::kernels
