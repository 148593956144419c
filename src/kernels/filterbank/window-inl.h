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
  std::int64_t filters, size, lanes;  // N, pixels, N padded
  T centre, stride, factor;           // factor = 1/2σ²

  BankAxis(const Window<T>& w, int axis, const FilterbankShape& s, const FilterbankLayout& l)
      : filters(s.filters),
        size(axis == 0 ? s.width : s.height),
        lanes(l.lanes),
        centre(w.centre[axis]),
        stride(w.stride),
        factor(T(0.5) / w.variance) {}

  /// Elements of the bank after which the same filters come again at the start of a vector.
  std::int64_t period() const { return std::max(lanes, kLanes<T>); }
};

/// The vectors q, q + period, … of a bank: in each lane always the same filter, at pixels that grow by the same step.
template <class T>
class BankLanes {
 public:
  BankLanes(const BankAxis<T>& x, std::int64_t q) : axis_(x) {
    const Tag<T> d;
    const auto lane = hn::Iota(d, static_cast<T>(q));
    block_ = hn::Floor(hn::Mul(
        lane, hn::Set(d, T(1) / static_cast<T>(x.lanes))));  // 0 unless a vector has several pixels
    filter_ = hn::NegMulAdd(block_, hn::Set(d, static_cast<T>(x.lanes)), lane);
    const auto place = hn::Sub(filter_, hn::Set(d, static_cast<T>(x.filters - 1) / 2));
    const auto mean = hn::MulAdd(place, hn::Set(d, x.stride), hn::Set(d, x.centre));
    nearest_ =
        hn::Min(hn::Max(hn::Zero(d), hn::Round(mean)), hn::Set(d, static_cast<T>(x.size - 1)));
    other_ = hn::Sub(nearest_, hn::Add(mean, mean));  // a NaN in mean stays here
  }
  /// What is at pixel `first` + the lane's own: a − nearest and the exponent ((a − μ)² − (nearest − μ)²)/2σ² ≥ 0.
  HWY_INLINE void at(std::int64_t first, Vector<T>& step, Vector<T>& exponent) const {
    const Tag<T> d;
    const auto pixel = hn::Add(block_, hn::Set(d, static_cast<T>(first)));
    step = hn::Sub(pixel, nearest_);
    exponent = hn::Mul(hn::Mul(step, hn::Add(pixel, other_)), hn::Set(d, axis_.factor));
  }
  HWY_INLINE auto is_pixel(std::int64_t first) const {
    const Tag<T> d;
    return hn::Lt(hn::Add(block_, hn::Set(d, static_cast<T>(first))),
                  hn::Set(d, static_cast<T>(axis_.size)));
  }
  HWY_INLINE auto is_filter() const {
    return hn::Lt(filter_, hn::Set(Tag<T>(), static_cast<T>(axis_.filters)));
  }

 private:
  const BankAxis<T>& axis_;
  Vector<T> block_, filter_, nearest_, other_;
};

/// In every lane the sum over the lanes of the same filter.
template <class T>
HWY_INLINE Vector<T> sum_of_pixels(Vector<T> v, [[maybe_unused]] std::int64_t lanes) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (kLanes<T> >= 8) {
    const Tag<T> d;
    if (lanes < kLanes<T>) v = hn::Add(v, hn::ConcatLowerUpper(d, v, v));
    if (lanes * 2 < kLanes<T>)
      v = hn::Add(v, hn::SwapAdjacentBlocks(v));  // four pixels: floats, a block each
  }
#endif
  return v;
}

/// e^{−x} for x ≥ 0 up to rounding, NaN to NaN: half the work of exp, which must look at both ends of its range.
template <class T>
HWY_INLINE Vector<T> exp_of_negative(Vector<T> x) {
  using M = MathConstants<T>;
  const Tag<T> d;
  const auto least = hn::Set(d, M::kExpLow * M::kLog2e);
  auto power = hn::Mul(x, hn::Set(d, -M::kLog2e));
  power = hn::IfThenElse(hn::Lt(power, least), least, power);
  const auto whole = hn::Round(power);
  const auto rest = hn::Mul(hn::Sub(power, whole), hn::Set(d, M::kLn2High + M::kLn2Low));
  return scale_by_power(d, hn::Add(expm1_reduced(d, rest), hn::Set(d, 1)), whole);
}

