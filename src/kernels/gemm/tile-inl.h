// The register tile of the matrix product and the packing around it, once per Highway target.
#if defined(ATTEND_KERNELS_GEMM_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_GEMM_TILE_INL_H_
#undef ATTEND_KERNELS_GEMM_TILE_INL_H_
#else
#define ATTEND_KERNELS_GEMM_TILE_INL_H_
#endif

#include <algorithm>

#include "attend/kernels/gemm.h"
#include "kernels/gemm/plan.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

template <class T>
using GemmTag = hn::ScalableTag<T>;
template <class T>
constexpr std::int64_t kGemmLanes = hn::MaxLanes(GemmTag<T>());
// Sums in registers: 14 × 2 of AVX-512's 32, 6 × 2 of the others' 16; two more hold b and one a.
constexpr int kGemmRows = HWY_TARGET <= HWY_AVX3 ? 14 : 6, kGemmVectors = 2;
template <class T>
constexpr std::int64_t kGemmColumns = kGemmVectors* kGemmLanes<T>;

/// out[k][i] = in(first + i, k) for kPanel lines, those beyond `lines` 0: the layout both factors are read in.
template <int kPanel, class T>
HWY_INLINE void gemm_pack(const T* HWY_RESTRICT in, std::int64_t line, std::int64_t along,
                          std::int64_t lines, std::int64_t depth, T* HWY_RESTRICT out) {
  const GemmTag<T> d;
  constexpr std::int64_t N = kGemmLanes<T>;
  if (lines == kPanel && line == 1) {
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t i = 0; i < kPanel; i += N) {
        const auto n = static_cast<std::size_t>(std::min<std::int64_t>(N, kPanel - i));
        store_n(load_n(d, in + k * along + i, n), d, out + k * kPanel + i, n);
      }
  } else if (lines == kPanel && along == 1) {
    // The last lines that fill no square go as one that begins earlier and writes some again.
    constexpr std::int64_t kRest = kPanel % kSquare<T>, kLast = kPanel - kSquare<T>;
    transpose(in, line, kPanel - kRest, depth, out, kPanel);
    if constexpr (kRest > 0)
      transpose(in + kLast * line, line, kSquare<T>, depth, out + kLast, kPanel);
  } else {
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t i = 0; i < kPanel; ++i)
        out[k * kPanel + i] = i < lines ? in[i * line + k * along] : T{0};
  }
}

/// Where a tile's sums go.
template <class T>
struct GemmPlace {
  T* c;
  std::int64_t c_row, rows, columns;  // of the tile that exist
  bool first, last;                   // stretch of the depth
  const T* bias;
  GemmFinish finish;
};

template <class T>
HWY_INLINE hn::Vec<GemmTag<T>> gemm_finish(hn::Vec<GemmTag<T>> x, hn::Vec<GemmTag<T>> bias,
                                           GemmFinish finish) {
  const GemmTag<T> d;
  x = hn::Add(x, bias);
  // Max as a selection that keeps a NaN.
  return finish == GemmFinish::kRelu ? hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x) : x;
}

/// One kGemmRows × kGemmVectors tile of c over a stretch of the depth; a and b packed.
template <class T>
HWY_INLINE void gemm_tile(const T* HWY_RESTRICT a, const T* HWY_RESTRICT b, std::int64_t depth,
                          const GemmPlace<T>& to) {
  const GemmTag<T> d;
  using V = hn::Vec<GemmTag<T>>;
  constexpr int R = kGemmRows;
  constexpr std::int64_t N = kGemmLanes<T>;
  V sum[R][2];
  _Pragma("GCC unroll 16") for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = hn::Zero(d);
  for (std::int64_t k = 0; k < depth; ++k) {
    const V b0 = hn::Load(d, b + k * 2 * N), b1 = hn::Load(d, b + k * 2 * N + N);
    _Pragma("GCC unroll 16") for (int r = 0; r < R; ++r) {
      const V x = hn::Set(d, a[k * R + r]);
      sum[r][0] = hn::MulAdd(x, b0, sum[r][0]);
      sum[r][1] = hn::MulAdd(x, b1, sum[r][1]);
    }
  }
  _Pragma("GCC unroll 2") for (int v = 0; v < 2; ++v) {
    const std::int64_t n = std::clamp<std::int64_t>(to.columns - v * N, 0, N);
    if (n == 0) break;
    const auto load = [&](const T* p) HWY_ATTR {
      return n == N ? hn::LoadU(d, p) : load_n(d, p, static_cast<std::size_t>(n));
    };
    const V bias = to.bias && to.last ? load(to.bias + v * N) : hn::Zero(d);
    _Pragma("GCC unroll 16") for (int r = 0; r < R; ++r) {
      if (r >= to.rows) break;
      T* c = to.c + r * to.c_row + v * N;
      V x = to.first ? sum[r][v] : hn::Add(load(c), sum[r][v]);
      if (to.last) x = gemm_finish<T>(x, bias, to.finish);
      if (n == N)
        hn::StoreU(x, d, c);
      else
        store_n(x, d, c, static_cast<std::size_t>(n));
    }
  }
}

