// A DRAW window: its filters, and its gradient from that of the filters. Once per Highway target.
#if defined(ATTEND_KERNELS_FILTERBANK_WINDOW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_FILTERBANK_WINDOW_INL_H_
#undef ATTEND_KERNELS_FILTERBANK_WINDOW_INL_H_
#else
#define ATTEND_KERNELS_FILTERBANK_WINDOW_INL_H_
#endif

#include <cmath>

#include "kernels/filterbank/product-inl.h"
#include "kernels/filterbank/scratch.h"
#include "kernels/simd/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// The five numbers, limited, and what they mean in pixels.
template <class T>
struct Window {
  T centre[2], variance, stride, intensity;  // centre: columns, rows
  bool inside[5];                            // whether the gradient passes the limit

  Window(const FilterbankShape& s, const T* given) {
    constexpr T kCentre = static_cast<T>(kFilterbankCentreLimit),
                kLog = static_cast<T>(kFilterbankLogLimit);
    T x[5];
    for (int i = 0; i < 5; ++i) {
      const T limit = i < 2 ? kCentre : kLog;
      inside[i] = !(given[i] < -limit || given[i] > limit);
      x[i] = given[i] < -limit ? -limit : given[i] > limit ? limit : given[i];  // NaN stays
    }
    centre[0] = half(s.width) * (x[0] + 1) - 1, centre[1] = half(s.height) * (x[1] + 1) - 1;
    variance = std::exp(x[2]), intensity = std::exp(x[4]);
    stride = static_cast<T>(std::max(s.width, s.height) - 1) /
             static_cast<T>(std::max<std::int64_t>(s.filters - 1, 1)) * std::exp(x[3]);
  }
  static T half(std::int64_t size) { return static_cast<T>(size + 1) / 2; }
  static T place(std::int64_t filter, std::int64_t filters) {  // in strides from the centre
    return static_cast<T>(filter) - static_cast<T>(filters - 1) / 2;
  }
};

/// One axis: how its bank is laid out, and where its filters are.
template <class T>
struct BankAxis {
  std::int64_t filters, size, pitch;  // N, pixels, pixels padded
  T centre, stride, variance;

  BankAxis(const Window<T>& w, int axis, const FilterbankShape& s, const FilterbankLayout& l)
      : filters(s.filters),
        size(axis == 0 ? s.width : s.height),
        pitch(axis == 0 ? l.width : l.height),
        centre(w.centre[axis]),
        stride(w.stride),
        variance(w.variance) {}
};

/// Where the pixels of one filter lie, a vector of them at a time.
template <class T>
class BankFilter {
 public:
  BankFilter(const BankAxis<T>& x, std::int64_t i) {
    const Tag<T> d;
    const auto mean = hn::Set(d, x.centre + Window<T>::place(i, x.filters) * x.stride);
    nearest_ =
        hn::Min(hn::Max(hn::Zero(d), hn::Round(mean)), hn::Set(d, static_cast<T>(x.size - 1)));
    other_ = hn::Sub(nearest_, hn::Add(mean, mean));  // a NaN in mean stays here
    factor_ = hn::Set(d, T(0.5) / x.variance);
  }
  /// Of these pixels: a − nearest and the exponent ((a − μ)² − (nearest − μ)²)/2σ² ≥ 0.
  HWY_INLINE void at(Vector<T> pixel, Vector<T>& step, Vector<T>& exponent) const {
    step = hn::Sub(pixel, nearest_);
    exponent = hn::Mul(hn::Mul(step, hn::Add(pixel, other_)), factor_);
  }

 private:
  Vector<T> nearest_, other_, factor_;
};

/// e^{−x} for x ≥ 0 up to rounding, NaN to NaN: less work than exp, which must look at both ends of its range.
template <class T>
HWY_INLINE Vector<T> exp_of_negative(Vector<T> x) {
  using M = MathConstants<T>;
  const Tag<T> d;
  // Max returns its second operand when one is NaN.
  const auto power =
      hn::Max(hn::Set(d, M::kExpLow * M::kLog2e), hn::Mul(x, hn::Set(d, -M::kLog2e)));
  const auto whole = hn::Round(power);
  const auto rest = hn::Mul(hn::Sub(power, whole), hn::Set(d, M::kLn2High + M::kLn2Low));
  const auto one = hn::Set(d, 1);
  const auto slope = hn::MulAdd(polynomial(d, rest, M::kExp), rest, one);
  return scale_by_power(d, hn::MulAdd(slope, rest, one), whole);
}

/// Filters whose sums over pixels are formed together, for half the work.
constexpr std::int64_t kTogether = 4;

/// f(i, count) for every group of filters.
template <class F>
HWY_INLINE void over_filters(std::int64_t filters, F f) {
  for (std::int64_t i = 0; i < filters; i += kTogether) f(i, std::min(kTogether, filters - i));
}

