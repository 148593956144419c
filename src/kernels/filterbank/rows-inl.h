// One row of the batch of DRAW's read and write, forward and backward, once per Highway target.
//
// With A = γ dR (read) or w/γ (write) and I = x (read) or dO (write), both [N,N] and [H,W]:
//   S = F_Y I,  L = A F_X,  <F_Y, dF_Y> row by row = <S, L>,  dF_X = Aᵀ S,  d log γ = ± <S, L>
// so read and write share the gradient of the window; what is left is dx = F_Yᵀ L (read) and dw = S F_Xᵀ / γ (write).
#if defined(ATTEND_KERNELS_FILTERBANK_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_FILTERBANK_ROWS_INL_H_
#undef ATTEND_KERNELS_FILTERBANK_ROWS_INL_H_
#else
#define ATTEND_KERNELS_FILTERBANK_ROWS_INL_H_
#endif

#include "kernels/filterbank/window-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

enum class Transposed { kNo, kYes };

/// The banks of one window in scratch, and the products with them.
template <bool kMoments, class T>
class Banks {
 public:
  Banks(const FilterbankShape& s, const FilterbankLayout& l, const T* given, Transposed transposed, T* scratch)
      : window(s, given), s_(s), l_(l), scratch_(scratch) {
    make_bank<kMoments>(window, 1, s.filters, s.height, l.height, rows(), moments());
    make_bank<kMoments>(window, 0, s.filters, s.width, l.width, columns(), moments() + 2 * s.filters);
    if (transposed == Transposed::kNo) return;
    T* out = scratch_ + l_.columns_transposed_at;
    for (std::int64_t a = 0; a < s.width; ++a)
      for (std::int64_t m = 0; m < l.filters; ++m) out[a * l.filters + m] = m < s.filters ? columns()[m * l.width + a] : T(0);
  }

  /// patch() ← factor · given [N,N]
  void set_patch(const T* given, T factor) {
    for (std::int64_t i = 0; i < s_.filters * s_.filters; ++i) patch()[i] = factor * given[i];
  }

  /// projected() [N or 3 N][W] = row filters · image
  void project(const T* image, std::int64_t row_stride) {
    const std::int64_t n = kMoments ? 3 * s_.filters : s_.filters;
    multiply_small<Memory::kExact, Memory::kScratch>(
        SmallProduct<T>{rows(), l_.height, 1, image, row_stride, s_.height, projected(), l_.width, n, s_.width});
  }
  /// left() [N][W] = patch() · column filters
  void widen_patch() {
    multiply_small<Memory::kScratch, Memory::kScratch>(
        SmallProduct<T>{patch(), s_.filters, 1, columns(), l_.width, s_.filters, left(), l_.width, s_.filters, s_.width});
  }
  /// out [H,W] = row filtersᵀ · left()
  void spread(T* out) {
    multiply_small<Memory::kScratch, Memory::kExact>(
        SmallProduct<T>{rows(), 1, l_.height, left(), l_.width, s_.filters, out, s_.width, s_.height, s_.width});
  }
  /// out [N,N] = factor · projected() · column filtersᵀ
  void gather(T factor, T* out) {
    multiply_small<Memory::kScratch, Memory::kExact>(SmallProduct<T>{projected(), l_.width, 1, scratch_ + l_.columns_transposed_at,
                                                                     l_.filters, s_.width, out, s_.filters, s_.filters,
                                                                     s_.filters});
    for (std::int64_t i = 0; i < s_.filters * s_.filters; ++i) out[i] *= factor;
  }

