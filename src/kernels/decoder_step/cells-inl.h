// The cells of a decoder step on one row, once per Highway target.
#if defined(ATTEND_KERNELS_DECODER_STEP_CELLS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_DECODER_STEP_CELLS_INL_H_
#undef ATTEND_KERNELS_DECODER_STEP_CELLS_INL_H_
#else
#define ATTEND_KERNELS_DECODER_STEP_CELLS_INL_H_
#endif

#include <hwy/highway.h>

#include "attend/kernels/decoder_step.h"
#include "kernels/lstm/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

/// Up to one vector of a row: `n` elements at `at` of every block. Reads and writes nothing beyond.
template <class T>
struct StepLanes {
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  std::int64_t hidden, at, n;

  bool whole() const { return n == static_cast<std::int64_t>(hn::Lanes(D())); }
  HWY_INLINE V load(const T* row, int block = 0) const {
    const T* const p = row + block * hidden + at;
    return whole() ? hn::LoadU(D(), p) : load_n(D(), p, static_cast<std::size_t>(n));
  }
  HWY_INLINE V load_or_zero(const T* row) const { return row ? load(row) : hn::Zero(D()); }
  HWY_INLINE void store(V v, T* row, int block = 0) const {
    T* const p = row + block * hidden + at;
    if (whole())
      hn::StoreU(v, D(), p);
    else
      store_n(v, D(), p, static_cast<std::size_t>(n));
  }
};

/// f(lanes, row) over the rows first … last − 1, a vector at a time.
template <class T, class F>
HWY_INLINE void step_lanes(std::int64_t hidden, std::int64_t first, std::int64_t last, const F& f) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  for (std::int64_t row = first; row < last; ++row)
    for (std::int64_t at = 0; at < hidden; at += lanes)
      f(StepLanes<T>{hidden, at, std::min(lanes, hidden - at)}, row);
}

/// x and u of one row.
template <class T>
struct StepSums {
  const T *token, *context, *product;

  StepSums(const StepForward<T>& p, std::int64_t row)
      : token(p.token + row * p.token_row),
        context(p.from_context ? p.from_context + row * step_gates(p.cell) * p.hidden : nullptr),
        product(p.from_state + row * step_gates(p.cell) * p.hidden) {}
  HWY_INLINE auto input(const StepLanes<T>& l, int block) const {
    return context ? hn::Add(l.load(token, block), l.load(context, block)) : l.load(token, block);
  }
  HWY_INLINE auto all(const StepLanes<T>& l, int block) const {
    return hn::Add(input(l, block), l.load(product, block));
  }
};

template <class T>
void step_reset_rows(const StepForward<T>& p, std::int64_t first, std::int64_t last) {
  const hn::ScalableTag<T> d;
  step_lanes<T>(p.hidden, first, last, [&](const StepLanes<T>& l, std::int64_t row) HWY_ATTR {
    const auto r = gate_sigmoid(d, StepSums<T>(p, row).all(l, 0));
    T* const kept = p.kept + row * 4 * p.hidden;
    l.store(r, kept, 1);
    l.store(hn::Mul(r, l.load(p.state + row * p.hidden)), kept, 0);
  });
}

template <StepCell kCell, class T>
HWY_INLINE void gru_step_lanes(const StepForward<T>& p, const StepLanes<T>& l, std::int64_t row) {
  const hn::ScalableTag<T> d;
  const StepSums<T> sums(p, row);
  T* const kept = p.kept + row * 4 * p.hidden;
  const auto u = l.load(sums.product, 2);
  auto x = sums.input(l, 2);
  if constexpr (kCell == StepCell::kGruResetAfter) {
    const auto r = gate_sigmoid(d, sums.all(l, 0));
    x = hn::MulAdd(r, u, x);
    l.store(u, kept, 0), l.store(r, kept, 1);
  } else {
    x = hn::Add(x, u);
  }
  const auto z = gate_sigmoid(d, sums.all(l, 1)), n = gate_tanh(d, x);
  l.store(z, kept, 2), l.store(n, kept, 3);
  l.store(hn::MulAdd(z, hn::Sub(l.load(p.state + row * p.hidden), n), n), p.after + row * p.hidden);
}

template <class T>
HWY_INLINE void lstm_step_lanes(const StepForward<T>& p, const StepLanes<T>& l, std::int64_t row) {
  const hn::ScalableTag<T> d;
  const StepSums<T> sums(p, row);
  const auto i = gate_sigmoid(d, sums.all(l, 0)), f = gate_sigmoid(d, sums.all(l, 1));
  const auto g = gate_tanh(d, sums.all(l, 2)), o = gate_sigmoid(d, sums.all(l, 3));
  T* const kept = p.kept + row * 4 * p.hidden;
  l.store(i, kept, 0), l.store(f, kept, 1), l.store(g, kept, 2), l.store(o, kept, 3);
  const auto memory = hn::MulAdd(f, l.load(p.memory + row * p.hidden), hn::Mul(i, g));
  l.store(memory, p.memory_after + row * p.hidden);
  l.store(hn::Mul(o, gate_tanh(d, memory)), p.after + row * p.hidden);
}

template <StepCell kCell, class T>
void step_forward_cell(const StepForward<T>& p, std::int64_t first, std::int64_t last) {
  step_lanes<T>(p.hidden, first, last, [&](const StepLanes<T>& l, std::int64_t row) HWY_ATTR {
    if constexpr (kCell == StepCell::kLstm)
      lstm_step_lanes(p, l, row);
    else
      gru_step_lanes<kCell>(p, l, row);
  });
}