/// bank [N][padded size] ← exp(−(a − μ_i)²/2σ²) but for a factor, 0 in the padding; sums ← of each filter. Differences from the
/// nearest pixel leave F as it is, and its gradient too, because Σ_a ds_a = 0; they keep far windows exact.
template <class T>
void make_gaussians(const BankAxis<T>& x, T* HWY_RESTRICT bank, T* HWY_RESTRICT sums) {
  const Tag<T> d;
  const auto end = hn::Set(d, static_cast<T>(x.size)), lanes = hn::Set(d, T(kLanes<T>));
  over_filters(x.filters, [&](std::int64_t i, std::int64_t count) HWY_ATTR {
    Vector<T> sum[kTogether] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (std::int64_t j = 0; j < count; ++j) {
      const BankFilter<T> filter(x, i + j);
      T* const row = bank + (i + j) * x.pitch;
      auto pixel = hn::Iota(d, T(0)), of_filter = hn::Zero(d);
      for (std::int64_t a = 0; a < x.size; a += kLanes<T>, pixel = hn::Add(pixel, lanes)) {
        Vector<T> step, exponent;
        filter.at(pixel, step, exponent);
        const auto f = hn::IfThenElseZero(hn::Lt(pixel, end), exp_of_negative<T>(exponent));
        hn::StoreU(f, d, row + a);
        of_filter = hn::Add(of_filter, f);
      }
      sum[j] = of_filter;
    }
    store_four_sums(d, sum, sums + i);
  });
}

/// bank ← the filters, whose Gaussians and sums are there. A step of its own: nothing waits for a sum that was just begun.
template <class T>
void divide_by_sums(const BankAxis<T>& x, const T* HWY_RESTRICT sums, T* HWY_RESTRICT bank) {
  const Tag<T> d;
  for (std::int64_t i = 0; i < x.filters; ++i, bank += x.pitch) {
    const auto scale = hn::Set(d, 1 / sums[i]);
    for (std::int64_t a = 0; a < x.size; a += kLanes<T>)
      hn::StoreU(hn::Mul(hn::LoadU(d, bank + a), scale), d, bank + a);
  }
}

/// What a loss changes by with the means of one axis, all of them or each by its place, with log σ², and with a factor on the
/// whole bank.
template <class T>
struct BankGradient {
  T mean = 0, spread = 0, log_variance = 0, factor = 0;
};

/// sums ← Σ_a F_a dF_a of each filter, from the gradient of a bank, grad [N][padded size].
template <class T>
void bank_products(const BankAxis<T>& x, const T* HWY_RESTRICT bank, const T* HWY_RESTRICT grad,
                   T* HWY_RESTRICT sums) {
  const Tag<T> d;
  over_filters(x.filters, [&](std::int64_t i, std::int64_t count) HWY_ATTR {
    Vector<T> sum[kTogether] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (std::int64_t j = 0; j < count; ++j) {
      auto of_filter = hn::Zero(d);
      for (std::int64_t k = (i + j) * x.pitch; k < (i + j) * x.pitch + x.size; k += kLanes<T>)
        of_filter = hn::MulAdd(hn::LoadU(d, bank + k), hn::LoadU(d, grad + k), of_filter);
      sum[j] = of_filter;
    }
    store_four_sums(d, sum, sums + i);
  });
}

/// From the gradient of a bank and bank_products. With ds_a = F_a (dF_a − Σ F dF) and the exponent e:
///   dμ_i = 1/σ² Σ_a ds_a step_a,   d log σ² = Σ_i Σ_a ds_a e_a
template <class T>
BankGradient<T> bank_gradient(const BankAxis<T>& x, const T* HWY_RESTRICT bank,
                              const T* HWY_RESTRICT grad, const T* HWY_RESTRICT products) {
  const Tag<T> d;
  const auto lanes = hn::Set(d, T(kLanes<T>));
  BankGradient<T> g;
  Vector<T> mean = hn::Zero(d), spread = mean, log_variance = mean;
  for (std::int64_t i = 0; i < x.filters; ++i, bank += x.pitch, grad += x.pitch) {
    const BankFilter<T> filter(x, i);
    const auto product = hn::Set(d, products[i]);
    auto pixel = hn::Iota(d, T(0)), of_filter = hn::Zero(d);
    for (std::int64_t a = 0; a < x.size; a += kLanes<T>, pixel = hn::Add(pixel, lanes)) {
      Vector<T> step, exponent;
      filter.at(pixel, step, exponent);
      const auto ds = hn::Mul(hn::LoadU(d, bank + a), hn::Sub(hn::LoadU(d, grad + a), product));
      of_filter = hn::MulAdd(ds, step, of_filter);
      log_variance = hn::MulAdd(ds, exponent, log_variance);
    }
    mean = hn::Add(mean, of_filter);
    spread = hn::MulAdd(hn::Set(d, Window<T>::place(i, x.filters)), of_filter, spread);
    g.factor += products[i];
  }
  const Vector<T> all[kTogether] = {mean, spread, log_variance, hn::Zero(d)};
  T sums[kTogether];
  store_four_sums(d, all, sums);
  g.mean = sums[0] / x.variance, g.spread = sums[1] / x.variance, g.log_variance = sums[2];
  return g;
}

/// The gradient of the five numbers; `intensity` is that of log γ.
template <class T>
void store_window_gradient(const FilterbankShape& s, const Window<T>& w,
                           const BankGradient<T>& columns, const BankGradient<T>& rows, T intensity,
                           T* out) {
  const T g[5] = {Window<T>::half(s.width) * columns.mean, Window<T>::half(s.height) * rows.mean,
                  columns.log_variance + rows.log_variance,
                  w.stride * (columns.spread + rows.spread), intensity};
  for (int i = 0; i < 5; ++i) out[i] = w.inside[i] ? g[i] : T(0);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
