// The LSTM cell on one row, forward and backward. Included once per Highway target, hence the guard that toggles.
#if defined(ATTEND_KERNELS_LSTM_CELL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_LSTM_CELL_INL_H_
#undef ATTEND_KERNELS_LSTM_CELL_INL_H_
#else
#define ATTEND_KERNELS_LSTM_CELL_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/lstm/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Rows of one cell forward; all but h are padded to whole vectors.
template <class T>
struct CellForward {
  T* gates;  // [4H] before activation; afterwards activated, if they are kept
  bool keep_gates;
  const T* c_before;        // [H]
  T* c;                     // [H], may be c_before
  T* h;                     // [H], the caller's: nothing is written after it
  T* h_next;                // [H] what the next step multiplies by the recurrent weights, or null
  const T* recurrent_mask;  // [H] or null: h_next = mask ∘ h
};

/// The first min(lanes, n) lanes of v.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void store_up_to(D d, hn::Vec<D> v, T* to, std::int64_t n) {
  if (n >= static_cast<std::int64_t>(hn::Lanes(d))) {
    hn::StoreU(v, d, to);
  } else {
    store_n(v, d, to, n);
  }
}

/// i, f, o = σ(·), g = tanh(·);  c = f c_before + i g;  h = o tanh(c)
template <class D, class T = hn::TFromD<D>>
void cell_forward(D d, const CellForward<T>& row, std::int64_t hidden) {
  const std::int64_t lanes = hn::Lanes(d);
  for (std::int64_t u = 0; u < hidden; u += lanes) {
    const auto i = gate_sigmoid(d, hn::LoadU(d, row.gates + u));
    const auto f = gate_sigmoid(d, hn::LoadU(d, row.gates + hidden + u));
    const auto g = gate_tanh(d, hn::LoadU(d, row.gates + 2 * hidden + u));
    const auto o = gate_sigmoid(d, hn::LoadU(d, row.gates + 3 * hidden + u));
    const auto c = hn::MulAdd(f, hn::LoadU(d, row.c_before + u), hn::Mul(i, g));
    const auto h = hn::Mul(o, gate_tanh(d, c));
    hn::StoreU(c, d, row.c + u);
    store_up_to(d, h, row.h + u, hidden - u);
    if (row.keep_gates) {  // what follows a gate is the next one
      store_up_to(d, i, row.gates + u, hidden - u);
      store_up_to(d, f, row.gates + hidden + u, hidden - u);
      store_up_to(d, g, row.gates + 2 * hidden + u, hidden - u);
      store_up_to(d, o, row.gates + 3 * hidden + u, hidden - u);
    }
    if (row.h_next) {
      const auto next = row.recurrent_mask ? hn::Mul(h, hn::LoadU(d, row.recurrent_mask + u)) : h;
      hn::StoreU(next, d, row.h_next + u);
    }
  }
}

template <class T>
struct CellBackward {
  const T* gates;     // [4H] activated
  const T* c;         // [H] after the step
  const T* c_before;  // [H]
  const T* dh;        // [H] gradient of h, from the output and the next step together
  T* dc;              // [H] in: gradient of c from the next step; out: of c_before
  T* before;          // [4H] out: gradient of the gates before activation; spills up to a vector
  T* bias;            // [4][state] sums of those
};

/// Gradients of cell_forward. Units are walked downwards, and gates in order: what a store of `before` spills into the
/// next gate's first units is written after it.
template <class D, class T = hn::TFromD<D>>
void cell_backward(D d, const CellBackward<T>& row, std::int64_t hidden, std::int64_t state) {
  const std::int64_t lanes = hn::Lanes(d);
  const auto one = hn::Set(d, T(1));
  for (std::int64_t u = (hidden - 1) / lanes * lanes; u >= 0; u -= lanes) {
    const auto i = hn::LoadU(d, row.gates + u);
    const auto f = hn::LoadU(d, row.gates + hidden + u);
    const auto g = hn::LoadU(d, row.gates + 2 * hidden + u);
    const auto o = hn::LoadU(d, row.gates + 3 * hidden + u);
    const auto tanh_c = gate_tanh(d, hn::LoadU(d, row.c + u));
    const auto dh = hn::LoadU(d, row.dh + u);
    const auto dho = hn::Mul(dh, o);
    const auto dc = hn::MulAdd(dho, hn::NegMulAdd(tanh_c, tanh_c, one), hn::LoadU(d, row.dc + u));
    hn::StoreU(hn::Mul(dc, f), d, row.dc + u);
    const auto di = hn::Mul(hn::Mul(dc, g), hn::Mul(i, hn::Sub(one, i)));
    const auto df =
        hn::Mul(hn::Mul(dc, hn::LoadU(d, row.c_before + u)), hn::Mul(f, hn::Sub(one, f)));
    const auto dg = hn::Mul(hn::Mul(dc, i), hn::NegMulAdd(g, g, one));
    const auto d_o = hn::Mul(hn::Mul(dho, tanh_c), hn::Sub(one, o));
    const hn::Vec<D> all[] = {di, df, dg, d_o};
#pragma GCC unroll 4
    for (int gate = 0; gate < 4; ++gate) {
      hn::StoreU(all[gate], d, row.before + gate * hidden + u);
      T* sum = row.bias + gate * state + u;
      hn::StoreU(hn::Add(all[gate], hn::LoadU(d, sum)), d, sum);
    }
  }
}

/// a ∘= b over whole vectors covering n elements; both are padded.
template <class D, class T = hn::TFromD<D>>
void multiply_row(D d, T* HWY_RESTRICT a, const T* HWY_RESTRICT b, std::int64_t n) {
  for (std::int64_t u = 0; u < n; u += hn::Lanes(d))
    hn::StoreU(hn::Mul(hn::LoadU(d, a + u), hn::LoadU(d, b + u)), d, a + u);
}

/// a += b; b is read up to n only, a is padded.
template <class D, class T = hn::TFromD<D>>
void add_row(D d, T* HWY_RESTRICT a, const T* HWY_RESTRICT b, std::int64_t n) {
  const std::int64_t lanes = hn::Lanes(d);
  std::int64_t u = 0;
  for (; u + lanes <= n; u += lanes)
    hn::StoreU(hn::Add(hn::LoadU(d, a + u), hn::LoadU(d, b + u)), d, a + u);
  if (u < n) hn::StoreU(hn::Add(hn::LoadU(d, a + u), load_n(d, b + u, n - u)), d, a + u);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
