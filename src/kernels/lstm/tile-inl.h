// Register-tiled matrix products on packed panels, shared by lstm/forward.cpp and lstm/backward.cpp. Included once per
// Highway target, hence the guard that toggles.
//
// A matrix of N columns is packed as panels of 1 to 5 vectors: panel after panel, inside one row after row, so that a
// product walks it in order. A tile holds rows × vectors sums in registers and does one multiply-add per sum and depth.
#if defined(ATTEND_KERNELS_LSTM_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_LSTM_TILE_INL_H_
#undef ATTEND_KERNELS_LSTM_TILE_INL_H_
#else
#define ATTEND_KERNELS_LSTM_TILE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "kernels/simd/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM;
inline constexpr int kRegisters = kManyRegisters ? 32 : 16;
inline constexpr int kWidestPanel = kManyRegisters ? 5 : 3;

/// Memory that is needed after a product: fetched into the second-level cache a few lines per tile, while the
/// multiply-add units are busy, instead of being waited for in the passes between products.
class Prefetch {
 public:
  /// `rows` rows of `row_bytes` bytes, `stride` bytes apart.
  void add(const void* base, std::int64_t rows, std::int64_t stride, std::int64_t row_bytes) {
    if (rows == 0 || count_ == kRanges) return;
    const std::int64_t lines = row_bytes / kLine + 1;
    ranges_[count_++] = {static_cast<const char*>(base), rows, stride, lines};
    lines_ += rows * lines;
  }
  /// Spreads what was added over `tiles` calls of next().
  void spread_over(std::int64_t tiles) {
    lines_per_tile_ = lines_ / std::max<std::int64_t>(tiles, 1) + 1;
  }

  HWY_INLINE void next() {
    for (std::int64_t left = lines_per_tile_; left > 0 && at_ < count_;) {
      const Range& range = ranges_[at_];
      const char* from = range.base + row_ * range.stride + line_ * kLine;
      const std::int64_t n = std::min(left, range.lines - line_);
      for (std::int64_t i = 0; i < n; ++i) __builtin_prefetch(from + i * kLine, 0, 2);
      left -= n;
      line_ += n;
      if (line_ < range.lines) continue;
      line_ = 0;
      if (++row_ < range.rows) continue;
      row_ = 0;
      ++at_;
    }
  }

 private:
  static constexpr std::int64_t kLine = 64;
  static constexpr int kRanges = 6;
  struct Range {
    const char* base;
    std::int64_t rows, stride, lines;
  };
  Range ranges_[kRanges];
  int count_ = 0, at_ = 0;
  std::int64_t row_ = 0, line_ = 0, lines_ = 0, lines_per_tile_ = 0;
};

/// Rows of a tile: as many as leave registers for one row of b and one broadcast; more than 8 gain nothing.
template <int kVectors>
inline constexpr int kTileRows = std::min(8, (kRegisters - 1 - kVectors) / kVectors);

/// c[i][·] = init[i][·] + Σ_k a[i · a_row + k · a_depth] b[k][·], where b is one packed panel. init_stride 0 starts
/// every row from the same vector (a bias, or zeros); init = c accumulates.
template <class T>
struct Product {
  const T* a;
  std::int64_t a_row, a_depth;
  const T* b;
  std::int64_t depth;
  const T* init;
  std::int64_t init_stride;
  T* c;
  std::int64_t c_stride;

  void skip_rows(std::int64_t n) {
    a += n * a_row;
    init += n * init_stride;
    c += n * c_stride;
  }
};

template <int kRows, int kVectors, class D, class T = hn::TFromD<D>>
HWY_INLINE void multiply_tile(D d, const Product<T>& p) {
  const std::int64_t lanes = hn::Lanes(d);
  hn::Vec<D> sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j)
      sum[i][j] = hn::LoadU(d, p.init + i * p.init_stride + j * lanes);
  const T* HWY_RESTRICT b = p.b;
  const T* HWY_RESTRICT a = p.a;
  const std::int64_t a_row = p.a_row, a_depth = p.a_depth;
  for (std::int64_t k = p.depth; k > 0; --k) {
    hn::Vec<D> row[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) row[j] = hn::LoadU(d, b + j * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const auto factor = hn::Set(d, a[i * a_row]);
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) sum[i][j] = hn::MulAdd(factor, row[j], sum[i][j]);
    }
    a += a_depth;
    b += kVectors * lanes;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) hn::StoreU(sum[i][j], d, p.c + i * p.c_stride + j * lanes);
}

