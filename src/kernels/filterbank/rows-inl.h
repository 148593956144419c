// One row of the batch of DRAW's read and write, forward and backward, once per Highway target.
//
// With A = γ dR (read) or w/γ (write) and I = x (read) or dO (write), both [N,N] and [H,W]:
//   S = F_Y I,  L = A F_X,  dF_Yᵀ = I Lᵀ,  dF_Xᵀ = Sᵀ A,  d log γ = ± <F_Y, dF_Y>
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

enum class Banks { kMake, kKept };

/// One window, its banks and the products with them. L: elements of a vector of filters.
template <int L, class T>
class FilterbankRow {
 public:
  /// `kept` is what forward keeps of this row, or null.
  FilterbankRow(const FilterbankShape& s, const FilterbankLayout& l, const T* given, Banks banks,
                T* kept, T* scratch)
      : window(s, given),
        s_(s),
        l_(l),
        scratch_(scratch),
        kept_(kept ? kept : scratch),
        projected_(scratch + l.projected_at),
        rows_axis_(window, 1, s, l),
        columns_axis_(window, 0, s, l) {
    if (banks == Banks::kKept && kept) return;
    make_bank(rows_axis_, rows());
    make_bank(columns_axis_, columns());
  }

  /// S is, or goes, where channel c of it is kept.
  void keep_projected(std::int64_t c) {
    projected_ = kept_ + l_.projected_at + c * s_.filters * l_.width;
  }
  /// The columns' bank a filter a row, which `widen_patch` needs.
  void turn_columns() {
    bank_by_filters(columns_axis_, columns(), l_.width, scratch_ + l_.column_rows_at);
  }

  /// A ← factor · given [N,N]
  void set_patch(const T* given, T factor) {
    const std::int64_t n = s_.filters, lanes = l_.lanes;
    T *a = scratch_ + l_.patch_at, *turned = scratch_ + l_.patch_transposed_at;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t j = 0; j < n; ++j)
        turned[j * lanes + i] = a[i * lanes + j] = factor * given[i * n + j];
      std::fill(a + i * lanes + n, a + (i + 1) * lanes, T(0));
      std::fill(turned + i * lanes + n, turned + (i + 1) * lanes, T(0));
    }
  }

  /// S ← F_Y image
  void project(const T* image, std::int64_t row_stride) {
    multiply_small<Memory::kExact, Memory::kScratch>(
        kPixels, SmallProduct<T>{rows(), 1, l_.lanes, image, row_stride, s_.height, projected_,
                                 l_.width, s_.filters, s_.width});
  }
  /// L ← A F_X
  void widen_patch() {
    multiply_small<Memory::kScratch, Memory::kScratch>(
        kPixels,
        SmallProduct<T>{scratch_ + l_.patch_at, l_.lanes, 1, scratch_ + l_.column_rows_at, l_.width,
                        s_.filters, scratch_ + l_.left_at, l_.width, s_.filters, s_.width});
  }
  /// out [H,W] = F_Yᵀ L
  void spread(T* out) {
    multiply_small<Memory::kScratch, Memory::kExact>(
        kPixels, SmallProduct<T>{rows(), l_.lanes, 1, scratch_ + l_.left_at, l_.width, s_.filters,
                                 out, s_.width, s_.height, s_.width});
  }
  /// out [N,N] = factor · S F_Xᵀ
  void gather(T factor, T* out) {
    multiply_small<Memory::kScratch, Memory::kExact>(
        kFilters, SmallProduct<T>{projected_, l_.width, 1, columns(), l_.lanes, s_.width, out,
                                  s_.filters, s_.filters, s_.filters});
    for (std::int64_t i = 0; i < s_.filters * s_.filters; ++i) out[i] *= factor;
  }

  /// Adds a channel to dF_Y and dF_X, from A and S; the first one sets them.
  void add_gradient(const T* image, std::int64_t row_stride, bool first) {
    T* const turned = scratch_ + l_.left_transposed_at;  // Lᵀ = F_Xᵀ Aᵀ
    multiply_small<Memory::kScratch, Memory::kScratch>(
        kFilters, SmallProduct<T>{columns(), l_.lanes, 1, scratch_ + l_.patch_transposed_at,
                                  l_.lanes, s_.filters, turned, l_.lanes, s_.width, l_.lanes});
    multiply_small<Memory::kScratch, Memory::kScratch>(
        kFilters,
        SmallProduct<T>{image, row_stride, 1, turned, l_.lanes, s_.width,
                        scratch_ + l_.grad_rows_at, l_.lanes, s_.height, l_.lanes, !first});
    multiply_small<Memory::kScratch, Memory::kScratch>(
        kFilters,
        SmallProduct<T>{projected_, 1, l_.width, scratch_ + l_.patch_at, l_.lanes, s_.filters,
                        scratch_ + l_.grad_columns_at, l_.lanes, s_.width, l_.lanes, !first});
  }
  void store_gradient(T intensity_sign, T* out) {
    if (s_.channels == 0) return std::fill_n(out, 5, T(0)), void();
    const std::int64_t n = s_.filters;
    T *of_rows = scratch_ + l_.sums_at, *of_columns = of_rows + 5 * n, intensity = 0;
    bank_sums(rows_axis_, rows(), scratch_ + l_.grad_rows_at, of_rows);
    bank_sums(columns_axis_, columns(), scratch_ + l_.grad_columns_at, of_columns);
    for (std::int64_t i = 0; i < n; ++i) intensity += of_rows[i];
    store_window_gradient(s_, window, bank_gradient(window, n, of_columns),
                          bank_gradient(window, n, of_rows), intensity_sign * intensity, out);
  }

  const Window<T> window;

 private:
  static constexpr Tag<T> kPixels{};
  static constexpr hn::CappedTag<T, L> kFilters{};

  T* rows() { return kept_ + l_.rows_at; }
  T* columns() { return kept_ + l_.columns_at; }

  const FilterbankShape& s_;
  const FilterbankLayout& l_;
  T *scratch_, *kept_, *projected_;
  const BankAxis<T> rows_axis_, columns_axis_;
};