/// bank [size][lanes] ← the filters, 0 in the padding. Differences from the nearest pixel leave F as it is, and its gradient
/// too, because Σ_a ds_a = 0; they keep far windows exact.
template <class T>
void make_bank(const BankAxis<T>& x, T* HWY_RESTRICT bank) {
  const Tag<T> d;
  const std::int64_t period = x.period(), pixels = period / x.lanes, all = x.size * x.lanes;
  for (std::int64_t q = 0; q < period; q += kLanes<T>) {
    const BankLanes<T> filters(x, q);
    auto sum = hn::Zero(d);
    for (std::int64_t k = q, a = 0; k < all; k += period, a += pixels) {
      Vector<T> step, exponent;
      filters.at(a, step, exponent);
      const auto f = hn::IfThenElseZero(filters.is_pixel(a), exp_of_negative<T>(exponent));
      hn::StoreU(f, d, bank + k);
      sum = hn::Add(sum, f);
    }
    const auto scale = hn::IfThenElseZero(filters.is_filter(),
                                          hn::Div(hn::Set(d, 1), sum_of_pixels<T>(sum, x.lanes)));
    for (std::int64_t k = q; k < all; k += period)
      hn::StoreU(hn::Mul(hn::LoadU(d, bank + k), scale), d, bank + k);
  }
}

/// out[N][padded size] ← the bank, a filter a row.
template <class T>
void bank_by_filters(const BankAxis<T>& x, const T* HWY_RESTRICT bank, std::int64_t pitch,
                     T* HWY_RESTRICT out) {
  for (std::int64_t i = 0; i < x.filters; ++i) {
    for (std::int64_t a = 0; a < x.size; ++a) out[i * pitch + a] = bank[a * x.lanes + i];
    std::fill(out + i * pitch + x.size, out + (i + 1) * pitch, T(0));
  }
}

/// What the gradient of a bank needs of each filter: sums over its pixels of F dF, F dF step, F dF e, F step and F e, with
/// step = a − nearest and the exponent e. [5][N]
template <class T>
void bank_sums(const BankAxis<T>& x, const T* HWY_RESTRICT bank, T* HWY_RESTRICT grad,
               T* HWY_RESTRICT sums) {
  const Tag<T> d;
  const std::int64_t period = x.period(), pixels = period / x.lanes, all = x.size * x.lanes;
  std::fill(grad + all, grad + FilterbankLayout::pad(all), T(0));  // the rest of the last vector
  for (std::int64_t q = 0; q < period; q += kLanes<T>) {
    const BankLanes<T> filters(x, q);
    Vector<T> sum[5];
    for (auto& v : sum) v = hn::Zero(d);
    for (std::int64_t k = q, a = 0; k < all; k += period, a += pixels) {
      Vector<T> step, exponent;
      filters.at(a, step, exponent);
      const auto f = hn::LoadU(d, bank + k), g = hn::Mul(f, hn::LoadU(d, grad + k));
      sum[0] = hn::Add(sum[0], g);
      sum[1] = hn::MulAdd(g, step, sum[1]);
      sum[2] = hn::MulAdd(g, exponent, sum[2]);
      sum[3] = hn::MulAdd(f, step, sum[3]);
      sum[4] = hn::MulAdd(f, exponent, sum[4]);
    }
    const auto n = static_cast<std::size_t>(
        std::clamp<std::int64_t>(x.filters - q, 0, std::min(x.lanes, kLanes<T>)));
    for (int i = 0; i < 5; ++i)
      store_n(sum_of_pixels<T>(sum[i], x.lanes), d, sums + i * x.filters + q, n);
  }
}

/// The gradient of one bank from its bank_sums. With ds_a = F_a (dF_a − Σ F dF):
///   dμ_i = 1/σ² Σ_a ds_a step_a,   d log σ² = Σ_a ds_a e_a
struct BankGradient {
  double mean = 0, spread = 0, log_variance = 0;  // Σ dμ_i, Σ place_i dμ_i, d log σ²
};
template <class T>
BankGradient bank_gradient(const Window<T>& w, std::int64_t filters, const T* sums) {
  BankGradient g;
  const T *of_step = sums + filters, *of_exponent = of_step + filters,
          *step = of_exponent + filters, *exponent = step + filters;
  for (std::int64_t i = 0; i < filters; ++i) {
    const T mean = (of_step[i] - sums[i] * step[i]) / w.variance;
    g.mean += static_cast<double>(mean);
    g.spread += static_cast<double>(Window<T>::place(i, filters) * mean);
    g.log_variance += static_cast<double>(of_exponent[i] - sums[i] * exponent[i]);
  }
  return g;
}

/// The gradient of the five numbers; `intensity` is that of log γ.
template <class T>
void store_window_gradient(const FilterbankShape& s, const Window<T>& w,
                           const BankGradient& columns, const BankGradient& rows, T intensity,
                           T* out) {
  const T g[5] = {Window<T>::half(s.width) * static_cast<T>(columns.mean),
                  Window<T>::half(s.height) * static_cast<T>(rows.mean),
                  static_cast<T>(columns.log_variance + rows.log_variance),
                  w.stride * static_cast<T>(columns.spread + rows.spread), intensity};
  for (int i = 0; i < 5; ++i) out[i] = w.inside[i] ? g[i] : T(0);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
