// Vector mathematics shared by the kernels: exp2, exp, expm1, tanh, sigmoid, log, and loads and
// stores of a tail. Included once per Highway target (after hwy/foreach_target.h and
// hwy/highway.h), hence the guard that toggles.
//
// Largest error that tests/kernels/simd_math_test.cpp allows, in units in the last place of the
// result, against 80-bit libm on 200,000 floats and 80,000 doubles per function and target
// (measured: 1.1, 1.1, 1.8, 2.5, 2.2, 1.6):
//   exp2 1.5, exp 1.5, expm1 2, tanh 3, sigmoid 3, log 2
// All take NaN to NaN, ±inf to the limit, overflow to +inf. Results below the smallest normal
// number may lose bits or become 0.
//
// exp: Cody and Waite's reduction x = n ln 2 + r, then e^r = 1 + r + r² p(r) with p of degree 4
// (float) or 10 (double) interpolated at Chebyshev nodes on |r| ≤ ln 2 / 2, then the exponent is
// put in by a multiplication (AVX-512: scalef). tanh(x) = m / (m + 2) with m = expm1(2x): one
// division and full relative accuracy around 0, where 1 − 2/(e^{2x} + 1) has none and a network
// with small weights lives.
#if defined(ATTEND_KERNELS_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_SIMD_MATH_INL_H_
#undef ATTEND_KERNELS_SIMD_MATH_INL_H_
#else
#define ATTEND_KERNELS_SIMD_MATH_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Masked loads fault on the unmapped page after the data, and read its neighbours, on targets below
// AVX2; there the tail goes through a buffer.
#define ATTEND_MASKED_MEMORY (HWY_TARGET <= HWY_AVX2)

/// Lanes [0, n) from p, the others 0; nothing beyond p[n−1] is read. 0 ≤ n ≤ Lanes(d).
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_n(D d, const T* HWY_RESTRICT p, std::size_t n) {
#if ATTEND_MASKED_MEMORY
  return hn::MaskedLoad(hn::FirstN(d, n), d, p);
#else
  HWY_ALIGN T lanes[hn::MaxLanes(d)] = {};
  std::memcpy(lanes, p, n * sizeof(T));
  return hn::Load(d, lanes);
#endif
}

/// Stores lanes [0, n) to p and touches nothing else.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void store_n(hn::Vec<D> v, D d, T* HWY_RESTRICT p, std::size_t n) {
#if ATTEND_MASKED_MEMORY
  hn::BlendedStore(v, hn::FirstN(d, n), d, p);
#else
  HWY_ALIGN T lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  std::memcpy(p, lanes, n * sizeof(T));
#endif
}

template <class T>
struct MathConstants;

template <>
struct MathConstants<float> {
  using Int = std::int32_t;
  static constexpr int kMantissaBits = 23, kBias = 127;
  static constexpr float kLn2High = 0.693145751953125f, kLn2Low = 1.42860682e-6f,
                         kLog2e = 1.44269504f;
  static constexpr float kExpLow = -104.0f, kExpHigh = 89.0f;  // e^x is 0 below and inf above
  static constexpr float kExp2Low = -150.0f, kExp2High = 129.0f;
  static constexpr float kTanhHigh = 9.02f;  // tanh rounds to 1 from here on
  static constexpr Int kSqrtHalfBits = 0x3f3504f3;
  static constexpr float kSmallestNormal = 1.17549435e-38f;
  static constexpr float kExp[] = {0.5f, 0.166665770f, 0.0416665546f, 0.00836317905f,
                                   0.00139261836f};
  static constexpr float kLog[] = {0.666666666f, 0.400001219f, 0.285508166f, 0.233305819f};
};