/// Packs the panels first … last − 1 of b, whole depth: [stretch][panel][k][column].
template <class T>
void gemm_pack_b(const Gemm<T>& p, const GemmPlan& plan, std::int64_t first, std::int64_t last,
                 T* packed) {
  constexpr std::int64_t NR = kGemmColumns<T>;
  for (std::int64_t s = 0; s < plan.stretches; ++s) {
    const std::int64_t k = plan.start(s), depth = plan.start(s + 1) - k;
    for (std::int64_t panel = first; panel < last; ++panel)
      gemm_pack<static_cast<int>(NR)>(p.b + k * p.b_depth + panel * NR * p.b_column, p.b_column,
                                      p.b_depth, std::min(NR, p.columns - panel * NR), depth,
                                      packed + plan.b_panels * NR * k + panel * NR * depth);
  }
}

/// Packs the row panels first … last − 1 of a over stretch s: [panel][k][row].
template <class T>
void gemm_pack_a(const Gemm<T>& p, const GemmPlan& plan, std::int64_t s, std::int64_t first,
                 std::int64_t last, T* packed) {
  constexpr std::int64_t MR = kGemmRows;
  const std::int64_t k = plan.start(s), depth = plan.start(s + 1) - k;
  for (std::int64_t i = first; i < last; ++i)
    gemm_pack<kGemmRows>(p.a + i * MR * p.a_row + k * p.a_depth, p.a_row, p.a_depth,
                         std::min(MR, p.rows - i * MR), depth, packed + (i - first) * MR * depth);
}

/// Tile (i, j) of c over stretch s, from a's panel i and all of b, packed.
template <class T>
HWY_INLINE void gemm_place(const Gemm<T>& p, const GemmPlan& plan, std::int64_t s, std::int64_t i,
                           std::int64_t j, const T* a) {
  constexpr std::int64_t NR = kGemmColumns<T>, MR = kGemmRows;
  const std::int64_t k = plan.start(s), depth = plan.start(s + 1) - k;
  gemm_tile(a, p.packed + plan.b_panels * NR * k + j * NR * depth, depth,
            GemmPlace<T>{p.c + i * MR * p.c_row + j * NR, p.c_row, std::min(MR, p.rows - i * MR),
                         std::min(NR, p.columns - j * NR), s == 0, s + 1 == plan.stretches,
                         p.bias ? p.bias + j * NR : nullptr, p.finish});
}

/// The row panels first … last − 1 of c; `scratch` holds as many panels of a over one stretch.
template <class T>
void gemm_rows(const Gemm<T>& p, const GemmPlan& plan, std::int64_t first, std::int64_t last,
               T* scratch) {
  for (std::int64_t s = 0; s < plan.stretches; ++s) {
    const std::int64_t panel = kGemmRows * (plan.start(s + 1) - plan.start(s));
    gemm_pack_a(p, plan, s, first, last, scratch);
    for (std::int64_t j = 0; j < plan.b_panels; ++j)
      for (std::int64_t i = first; i < last; ++i)
        gemm_place(p, plan, s, i, j, scratch + (i - first) * panel);
  }
}

/// The column panels first … last − 1 of c; `a` holds all of a, packed stretch after stretch.
template <class T>
void gemm_columns(const Gemm<T>& p, const GemmPlan& plan, std::int64_t first, std::int64_t last,
                  const T* a) {
  for (std::int64_t s = 0; s < plan.stretches; ++s) {
    const std::int64_t panel = kGemmRows * (plan.start(s + 1) - plan.start(s));
    const T* const stretch = a + plan.start(s) * plan.a_panels * kGemmRows;
    for (std::int64_t j = first; j < last; ++j)
      for (std::int64_t i = 0; i < plan.a_panels; ++i)
        gemm_place(p, plan, s, i, j, stretch + i * panel);
  }
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