template <int L, class T>
void filterbank_row(const FilterbankRead<T>& p, const FilterbankLayout& l, std::int64_t b,
                    T* scratch) {
  const FilterbankShape& s = p.shape;
  FilterbankRow<L, T> row(s, l, p.window + 5 * b, Banks::kMake,
                          p.kept ? p.kept + b * l.kept : nullptr, scratch);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    if (p.kept) row.keep_projected(c);
    row.project(p.image + b * p.batch_stride + c * p.channel_stride, p.row_stride);
    row.gather(row.window.intensity, p.output + (b * s.channels + c) * s.filters * s.filters);
  }
}

template <int L, class T>
void filterbank_row(const FilterbankReadBackward<T>& p, const FilterbankLayout& l, std::int64_t b,
                    T* scratch) {
  const FilterbankRead<T>& f = p.forward;
  const FilterbankShape& s = f.shape;
  FilterbankRow<L, T> row(s, l, f.window + 5 * b, Banks::kKept,
                          f.kept ? f.kept + b * l.kept : nullptr, scratch);
  if (p.grad_image) row.turn_columns();
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t place = b * s.channels + c;
    const T* image = f.image + b * f.batch_stride + c * f.channel_stride;
    row.set_patch(p.grad_output + place * s.filters * s.filters, row.window.intensity);
    if (p.grad_image) {
      row.widen_patch();
      row.spread(p.grad_image + place * s.height * s.width);
    }
    if (!p.grad_window) continue;
    if (f.kept)
      row.keep_projected(c);
    else
      row.project(image, f.row_stride);
    row.add_gradient(image, f.row_stride, c == 0);
  }
  if (p.grad_window) row.store_gradient(T(1), p.grad_window + 5 * b);
}

template <int L, class T>
void filterbank_row(const FilterbankWrite<T>& p, const FilterbankLayout& l, std::int64_t b,
                    T* scratch) {
  const FilterbankShape& s = p.shape;
  FilterbankRow<L, T> row(s, l, p.window + 5 * b, Banks::kMake,
                          p.kept ? p.kept + b * l.kept_banks : nullptr, scratch);
  row.turn_columns();
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t place = b * s.channels + c;
    row.set_patch(p.patch + place * s.filters * s.filters, 1 / row.window.intensity);
    row.widen_patch();
    row.spread(p.output + place * s.height * s.width);
  }
}

template <int L, class T>
void filterbank_row(const FilterbankWriteBackward<T>& p, const FilterbankLayout& l, std::int64_t b,
                    T* scratch) {
  const FilterbankWrite<T>& f = p.forward;
  const FilterbankShape& s = f.shape;
  FilterbankRow<L, T> row(s, l, f.window + 5 * b, Banks::kKept,
                          f.kept ? f.kept + b * l.kept_banks : nullptr, scratch);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t patch = (b * s.channels + c) * s.filters * s.filters;
    const T* image = p.grad_output + b * p.batch_stride + c * p.channel_stride;
    row.project(image, p.row_stride);
    if (p.grad_patch) row.gather(1 / row.window.intensity, p.grad_patch + patch);
    if (!p.grad_window) continue;
    row.set_patch(f.patch + patch, 1 / row.window.intensity);
    row.add_gradient(image, p.row_stride, c == 0);
  }
  if (p.grad_window) row.store_gradient(T(-1), p.grad_window + 5 * b);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