template <>
struct MathConstants<double> {
  using Int = std::int64_t;
  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr double kLn2High = 0.6931471804855391383171082,
                          kLn2Low = 7.4406171100123967161e-11, kLog2e = 1.4426950408889634074;
  static constexpr double kExpLow = -746.0, kExpHigh = 710.0;
  static constexpr double kExp2Low = -1075.0, kExp2High = 1025.0;
  static constexpr double kTanhHigh = 19.1;
  static constexpr Int kSqrtHalfBits = 0x3fe6a09e667f3bcd;
  static constexpr double kSmallestNormal = 2.2250738585072014e-308;
  static constexpr double kExp[] = {0.5,
                                    0.16666666666666670991,
                                    0.041666666666666669755,
                                    0.0083333333333261351258,
                                    0.0013888888888883748305,
                                    0.00019841269874820625271,
                                    0.000024801587325547741216,
                                    2.755725540020642443e-6,
                                    2.7557273643110295328e-7,
                                    2.5105217004720745164e-8,
                                    2.0914686968086877233e-9};
  static constexpr double kLog[] = {0.66666666666666666465, 0.40000000000000877606,
                                    0.28571428570803230015, 0.22222222391800469329,
                                    0.181817956308847532,   0.15386240205813477879,
                                    0.13268759668560612686, 0.13086767009948173713};
};

/// c[0] + c[1] x + … + c[N−1] x^(N−1), Horner.
template <class D, class V = hn::Vec<D>, class T, std::size_t N>
HWY_INLINE V polynomial(D d, V x, const T (&c)[N]) {
  V p = hn::Set(d, c[N - 1]);
  for (std::size_t i = N - 1; i-- > 0;) p = hn::MulAdd(p, x, hn::Set(d, c[i]));
  return p;
}

/// 2^n for integral n inside the range of normal exponents.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V power_of_two(D d, hn::Vec<hn::RebindToSigned<D>> n) {
  using M = MathConstants<hn::TFromD<D>>;
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::ShiftLeft<M::kMantissaBits>(hn::Add(n, hn::Set(di, M::kBias))));
}

/// round(x) as integers of the lane's width. Not ConvertTo, which is missing for double on some
/// targets: adding 1.5 · 2^m leaves the integer in the low mantissa bits.
template <class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> to_integer(D d, V x) {
  using M = MathConstants<hn::TFromD<D>>;
  using T = hn::TFromD<D>;
  const hn::RebindToSigned<D> di;
  const V magic = hn::Set(d, static_cast<T>(3ll << (M::kMantissaBits - 1)));
  return hn::Sub(hn::BitCast(di, hn::Add(x, magic)), hn::BitCast(di, magic));
}

/// y · 2^n for integral n; a result outside the normal range becomes 0, denormal or inf.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V scale_by_power(D d, V y, V n) {
#if HWY_TARGET <= HWY_AVX3
  if constexpr (sizeof(hn::TFromD<D>) == 4 && hn::MaxLanes(D()) == 16) {
    (void)d;
    return V{_mm512_scalef_ps(y.raw, n.raw)};
  } else if constexpr (sizeof(hn::TFromD<D>) == 8 && hn::MaxLanes(D()) == 8) {
    (void)d;
    return V{_mm512_scalef_pd(y.raw, n.raw)};
  } else
#endif
  {
    const hn::RebindToSigned<D> di;
    const auto whole = to_integer(d, n);
    const auto half =
        hn::ShiftRight<1>(whole);  // two factors: 2^n alone may leave the normal range
    (void)di;
    return hn::Mul(hn::Mul(y, power_of_two(d, half)), power_of_two(d, hn::Sub(whole, half)));
  }
}

/// e^r − 1 for |r| ≤ ln 2 / 2.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V expm1_reduced(D d, V r) {
  const V p = polynomial(d, r, MathConstants<hn::TFromD<D>>::kExp);
  return hn::MulAdd(hn::Mul(r, r), p, r);
}

/// x clamped to [low, high]; NaN stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V clamp_keeping_nan(D d, V x, hn::TFromD<D> low, hn::TFromD<D> high) {
  const V above = hn::IfThenElse(hn::Lt(x, hn::Set(d, low)), hn::Set(d, low), x);
  return hn::IfThenElse(hn::Gt(above, hn::Set(d, high)), hn::Set(d, high), above);
}