  void clear_sums() { std::fill_n(sums(), 6 * s_.filters, T(0)); }
  /// Adds a channel's Σ F dF and moments, from projected(), left() and patch(). Both banks' filters are padded with zeros.
  void add_sums() {
    const std::int64_t n = s_.filters;
    for (std::int64_t k = 0; k < 3; ++k)
      for (std::int64_t i = 0; i < n; ++i)
        sums()[k * n + i] += dot(projected() + (k * n + i) * l_.width, left() + i * l_.width, s_.width);
    T* grad = scratch_ + l_.grad_columns_at;
    multiply_small<Memory::kScratch, Memory::kScratch>(
        SmallProduct<T>{patch(), 1, n, projected(), l_.width, n, grad, l_.width, n, s_.width});
    for (std::int64_t k = 0; k < 3; ++k)
      for (std::int64_t i = 0; i < n; ++i)
        sums()[(3 + k) * n + i] += dot(columns() + (k * n + i) * l_.width, grad + i * l_.width, s_.width);
  }
  void store_gradient(T intensity_sign, T* out) {
    const std::int64_t n = s_.filters;
    T intensity = 0;
    for (std::int64_t i = 0; i < n; ++i) intensity += sums()[i];
    store_window_gradient(s_, window, bank_gradient(window, n, sums() + 3 * n, moments() + 2 * n),
                          bank_gradient(window, n, sums(), moments()), intensity_sign * intensity, out);
  }

  const Window<T> window;

 private:
  T* rows() { return scratch_ + l_.rows_at; }
  T* columns() { return scratch_ + l_.columns_at; }
  T* moments() { return scratch_ + l_.moments_at; }
  T* patch() { return scratch_ + l_.patch_at; }
  T* projected() { return scratch_ + l_.projected_at; }
  T* left() { return scratch_ + l_.left_at; }
  T* sums() { return scratch_ + l_.sums_at; }

  const FilterbankShape& s_;
  const FilterbankLayout& l_;
  T* scratch_;
};

template <class T>
void read_row(const FilterbankRead<T>& p, const FilterbankLayout& l, std::int64_t b, T* scratch) {
  const FilterbankShape& s = p.shape;
  Banks<false, T> banks(s, l, p.window + 5 * b, Transposed::kYes, scratch);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    banks.project(p.image + b * p.batch_stride + c * p.channel_stride, p.row_stride);
    banks.gather(banks.window.intensity, p.output + (b * s.channels + c) * s.filters * s.filters);
  }
}

template <class T>
void read_row(const FilterbankReadBackward<T>& p, const FilterbankLayout& l, std::int64_t b, T* scratch) {
  const FilterbankRead<T>& f = p.forward;
  const FilterbankShape& s = f.shape;
  Banks<true, T> banks(s, l, f.window + 5 * b, Transposed::kNo, scratch);
  banks.clear_sums();
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t place = b * s.channels + c;
    banks.set_patch(p.grad_output + place * s.filters * s.filters, banks.window.intensity);
    banks.widen_patch();
    if (p.grad_image) banks.spread(p.grad_image + place * s.height * s.width);
    if (!p.grad_window) continue;
    banks.project(f.image + b * f.batch_stride + c * f.channel_stride, f.row_stride);
    banks.add_sums();
  }
  if (p.grad_window) banks.store_gradient(T(1), p.grad_window + 5 * b);
}

template <class T>
void write_row(const FilterbankWrite<T>& p, const FilterbankLayout& l, std::int64_t b, T* scratch) {
  const FilterbankShape& s = p.shape;
  Banks<false, T> banks(s, l, p.window + 5 * b, Transposed::kNo, scratch);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t place = b * s.channels + c;
    banks.set_patch(p.patch + place * s.filters * s.filters, 1 / banks.window.intensity);
    banks.widen_patch();
    banks.spread(p.output + place * s.height * s.width);
  }
}

template <class T>
void write_row(const FilterbankWriteBackward<T>& p, const FilterbankLayout& l, std::int64_t b, T* scratch) {
  const FilterbankWrite<T>& f = p.forward;
  const FilterbankShape& s = f.shape;
  Banks<true, T> banks(s, l, f.window + 5 * b, Transposed::kYes, scratch);
  banks.clear_sums();
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t place = b * s.channels + c;
    banks.project(p.grad_output + b * p.batch_stride + c * p.channel_stride, p.row_stride);
    if (p.grad_patch) banks.gather(1 / banks.window.intensity, p.grad_patch + place * s.filters * s.filters);
    if (!p.grad_window) continue;
    banks.set_patch(f.patch + place * s.filters * s.filters, 1 / banks.window.intensity);
    banks.widen_patch();
    banks.add_sums();
  }
  if (p.grad_window) banks.store_gradient(T(-1), p.grad_window + 5 * b);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