/// One tile of `rows` ≤ kRows rows.
template <int kRows, int kVectors, class D, class T = hn::TFromD<D>>
void multiply_some(D d, const Product<T>& p, std::int64_t rows) {
  if (rows == kRows) {
    multiply_tile<kRows, kVectors>(d, p);
  } else if constexpr (kRows > 1) {
    multiply_some<kRows - 1, kVectors>(d, p, rows);
  }
}

template <int kVectors, class D, class T = hn::TFromD<D>>
void multiply_rows(D d, Product<T> p, std::int64_t rows, Prefetch& prefetch) {
  constexpr int kRows = kTileRows<kVectors>;
  for (; rows >= 2 * kRows || rows == kRows; rows -= kRows) {
    prefetch.next();
    multiply_tile<kRows, kVectors>(d, p);
    p.skip_rows(kRows);
  }
  if (rows > kRows) {  // two tiles of nearly the same height, rather than a full one and a thin one
    const std::int64_t half = (rows + 1) / 2;
    multiply_some<kRows, kVectors>(d, p, half);
    p.skip_rows(half);
    rows -= half;
  }
  if (rows > 0) multiply_some<kRows, kVectors>(d, p, rows);
}

/// `rows` rows against a panel of `vectors` ≤ kVectors vectors.
template <int kVectors = kWidestPanel, class D, class T = hn::TFromD<D>>
void multiply_panel(D d, int vectors, const Product<T>& p, std::int64_t rows, Prefetch& prefetch) {
  if (vectors == kVectors) {
    multiply_rows<kVectors>(d, p, rows, prefetch);
  } else if constexpr (kVectors > 1) {
    multiply_panel<kVectors - 1>(d, vectors, p, rows, prefetch);
  }
}

/// `rows` rows of one panel, close together: read in place, they would be a multiple of many lines apart.
template <class D, class T = hn::TFromD<D>>
void copy_panel(D d, const T* from, std::int64_t from_stride, std::int64_t rows, std::int64_t width,
                T* to) {
  const std::int64_t lanes = hn::Lanes(d);
  for (std::int64_t r = 0; r < rows; ++r, from += from_stride, to += width)
    for (std::int64_t i = 0; i < width; i += lanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
}

/// How `columns` columns are cut into panels: as few as possible, of nearly the same width.
class Panels {
 public:
  Panels(std::int64_t columns, std::int64_t lanes)
      : columns_(columns),
        lanes_(lanes),
        vectors_((columns + lanes - 1) / lanes),
        count_((vectors_ + kWidestPanel - 1) / kWidestPanel) {}

  std::int64_t count() const { return count_; }
  std::int64_t columns() const { return columns_; }
  /// First column of panel p (p = count(): one past the last).
  std::int64_t begin(std::int64_t p) const { return p * vectors_ / count_ * lanes_; }
  std::int64_t width(std::int64_t p) const { return begin(p + 1) - begin(p); }
  int vectors(std::int64_t p) const { return static_cast<int>(width(p) / lanes_); }

 private:
  std::int64_t columns_, lanes_, vectors_, count_;
};

/// c = init + a · b for all panels of b; p describes panel 0 and is advanced along b's, init's and c's columns.
template <class D, class T = hn::TFromD<D>>
void multiply(D d, const Panels& panels, const Product<T>& p, std::int64_t rows,
              Prefetch prefetch = {}) {
  prefetch.spread_over(rows / kTileRows<kWidestPanel> * panels.count());
  for (std::int64_t i = 0; i < panels.count(); ++i) {
    Product<T> part = p;
    const std::int64_t column = panels.begin(i);
    part.b += column * p.depth;
    part.init += column;
    part.c += column;
    multiply_panel(d, panels.vectors(i), part, rows, prefetch);
  }
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
