// One row of the batch of DRAW's read and write, forward and backward, once per Highway target.
//
// With A = γ dR (read) or w/γ (write) and I = x (read) or dO (write), both [N,N] and [H,W]:
//   S = F_Y I,  L = A F_X,  dF_Y = L Iᵀ,  dF_X = Aᵀ S,  d log γ = ± <F_Y, dF_Y>
// so read and write share the gradient of the window; what is left is dx = F_Yᵀ L (read) and dw = S F_Xᵀ / γ (write).
#if defined(ATTEND_KERNELS_FILTERBANK_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_FILTERBANK_ROWS_INL_H_
#undef ATTEND_KERNELS_FILTERBANK_ROWS_INL_H_
#else
#define ATTEND_KERNELS_FILTERBANK_ROWS_INL_H_
#endif

#include "kernels/filterbank/window-inl.h"
#include "kernels/simd/transpose-inl.h"

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
    T *const of_rows = sums(1), *const of_columns = sums(0);
    make_gaussians(rows_axis_, rows(), of_rows);
    make_gaussians(columns_axis_, columns(), of_columns);
    divide_by_sums(rows_axis_, of_rows, rows());
    divide_by_sums(columns_axis_, of_columns, columns());
  }

  /// S is, or goes, where channel c of it is kept.
  void keep_projected(std::int64_t c) {
    projected_ = kept_ + l_.projected_at + c * s_.filters * l_.width;
  }
  /// The columns' bank a pixel a row, which `gather` needs.
  void turn_columns() {
    transpose(columns(), l_.width, s_.filters, s_.width, scratch_ + l_.turned_at, l_.lanes);
  }
  /// S ← F_Y image
  void project(const T* image, std::int64_t row_stride) {
    multiply_small<Memory::kExact, Memory::kScratch>(
        kPixels, SmallProduct<T>{rows(), l_.height, 1, image, row_stride, s_.height, projected_,
                                 l_.width, s_.filters, s_.width});
  }
  /// L ← A F_X with A = factor · patch [N,N]
  void widen(const T* patch, T factor) {
    multiply_small<Memory::kScratch, Memory::kScratch>(
        kPixels, SmallProduct<T>{patch, s_.filters, 1, columns(), l_.width, s_.filters, left(),
                                 l_.width, s_.filters, s_.width, factor});
  }
  /// out [H,W] = F_Yᵀ L
  void spread(T* out) {
    multiply_small<Memory::kScratch, Memory::kExact>(
        kPixels, SmallProduct<T>{rows(), 1, l_.height, left(), l_.width, s_.filters, out, s_.width,
                                 s_.height, s_.width});
  }
  /// out [N,N] = factor · S F_Xᵀ
  void gather(T factor, T* out) {
    multiply_small<Memory::kScratch, Memory::kExact>(
        kFilters, SmallProduct<T>{projected_, l_.width, 1, scratch_ + l_.turned_at, l_.lanes,
                                  s_.width, out, s_.filters, s_.filters, s_.filters, factor});
  }

  /// Adds a channel to dF_Y and dF_X, from L, S and the A that made L; the first one sets them. 0 in the padding: the turned
  /// image has none.
  void add_gradient(const T* image, std::int64_t row_stride, const T* patch, T factor, bool first) {
    T* const turned = scratch_ + l_.turned_image_at;
    transpose(image, row_stride, s_.height, s_.width, turned, l_.height);
    multiply_small<Memory::kExact, Memory::kScratch>(
        kPixels, SmallProduct<T>{left(), l_.width, 1, turned, l_.height, s_.width,
                                 scratch_ + l_.grad_rows_at, l_.height, s_.filters, s_.height, T(1),
                                 !first});
    multiply_small<Memory::kScratch, Memory::kScratch>(
        kPixels, SmallProduct<T>{patch, 1, s_.filters, projected_, l_.width, s_.filters,
                                 scratch_ + l_.grad_columns_at, l_.width, s_.filters, s_.width,
                                 factor, !first});
  }
  void store_gradient(T intensity_sign, T* out) {
    if (s_.channels == 0) return std::fill_n(out, 5, T(0)), void();
    const T* const d_rows = scratch_ + l_.grad_rows_at;
    const T* const d_columns = scratch_ + l_.grad_columns_at;
    bank_products(rows_axis_, rows(), d_rows, sums(1));
    bank_products(columns_axis_, columns(), d_columns, sums(0));
    const auto of_rows = bank_gradient(rows_axis_, rows(), d_rows, sums(1));
    const auto of_columns = bank_gradient(columns_axis_, columns(), d_columns, sums(0));
    store_window_gradient(s_, window, of_columns, of_rows, intensity_sign * of_rows.factor, out);
  }

  const Window<T> window;

 private:
  static constexpr Tag<T> kPixels{};
  static constexpr hn::CappedTag<T, L> kFilters{};

  T* rows() { return kept_ + l_.rows_at; }
  T* columns() { return kept_ + l_.columns_at; }
  T* left() { return scratch_ + l_.left_at; }
  T* sums(int axis) { return scratch_ + l_.sums_at + axis * l_.sums; }

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
  row.turn_columns();
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
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t place = b * s.channels + c;
    const T* image = f.image + b * f.batch_stride + c * f.channel_stride;
    const T* patch = p.grad_output + place * s.filters * s.filters;
    row.widen(patch, row.window.intensity);
    if (p.grad_image) row.spread(p.grad_image + place * s.height * s.width);
    if (!p.grad_window) continue;
    if (f.kept)
      row.keep_projected(c);
    else
      row.project(image, f.row_stride);
    row.add_gradient(image, f.row_stride, patch, row.window.intensity, c == 0);
  }
  if (p.grad_window) row.store_gradient(T(1), p.grad_window + 5 * b);
}

template <int L, class T>
void filterbank_row(const FilterbankWrite<T>& p, const FilterbankLayout& l, std::int64_t b,
                    T* scratch) {
  const FilterbankShape& s = p.shape;
  FilterbankRow<L, T> row(s, l, p.window + 5 * b, Banks::kMake,
                          p.kept ? p.kept + b * l.kept_banks : nullptr, scratch);
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t place = b * s.channels + c;
    row.widen(p.patch + place * s.filters * s.filters, 1 / row.window.intensity);
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
  const T factor = 1 / row.window.intensity;
  if (p.grad_patch) row.turn_columns();
  for (std::int64_t c = 0; c < s.channels; ++c) {
    const std::int64_t patch = (b * s.channels + c) * s.filters * s.filters;
    const T* image = p.grad_output + b * p.batch_stride + c * p.channel_stride;
    row.project(image, p.row_stride);
    if (p.grad_patch) row.gather(factor, p.grad_patch + patch);
    if (!p.grad_window) continue;
    row.widen(f.patch + patch, factor);
    row.add_gradient(image, p.row_stride, f.patch + patch, factor, c == 0);
  }
  if (p.grad_window) row.store_gradient(T(-1), p.grad_window + 5 * b);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
