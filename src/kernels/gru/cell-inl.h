// The GRU cell on one row, forward and backward, in both forms. Included once per Highway target, hence the guard that
// toggles. Rows of gates are [u r z a] (gru/layout.h), with no padding between gates: hence store_up_to.
#if defined(ATTEND_KERNELS_GRU_CELL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_GRU_CELL_INL_H_
#undef ATTEND_KERNELS_GRU_CELL_INL_H_
#else
#define ATTEND_KERNELS_GRU_CELL_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/lstm/cell-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// r = σ(r), v = r ∘ h̃: what Cho's form multiplies by the weights of n.
template <class D, class T = hn::TFromD<D>>
void gru_reset(D d, T* gates, const T* h_masked, std::int64_t hidden) {
  for (std::int64_t u = 0; u < hidden; u += hn::Lanes(d)) {
    const auto r = gate_sigmoid(d, hn::LoadU(d, gates + hidden + u));
    store_up_to(d, hn::Mul(r, hn::LoadU(d, h_masked + u)), gates + u, hidden - u);
    store_up_to(d, r, gates + hidden + u, hidden - u);
  }
}

template <class T>
struct GruCellForward {
  T* gates;  // [u r z a] before activation (r is activated already in Cho's form); out: r, z, n
  const T* h_before;        // [H]
  T* state;                 // [H] h, padded; may be h_before
  T* h;                     // [H] h, the caller's: nothing is written after it
  T* h_next;                // [H] what the next step multiplies by the recurrent weights, or null
  const T* recurrent_mask;  // [H] or null: h_next = mask ∘ h
};

/// z = σ(z), n = tanh(a + r u) or tanh(a);  h = n + z (h_before − n)
template <GruForm kForm, class D, class T = hn::TFromD<D>>
void gru_cell_forward(D d, const GruCellForward<T>& row, std::int64_t hidden) {
  for (std::int64_t u = 0; u < hidden; u += hn::Lanes(d)) {
    T* const gates = row.gates + u;
    const std::int64_t left = hidden - u;
    auto a = hn::LoadU(d, gates + 3 * hidden);
    if constexpr (kForm == GruForm::kResetAfter) {
      const auto r = gate_sigmoid(d, hn::LoadU(d, gates + hidden));
      a = hn::MulAdd(r, hn::LoadU(d, gates), a);
      store_up_to(d, r, gates + hidden, left);
    }
    const auto z = gate_sigmoid(d, hn::LoadU(d, gates + 2 * hidden));
    const auto n = gate_tanh(d, a);
    const auto h = hn::MulAdd(z, hn::Sub(hn::LoadU(d, row.h_before + u), n), n);
    store_up_to(d, z, gates + 2 * hidden, left);
    store_up_to(d, n, gates + 3 * hidden, left);
    hn::StoreU(h, d, row.state + u);
    store_up_to(d, h, row.h + u, left);
    if (row.h_next)
      hn::StoreU(row.recurrent_mask ? hn::Mul(h, hn::LoadU(d, row.recurrent_mask + u)) : h, d,
                 row.h_next + u);
  }
}

template <class T>
struct GruCellBackward {
  const T* gates;     // [u r z n] activated
  const T* h_before;  // [H]
  T* dh;              // [H] gradient of h through the next step's products, with the output's
  T* carry;           // [H] in: the rest of it; out: the part of h_before's that passes no product
  T* before;          // [u r z a] out: gradients before activation; of [z a] alone in Cho's form
  T* bias;            // [4][state] sums of those
};

template <class D, class T = hn::TFromD<D>>
HWY_INLINE void gru_put(D d, hn::Vec<D> v, T* to, std::int64_t left, T* sum) {
  store_up_to(d, v, to, left);
  hn::StoreU(hn::Add(v, hn::LoadU(d, sum)), d, sum);
}

/// Gradients of gru_cell_forward.
template <GruForm kForm, class D, class T = hn::TFromD<D>>
void gru_cell_backward(D d, const GruCellBackward<T>& row, std::int64_t hidden,
                       std::int64_t state) {
  const auto one = hn::Set(d, T(1));
  for (std::int64_t u = 0; u < hidden; u += hn::Lanes(d)) {
    const std::int64_t left = hidden - u;
    const auto z = hn::LoadU(d, row.gates + 2 * hidden + u);
    const auto n = hn::LoadU(d, row.gates + 3 * hidden + u);
    const auto dh = hn::Add(hn::LoadU(d, row.dh + u), hn::LoadU(d, row.carry + u));
    const auto dhz = hn::Mul(dh, z);
    const auto da = hn::Mul(hn::Sub(dh, dhz), hn::NegMulAdd(n, n, one));
    const auto dz =
        hn::Mul(hn::Mul(dhz, hn::Sub(one, z)), hn::Sub(hn::LoadU(d, row.h_before + u), n));
    hn::StoreU(dhz, d, row.carry + u);
    if constexpr (kForm == GruForm::kResetAfter) {
      const auto r = hn::LoadU(d, row.gates + hidden + u);
      const auto du = hn::Mul(da, r);
      const auto dr = hn::Mul(hn::Mul(du, hn::Sub(one, r)), hn::LoadU(d, row.gates + u));
      gru_put(d, du, row.before + u, left, row.bias + u);
      gru_put(d, dr, row.before + hidden + u, left, row.bias + state + u);
    }
    gru_put(d, dz, row.before + 2 * hidden + u, left, row.bias + 2 * state + u);
    gru_put(d, da, row.before + 3 * hidden + u, left, row.bias + 3 * state + u);
  }
}

/// Gradients of gru_reset. dv in: of v; out: of h̃ through v.
template <class D, class T = hn::TFromD<D>>
void gru_reset_backward(D d, const GruCellBackward<T>& row, T* dv, const T* h_masked,
                        std::int64_t hidden, std::int64_t state) {
  const auto one = hn::Set(d, T(1));
  for (std::int64_t u = 0; u < hidden; u += hn::Lanes(d)) {
    const auto r = hn::LoadU(d, row.gates + hidden + u);
    const auto through = hn::Mul(hn::LoadU(d, dv + u), r);
    const auto dr = hn::Mul(hn::Mul(through, hn::Sub(one, r)), hn::LoadU(d, h_masked + u));
    store_up_to(d, through, dv + u, hidden - u);
    gru_put(d, dr, row.before + hidden + u, hidden - u, row.bias + state + u);
  }
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
