// Sigmoid and tanh of the LSTM's gates. In double, simd/math-inl.h's. In float, cheaper ones: five are needed per
// hidden unit and step.
//
//   2^y = 2^n (1 + f p(f)),  n = round(y), f = y − n, p of degree 5: (2^f − 1) / f on [−½, ½] to 1.1e-8 (Lawson's
//   iteration on Chebyshev nodes); y = x log2 e is rounded once, which costs relative accuracy only where σ and tanh
//   are flat.
//   σ(x) = 1 / (1 + 2^(−x log2 e));  tanh(x) = m / (m + 2), m = 2^(2x log2 e) − 1, accurate around 0 too.
//
// NaN stays NaN: Min and Max return their second operand when one is NaN.
#if defined(ATTEND_KERNELS_LSTM_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_LSTM_ACTIVATION_INL_H_
#undef ATTEND_KERNELS_LSTM_ACTIVATION_INL_H_
#else
#define ATTEND_KERNELS_LSTM_ACTIVATION_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr float kExp2Fraction[] = {0.693147182f,   0.240226492f,   0.0555035733f,
                                          0.00961823761f, 0.00133907353f, 0.000154035122f};

/// x in [low, high], NaN as it is.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V between(D d, float low, V x, float high) {
  return hn::Min(hn::Set(d, high), hn::Max(hn::Set(d, low), x));
}

/// 2^n for integral n in [−126, 127].
template <class D, class V = hn::Vec<D>>
HWY_INLINE V whole_power(D d, V n) {
#if HWY_TARGET <= HWY_AVX3
  return scale_by_power(d, hn::Set(d, 1.0f), n);  // one instruction there
#else
  return power_of_two(d, to_integer(d, n));
#endif
}

/// 1 / x for finite x of at least 1. AVX-512 approximates to 14 bits, which one Newton step completes; a division
/// takes longer than both.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V reciprocal(D d, V x) {
#if HWY_TARGET <= HWY_AVX3
  const V r = hn::ApproximateReciprocal(x);
  return hn::Mul(r, hn::NegMulAdd(x, r, hn::Set(d, 2.0f)));
#else
  return hn::Div(hn::Set(d, 1.0f), x);
#endif
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V gate_sigmoid(D d, V x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return sigmoid(d, x);
  } else {
    const V y = between(d, -126.0f, hn::Mul(x, hn::Set(d, -1.44269504f)), 126.0f);
    const V n = hn::Round(y);
    const V f = hn::Sub(y, n);
    const V one = hn::Set(d, 1.0f);
    const V fraction = hn::MulAdd(f, polynomial(d, f, kExp2Fraction), one);
    return reciprocal(d, hn::MulAdd(fraction, whole_power(d, n), one));
  }
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V gate_tanh(D d, V x) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    return tanh(d, x);
  } else {
    const V y = between(d, -26.0f, hn::Mul(x, hn::Set(d, 2.88539008f)), 26.0f);
    const V n = hn::Round(y);
    const V f = hn::Sub(y, n);
    const V power = whole_power(d, n);
    const V fraction = hn::Mul(f, polynomial(d, f, kExp2Fraction));
    const V m = hn::MulAdd(power, fraction, hn::Sub(power, hn::Set(d, 1.0f)));
    return hn::Mul(m, reciprocal(d, hn::Add(m, hn::Set(d, 2.0f))));
  }
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
