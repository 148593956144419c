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

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// The five numbers, limited, and what they mean in pixels.
template <class T>
struct Window {
  T centre[2], variance, stride, intensity;   // centre: columns, rows
  bool inside[5];                             // whether the gradient passes the limit

  Window(const FilterbankShape& s, const T* given) {
    constexpr T kCentre = static_cast<T>(kFilterbankCentreLimit), kLog = static_cast<T>(kFilterbankLogLimit);
    T x[5];
    for (int i = 0; i < 5; ++i) {
      const T limit = i < 2 ? kCentre : kLog;
      inside[i] = !(given[i] < -limit || given[i] > limit);
      x[i] = given[i] < -limit ? -limit : given[i] > limit ? limit : given[i];   // NaN stays
    }
    centre[0] = half(s.width) * (x[0] + 1) - 1, centre[1] = half(s.height) * (x[1] + 1) - 1;
    variance = std::exp(x[2]), intensity = std::exp(x[4]);
    stride = static_cast<T>(std::max(s.width, s.height) - 1) / static_cast<T>(std::max<std::int64_t>(s.filters - 1, 1)) *
             std::exp(x[3]);
  }
  static T half(std::int64_t size) { return static_cast<T>(size + 1) / 2; }
  static T place(std::int64_t filter, std::int64_t filters) {   // in strides from the centre
    return static_cast<T>(filter) - static_cast<T>(filters - 1) / 2;
  }
};

/// N filters over `size` pixels, and with kMoments their products with a − nearest and with the exponent
/// e = ((a − μ)² − (nearest − μ)²)/2σ² ≥ 0, and the sums of those. Differences from the nearest pixel leave F as it is, and
/// its gradient too, because Σ_a ds_a = 0; they keep far windows exact.
template <bool kMoments, class T>
void make_bank(const Window<T>& w, int axis, std::int64_t filters, std::int64_t size, std::int64_t pitch, T* HWY_RESTRICT bank,
               T* HWY_RESTRICT moments) {
  const Tag<T> d;
  const auto places = hn::Iota(d, T(0));
  const auto factor = hn::Set(d, T(0.5) / w.variance);
  for (std::int64_t i = 0; i < filters; ++i) {
    const T mean = w.centre[axis] + Window<T>::place(i, filters) * w.stride;
    // std::min and max in this order keep the index in range for a NaN too.
    const T nearest = std::min(std::max(T(0), std::round(mean)), static_cast<T>(size - 1));
    const auto near = hn::Set(d, nearest), other = hn::Set(d, nearest - 2 * mean);
    T* first = bank + i * pitch;
    T* second = bank + (filters + i) * pitch;
    T* third = bank + (2 * filters + i) * pitch;
    auto sum = hn::Zero(d), sum_second = hn::Zero(d), sum_third = hn::Zero(d);
    for (std::int64_t a = 0; a < pitch; a += kLanes<T>) {
      const auto n = static_cast<std::size_t>(std::clamp<std::int64_t>(size - a, 0, kLanes<T>));
      const auto place = hn::Add(places, hn::Set(d, static_cast<T>(a)));
      const auto step = hn::Sub(place, near);
      const auto exponent = hn::Mul(hn::Mul(step, hn::Add(place, other)), factor);
      const auto f = hn::IfThenElseZero(hn::FirstN(d, n), exp(d, hn::Neg(exponent)));
      hn::StoreU(f, d, first + a);
      sum = hn::Add(sum, f);
      if constexpr (kMoments) {
        const auto f2 = hn::Mul(f, step), f3 = hn::IfThenElseZero(hn::FirstN(d, n), hn::Mul(f, exponent));
        hn::StoreU(f2, d, second + a);
        hn::StoreU(f3, d, third + a);
        sum_second = hn::Add(sum_second, f2);
        sum_third = hn::Add(sum_third, f3);
      }
    }
    const T scale = 1 / hn::GetLane(hn::SumOfLanes(d, sum));
    const auto scales = hn::Set(d, scale);
    for (std::int64_t a = 0; a < pitch; a += kLanes<T>) {
      hn::StoreU(hn::Mul(hn::LoadU(d, first + a), scales), d, first + a);
      if constexpr (kMoments) {
        hn::StoreU(hn::Mul(hn::LoadU(d, second + a), scales), d, second + a);
        hn::StoreU(hn::Mul(hn::LoadU(d, third + a), scales), d, third + a);
      }
    }
    if constexpr (kMoments) {
      moments[i] = scale * hn::GetLane(hn::SumOfLanes(d, sum_second));
      moments[filters + i] = scale * hn::GetLane(hn::SumOfLanes(d, sum_third));
    }
  }
}

/// Σ_c x[c] y[c], c < size, over whole vectors: what lies beyond in the last one must be 0.
template <class T>
HWY_INLINE T dot(const T* x, const T* y, std::int64_t size) {
  const Tag<T> d;
  auto sum = hn::Zero(d);
  for (std::int64_t c = 0; c < size; c += kLanes<T>) sum = hn::MulAdd(hn::LoadU(d, x + c), hn::LoadU(d, y + c), sum);
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// The gradient of one bank: sums[k·N + i] = <bank_k[i], dF[i]>, k = 0, 1, 2. With ds_a = F_a (dF_a − Σ F dF):
///   dμ_i = 1/σ² Σ_a ds_a (a − nearest),   d log σ² = Σ_a ds_a e_a
struct BankGradient {
  double mean = 0, spread = 0, log_variance = 0;   // Σ dμ_i, Σ place_i dμ_i, d log σ²
};
template <class T>
BankGradient bank_gradient(const Window<T>& w, std::int64_t filters, const T* sums, const T* moments) {
  BankGradient g;
  for (std::int64_t i = 0; i < filters; ++i) {
    const T mean = (sums[filters + i] - sums[i] * moments[i]) / w.variance;
    g.mean += static_cast<double>(mean);
    g.spread += static_cast<double>(Window<T>::place(i, filters) * mean);
    g.log_variance += static_cast<double>(sums[2 * filters + i] - sums[i] * moments[filters + i]);
  }
  return g;
}

/// The gradient of the five numbers; `intensity` is that of log γ.
template <class T>
void store_window_gradient(const FilterbankShape& s, const Window<T>& w, const BankGradient& columns, const BankGradient& rows,
                           T intensity, T* out) {
  const T g[5] = {Window<T>::half(s.width) * static_cast<T>(columns.mean), Window<T>::half(s.height) * static_cast<T>(rows.mean),
                  static_cast<T>(columns.log_variance + rows.log_variance), w.stride * static_cast<T>(columns.spread + rows.spread),
                  intensity};
  for (int i = 0; i < 5; ++i) out[i] = w.inside[i] ? g[i] : T(0);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
