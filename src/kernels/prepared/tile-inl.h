// Register tiles of products with prepared weights, once per Highway target. A tile is a few rows of x by one panel of outputs, four
// vectors wide; the weights of a panel lie as they are read: [input][output of the panel], for int8 [4 inputs][output][input].
#if defined(ATTEND_KERNELS_PREPARED_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_PREPARED_TILE_INL_H_
#undef ATTEND_KERNELS_PREPARED_TILE_INL_H_
#else
#define ATTEND_KERNELS_PREPARED_TILE_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstring>

#include "kernels/prepared/plan.h"
#include "kernels/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

using PreparedTag = hn::ScalableTag<float>;
using PreparedInt = hn::ScalableTag<std::int32_t>;
constexpr int kPreparedVectors = 4;
// Sums in registers: 6 × 4 of AVX-512's 32, 3 × 4 of the others' 16.
constexpr int kPreparedRows = HWY_TARGET <= HWY_AVX3 ? 6 : 3;
constexpr std::int64_t kPreparedLanes = hn::MaxLanes(PreparedTag());
constexpr std::int64_t kPreparedPanel = kPreparedVectors * kPreparedLanes;
/// Weights are fetched so far ahead, in bytes: the first rows of a panel meet it in memory.
constexpr std::int64_t kPreparedAhead = 2048;

template <bool kAhead>
HWY_INLINE void prepared_fetch(const void* p) {
  if constexpr (kAhead) hwy::Prefetch(static_cast<const char*>(p) + kPreparedAhead);
}

/// Writes R × kPreparedVectors finished sums; `value(r, v)` is the product alone.
template <int R, class F>
HWY_INLINE void prepared_store(const PreparedProduct& p, std::int64_t row, std::int64_t column,
                               const F& value) {
  const PreparedTag d;
  constexpr std::int64_t N = kPreparedLanes;
  _Pragma("GCC unroll 4") for (int v = 0; v < kPreparedVectors; ++v) {
    const std::int64_t first = column + v * N,
                       n = std::clamp<std::int64_t>(p.shape.outputs - first, 0, N);
    if (n == 0) break;
    const auto load = [&](const float* from) HWY_ATTR {
      return n == N ? hn::LoadU(d, from) : load_n(d, from, static_cast<std::size_t>(n));
    };
    const auto bias = p.bias ? load(p.bias + first) : hn::Zero(d);
    _Pragma("GCC unroll 6") for (int r = 0; r < R; ++r) {
      float* const y = p.y + (row + r) * p.y_row + first;
      auto x = hn::Add(value(r, v), bias);
      if (p.finish == GemmFinish::kRelu) x = hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
      if (p.adds) x = hn::Add(load(y), x);
      if (n == N)
        hn::StoreU(x, d, y);
      else
        store_n(x, d, y, static_cast<std::size_t>(n));
    }
  }
}

template <int R, bool kAhead>
HWY_INLINE void prepared_tile_float(const PreparedProduct& p, std::int64_t row, std::int64_t panel,
                                    const float* HWY_RESTRICT w) {
  const PreparedTag d;
  using V = hn::Vec<PreparedTag>;
  constexpr std::int64_t N = kPreparedLanes;
  V sum[R][kPreparedVectors];
  _Pragma("GCC unroll 6") for (int r = 0; r < R; ++r)
      _Pragma("GCC unroll 4") for (int v = 0; v < kPreparedVectors; ++v) sum[r][v] = hn::Zero(d);
  const float* const x = p.x + row * p.x_row;
  for (std::int64_t k = 0; k < p.shape.inputs; ++k, w += kPreparedPanel) {
    V b[kPreparedVectors];
    _Pragma("GCC unroll 4") for (int v = 0; v < kPreparedVectors; ++v) {
      b[v] = hn::Load(d, w + v * N);
      prepared_fetch<kAhead>(w + v * N);
    }
    _Pragma("GCC unroll 6") for (int r = 0; r < R; ++r) {
      const V a = hn::Set(d, x[r * p.x_row + k]);
      _Pragma("GCC unroll 4") for (int v = 0; v < kPreparedVectors; ++v) sum[r][v] =
          hn::MulAdd(a, b[v], sum[r][v]);
    }
  }
  prepared_store<R>(p, row, panel * kPreparedPanel,
                    [&](int r, int v) HWY_ATTR { return sum[r][v]; });
}