template <StepCell kCell, class T>
HWY_INLINE void gru_step_lanes_back(const StepBackward<T>& p, const StepLanes<T>& l,
                                    std::int64_t row) {
  const auto one = hn::Set(hn::ScalableTag<T>(), T(1));
  const T* const kept = p.kept + row * 4 * p.hidden;
  T* const input = p.grad_input + row * 3 * p.hidden;
  const auto z = l.load(kept, 2), n = l.load(kept, 3);
  const auto grad = l.load_or_zero(p.grad_after ? p.grad_after + row * p.hidden : nullptr);
  const auto through = hn::Mul(grad, z);  // to the state
  const auto dn = hn::Mul(hn::Sub(grad, through), hn::NegMulAdd(n, n, one));
  const auto dz =
      hn::Mul(hn::Mul(through, hn::Sub(one, z)), hn::Sub(l.load(p.state + row * p.hidden), n));
  l.store(through, p.grad_state + row * p.hidden);
  l.store(dz, input, 1), l.store(dn, input, 2);
  if constexpr (kCell == StepCell::kGruResetAfter) {
    T* const product = p.grad_product + row * 3 * p.hidden;
    const auto r = l.load(kept, 1), du = hn::Mul(dn, r);
    const auto dr = hn::Mul(hn::Mul(du, hn::Sub(one, r)), l.load(kept, 0));
    l.store(dr, input, 0);
    l.store(dr, product, 0), l.store(dz, product, 1), l.store(du, product, 2);
  }
}

template <class T>
HWY_INLINE void lstm_step_lanes_back(const StepBackward<T>& p, const StepLanes<T>& l,
                                     std::int64_t row) {
  const hn::ScalableTag<T> d;
  const auto one = hn::Set(d, T(1));
  const T* const kept = p.kept + row * 4 * p.hidden;
  T* const input = p.grad_input + row * 4 * p.hidden;
  const std::int64_t at = row * p.hidden;
  const auto i = l.load(kept, 0), f = l.load(kept, 1), g = l.load(kept, 2), o = l.load(kept, 3);
  const auto squashed = gate_tanh(d, l.load(p.memory_after + at));
  const auto grad = hn::Mul(l.load_or_zero(p.grad_after ? p.grad_after + at : nullptr), o);
  const auto dm =
      hn::MulAdd(grad, hn::NegMulAdd(squashed, squashed, one),
                 l.load_or_zero(p.grad_memory_after ? p.grad_memory_after + at : nullptr));
  l.store(hn::Mul(dm, f), p.grad_memory + at);
  l.store(hn::Mul(hn::Mul(dm, g), hn::Mul(i, hn::Sub(one, i))), input, 0);
  l.store(hn::Mul(hn::Mul(dm, l.load(p.memory + at)), hn::Mul(f, hn::Sub(one, f))), input, 1);
  l.store(hn::Mul(hn::Mul(dm, i), hn::NegMulAdd(g, g, one)), input, 2);
  l.store(hn::Mul(hn::Mul(grad, squashed), hn::Sub(one, o)), input, 3);
  l.store(hn::Zero(d), p.grad_state + at);
}

template <StepCell kCell, class T>
void step_backward_cell(const StepBackward<T>& p, std::int64_t first, std::int64_t last) {
  step_lanes<T>(p.hidden, first, last, [&](const StepLanes<T>& l, std::int64_t row) HWY_ATTR {
    if constexpr (kCell == StepCell::kLstm)
      lstm_step_lanes_back(p, l, row);
    else
      gru_step_lanes_back<kCell>(p, l, row);
  });
}

template <class T>
void step_reset_backward_rows(const StepBackward<T>& p, std::int64_t first, std::int64_t last) {
  const auto one = hn::Set(hn::ScalableTag<T>(), T(1));
  step_lanes<T>(p.hidden, first, last, [&](const StepLanes<T>& l, std::int64_t row) HWY_ATTR {
    const T* const kept = p.kept + row * 4 * p.hidden;
    T* const state = p.grad_state + row * p.hidden;
    const auto r = l.load(kept, 1);
    const auto through = hn::Mul(l.load(p.grad_reset + row * p.hidden), r);
    l.store(hn::Add(l.load(state), through), state);
    // kept holds r ∘ state: (dv r)(1 − r) state = dv (1 − r) (r ∘ state)
    l.store(
        hn::Mul(hn::Mul(l.load(p.grad_reset + row * p.hidden), hn::Sub(one, r)), l.load(kept, 0)),
        p.grad_input + row * 3 * p.hidden, 0);
  });
}

/// The loops by the cell, known at compile time inside them.
template <class T>
void step_forward_rows(const StepForward<T>& p, std::int64_t first, std::int64_t last) {
  if (p.cell == StepCell::kLstm) return step_forward_cell<StepCell::kLstm>(p, first, last);
  if (p.cell == StepCell::kGruResetAfter)
    return step_forward_cell<StepCell::kGruResetAfter>(p, first, last);
  step_forward_cell<StepCell::kGruResetBefore>(p, first, last);
}

template <class T>
void step_backward_rows(const StepBackward<T>& p, std::int64_t first, std::int64_t last) {
  if (p.cell == StepCell::kLstm) return step_backward_cell<StepCell::kLstm>(p, first, last);
  if (p.cell == StepCell::kGruResetAfter)
    return step_backward_cell<StepCell::kGruResetAfter>(p, first, last);
  step_backward_cell<StepCell::kGruResetBefore>(p, first, last);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