/// n = round(x / ln 2) and r = x − n ln 2.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void reduce_exp(D d, V x, V& n, V& r) {
  using M = MathConstants<hn::TFromD<D>>;
  n = hn::Round(hn::Mul(x, hn::Set(d, M::kLog2e)));
  r = hn::NegMulAdd(n, hn::Set(d, M::kLn2High), x);
  r = hn::NegMulAdd(n, hn::Set(d, M::kLn2Low), r);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp(D d, V x) {
  using M = MathConstants<hn::TFromD<D>>;
  V n, r;
  reduce_exp(d, clamp_keeping_nan(d, x, M::kExpLow, M::kExpHigh), n, r);
  return scale_by_power(d, hn::Add(expm1_reduced(d, r), hn::Set(d, 1)), n);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp2(D d, V x) {
  using M = MathConstants<hn::TFromD<D>>;
  x = clamp_keeping_nan(d, x, M::kExp2Low, M::kExp2High);
  const V n = hn::Round(x);
  const V f = hn::Sub(x, n);
  const V high = hn::Set(d, M::kLn2High), low = hn::Set(d, M::kLn2Low);
  const V r = hn::MulAdd(f, high, hn::Mul(f, low));
  return scale_by_power(d, hn::Add(expm1_reduced(d, r), hn::Set(d, 1)), n);
}

/// e^x − 1 for x ≤ 80, below which 2^n stays a normal number (kernels need no more; tanh is its
/// caller).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V expm1_bounded(D d, V x) {
  V n, r;
  reduce_exp(d, x, n, r);
  const V power = power_of_two(d, to_integer(d, n));
  return hn::MulAdd(power, expm1_reduced(d, r), hn::Sub(power, hn::Set(d, 1)));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh(D d, V x) {
  using M = MathConstants<hn::TFromD<D>>;
  x = clamp_keeping_nan(d, x, -M::kTanhHigh, M::kTanhHigh);
  const V m = expm1_bounded(d, hn::Add(x, x));
  return hn::Div(m, hn::Add(m, hn::Set(d, 2)));
}

/// 1 / (1 + e^−x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V sigmoid(D d, V x) {
  const V one = hn::Set(d, 1);
  return hn::Div(one, hn::Add(one, exp(d, hn::Neg(x))));
}

/// Natural logarithm; log(0) = −inf, log(negative) = NaN, log(+inf) = +inf. Denormals are taken as
/// they are.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V log(D d, V x) {
  using T = hn::TFromD<D>;
  using M = MathConstants<T>;
  const hn::RebindToSigned<D> di;
  // x = 2^k m with m in [√½, √2): subtracting √½'s bits moves the exponent boundary there.
  const auto tiny = hn::Lt(x, hn::Set(d, M::kSmallestNormal));
  const V scaled =
      hn::IfThenElse(tiny, hn::Mul(x, hn::Set(d, T(1ll << (M::kMantissaBits + 2)))), x);
  const auto bits = hn::BitCast(di, scaled);
  const auto k = hn::ShiftRight<M::kMantissaBits>(hn::Sub(bits, hn::Set(di, M::kSqrtHalfBits)));
  const V m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<M::kMantissaBits>(k)));
  // Back to floating point by the magic number of to_integer; |k| is small.
  const V magic = hn::Set(d, static_cast<T>(3ll << (M::kMantissaBits - 1)));
  V kf = hn::Sub(hn::BitCast(d, hn::Add(k, hn::BitCast(di, magic))), magic);
  kf = hn::IfThenElse(tiny, hn::Sub(kf, hn::Set(d, T(M::kMantissaBits + 2))), kf);
  // log m = 2s + s³ R(s²) with s = (m − 1)/(m + 1); written as f − s (f − s² R) it keeps the bits
  // of f = m − 1.
  const V f = hn::Sub(m, hn::Set(d, 1));
  const V s = hn::Div(f, hn::Add(f, hn::Set(d, 2)));
  const V z = hn::Mul(s, s);
  const V inner = hn::NegMulAdd(z, polynomial(d, z, M::kLog), f);
  const V low = hn::NegMulAdd(s, inner, hn::Mul(kf, hn::Set(d, M::kLn2Low)));
  const V value = hn::MulAdd(kf, hn::Set(d, M::kLn2High), hn::Add(f, low));
  const V infinity = hn::Inf(d);
  const V at_zero = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity), hn::NaN(d));
  const V edge = hn::IfThenElse(hn::Gt(x, hn::Zero(d)), value, at_zero);
  return hn::IfThenElse(hn::Eq(x, infinity), infinity, edge);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