/// sum + Σ of the four products of bytes in each 32 bits, a's without sign. Instruction: AVX-512 VNNI's, where kDot.
template <bool kDot, class V = hn::Vec<PreparedInt>>
HWY_INLINE V prepared_dot(V a, V w, V sum) {
  const PreparedInt d;
#if HWY_TARGET <= HWY_AVX3
  if constexpr (kDot) {  // g++ 12 keeps sums in registers with this, and spills with the intrinsic
    asm("vpdpbusd %2,%1,%0" : "+v"(sum.raw) : "v"(a.raw), "v"(w.raw));
    return sum;
  }
#endif
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  const hn::Repartition<std::int16_t, PreparedInt> d16;
  const hn::Repartition<std::uint16_t, PreparedInt> u16;
  const auto even = [&](V x) HWY_ATTR { return hn::ShiftLeft<8>(hn::BitCast(d16, x)); };
  const auto w0 = hn::ShiftRight<8>(even(w)), w1 = hn::ShiftRight<8>(hn::BitCast(d16, w));
  const auto a0 = hn::BitCast(d16, hn::ShiftRight<8>(hn::BitCast(u16, even(a)))),
             a1 = hn::BitCast(d16, hn::ShiftRight<8>(hn::BitCast(u16, a)));
  V unused = hn::Zero(d);
  sum = hn::ReorderWidenMulAccumulate(d, a0, w0, sum, unused);  // x86: pairs of neighbours
  return hn::ReorderWidenMulAccumulate(d, a1, w1, sum, unused);
#else
  const hn::ScalableTag<std::uint32_t> u;
  const auto byte = [&](auto place) HWY_ATTR {
    constexpr int kPlace = decltype(place)::value;
    const V from_a =
        hn::BitCast(d, hn::And(hn::ShiftRight<8 * kPlace>(hn::BitCast(u, a)), hn::Set(u, 255u)));
    const V from_w = hn::ShiftRight<24>(hn::ShiftLeft<24 - 8 * kPlace>(w));
    return hn::Mul(from_a, from_w);
  };
  sum = hn::Add(
      sum, hn::Add(byte(std::integral_constant<int, 0>()), byte(std::integral_constant<int, 1>())));
  return hn::Add(
      sum, hn::Add(byte(std::integral_constant<int, 2>()), byte(std::integral_constant<int, 3>())));
#endif
}

template <int R, bool kAhead, bool kDot>
HWY_INLINE void prepared_tile_int8(const PreparedProduct& p, const PreparedInt8& all,
                                   std::int64_t row, std::int64_t panel,
                                   const std::int8_t* HWY_RESTRICT w) {
  const PreparedTag d;
  const PreparedInt di;
  using V = hn::Vec<PreparedInt>;
  constexpr std::int64_t N = kPreparedLanes;
  V sum[R][kPreparedVectors];
  _Pragma("GCC unroll 6") for (int r = 0; r < R; ++r)
      _Pragma("GCC unroll 4") for (int v = 0; v < kPreparedVectors; ++v) sum[r][v] = hn::Zero(di);
  const std::uint8_t* const x = all.x + row * all.x_row;
  const std::int64_t fours = (p.shape.inputs + 3) / 4;
  for (std::int64_t k = 0; k < fours; ++k, w += 4 * kPreparedPanel) {
    V b[kPreparedVectors];
    _Pragma("GCC unroll 4") for (int v = 0; v < kPreparedVectors; ++v) {
      const std::int8_t* const from = w + v * 4 * N;
      b[v] = hn::Load(di, reinterpret_cast<const std::int32_t*>(from));
      prepared_fetch<kAhead>(from);
    }
    _Pragma("GCC unroll 6") for (int r = 0; r < R; ++r) {
      std::int32_t four;
      std::memcpy(&four, x + r * all.x_row + 4 * k, sizeof four);
      const V a = hn::Set(di, four);
      _Pragma("GCC unroll 4") for (int v = 0; v < kPreparedVectors; ++v) sum[r][v] =
          prepared_dot<kDot>(a, b[v], sum[r][v]);
    }
  }
  const std::int64_t column = panel * kPreparedPanel;
  prepared_store<R>(p, row, column, [&](int r, int v) HWY_ATTR {
    const V offset = hn::Load(di, all.offsets + column + v * N);
    const auto scale =
        hn::Mul(hn::Load(d, all.scales + column + v * N), hn::Set(d, all.x_scales[row + r]));
    return hn::Mul(hn::ConvertTo(d, hn::Sub(sum[r][v], offset)), scale);
  });
}

/// The rows row … row + left − 1, at most kPreparedRows, by a tile of just that height.
template <int R = kPreparedRows, class F>
HWY_INLINE void prepared_by_height(std::int64_t left, const F& tile) {
  if constexpr (R == 1) {
    tile(std::integral_constant<int, 1>());
  } else if (left >= R) {
    tile(std::integral_constant<int, R>());
  } else {
    prepared_by_height<R - 1>(left, tile);
  }
}

/// Runs tile(height, row, ahead) over all rows.
template <class F>
HWY_INLINE void prepared_over_rows(std::int64_t rows, const F& tile) {
  for (std::int64_t row = 0; row < rows;) {
    prepared_by_height(rows - row, [&](auto height) HWY_ATTR {
      if (row == 0)
        tile(height, row, std::true_type());
      else
        tile(height, row, std::false_type());
      row += decltype(height)::value;
    });
  }
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
