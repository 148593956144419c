// Register tiles of products with prepared weights, once per Highway target. The weights of a panel, four vectors of outputs, lie
// as they are read: [input][output of the panel], for int8 [4 inputs][output][input]. A short tile is a few rows of x, as they are,
// by a whole panel: all of a line of weights is used while it is there. A tall one is many rows, packed, by half a panel: each
// weight that comes from L2 (20 bytes a cycle) is used so often that the multipliers don't wait for it.
#if defined(ATTEND_KERNELS_PREPARED_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_PREPARED_TILE_INL_H_
#undef ATTEND_KERNELS_PREPARED_TILE_INL_H_
#else
#define ATTEND_KERNELS_PREPARED_TILE_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "kernels/prepared/plan.h"
#include "kernels/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

using PreparedTag = hn::ScalableTag<float>;
using PreparedInt = hn::ScalableTag<std::int32_t>;
constexpr int kPreparedVectors = 4;
// Sums in registers: of AVX-512's 32 at most 6 × 4 or 14 × 2, of the others' 16 at most 3 × 4 or 6 × 2.
constexpr int kPreparedShort = HWY_TARGET <= HWY_AVX3 ? 6 : 3;
constexpr int kPreparedTall = HWY_TARGET <= HWY_AVX3 ? 14 : 6;
constexpr std::int64_t kPreparedLanes = hn::MaxLanes(PreparedTag());
constexpr std::int64_t kPreparedPanel = kPreparedVectors * kPreparedLanes;
/// The weights of short tiles are fetched so far ahead, in bytes.
constexpr std::int64_t kPreparedAhead = 2048;

/// A tile's rows row … row + rows − 1 of x and y, at most its height, and its first column.
struct PreparedPlace {
  std::int64_t row, rows, column;
};

/// Writes the finished sums of an R × V tile; `value(r, v)` is the product alone.
template <int R, int V, class F>
HWY_INLINE void prepared_store(const PreparedProduct& p, const PreparedPlace& at, const F& value) {
  const PreparedTag d;
  constexpr std::int64_t N = kPreparedLanes;
  _Pragma("GCC unroll 4") for (int v = 0; v < V; ++v) {
    const std::int64_t first = at.column + v * N,
                       n = std::clamp<std::int64_t>(p.shape.outputs - first, 0, N);
    if (n == 0) break;
    const auto load = [&](const float* from) HWY_ATTR {
      return n == N ? hn::LoadU(d, from) : load_n(d, from, static_cast<std::size_t>(n));
    };
    const auto bias = p.bias ? load(p.bias + first) : hn::Zero(d);
    _Pragma("GCC unroll 16") for (int r = 0; r < R; ++r) {
      if (r >= at.rows) break;
      float* const y = p.y + (at.row + r) * p.y_row + first;
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

/// Where a tile finds its factors: row r's number (int8: four numbers) k at x[r · x_row + k], or packed; the V vectors of weights at
/// w[k · kPreparedPanel]. Meanwhile it fetches what lies at `ahead` into L2: a short tile a line of weights for each k, a tall one 64
/// bytes for each `every` of them, ahead_step apart.
struct PreparedFactors {
  const float* x;
  std::int64_t x_row;
  const float* w;
  const char* ahead;
  std::int64_t every, ahead_step;
};

HWY_INLINE void prepared_fetch(const char* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p, 0, 2);
#else
  (void)p;
#endif
}

/// sum[r][v] ← Σ_k add(x, w, sum), k < steps, in vectors of D.
template <int R, int V, class D, class Add>
HWY_INLINE void prepared_sums(D d, const PreparedFactors& f, std::int64_t steps, const Add& add,
                              hn::Vec<D> (&sum)[R][V]) {
  using T = hn::TFromD<D>;
  constexpr std::int64_t N = kPreparedLanes;
  _Pragma("GCC unroll 16") for (int r = 0; r < R; ++r)
      _Pragma("GCC unroll 4") for (int v = 0; v < V; ++v) sum[r][v] = hn::Zero(d);
  const float *HWY_RESTRICT w = f.w, *HWY_RESTRICT x = f.x;
  const char* ahead = f.ahead;
  std::int64_t since = 0;
  // Alike for R = 1 alone.  NOLINTNEXTLINE(bugprone-branch-clone)
  const std::int64_t x_row = V == 2 ? 1 : f.x_row, x_step = V == 2 ? R : 1;
  for (std::int64_t k = 0; k < steps; ++k, w += kPreparedPanel, x += x_step) {
    if constexpr (V == kPreparedVectors) {
      constexpr int kBytes = 4 * static_cast<int>(kPreparedPanel);
      _Pragma("GCC unroll 4") for (int line = 0; line < kBytes; line += 64)
          prepared_fetch(ahead + line);
      ahead += kBytes;
    } else if (++since == f.every) {
      since = 0;
      prepared_fetch(ahead);
      ahead += f.ahead_step;
    }
    hn::Vec<D> b[V];
    _Pragma("GCC unroll 4") for (int v = 0; v < V; ++v) {
      b[v] = hn::Load(d, reinterpret_cast<const T*>(w + v * N));
    }
    _Pragma("GCC unroll 16") for (int r = 0; r < R; ++r) {
      T one;
      std::memcpy(&one, x + r * x_row, sizeof one);
      const auto a = hn::Set(d, one);
      _Pragma("GCC unroll 4") for (int v = 0; v < V; ++v) sum[r][v] = add(a, b[v], sum[r][v]);
    }
  }
}

template <int R, int V>
HWY_INLINE void prepared_tile_float(const PreparedProduct& p, const PreparedFactors& f,
                                    const PreparedPlace& at) {
  const PreparedTag d;
  hn::Vec<PreparedTag> sum[R][V];
  prepared_sums<R, V>(
      d, f, p.shape.inputs, [](auto a, auto w, auto s) HWY_ATTR { return hn::MulAdd(a, w, s); },
      sum);
  prepared_store<R, V>(p, at, [&](int r, int v) HWY_ATTR { return sum[r][v]; });
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

template <int R, int V, bool kDot>
HWY_INLINE void prepared_tile_int8(const PreparedProduct& p, const PreparedInt8& all,
                                   const PreparedFactors& f, const PreparedPlace& at) {
  const PreparedTag d;
  const PreparedInt di;
  hn::Vec<PreparedInt> sum[R][V];
  prepared_sums<R, V>(
      di, f, (p.shape.inputs + 3) / 4,
      [](auto a, auto w, auto s) HWY_ATTR { return prepared_dot<kDot>(a, w, s); }, sum);
  prepared_store<R, V>(p, at, [&](int r, int v) HWY_ATTR {
    const std::int64_t column = at.column + v * kPreparedLanes;
    const auto offset = hn::Load(di, all.offsets + column);
    const auto scale =
        hn::Mul(hn::Load(d, all.scales + column), hn::Set(d, all.x_scales[at.row + r]));
    return hn::Mul(hn::ConvertTo(d, hn::Sub(sum[r][v], offset)), scale);
  });
}

/// tile(R as a constant) for the height, R in (kFrom, kTo]; more is kTo, fewer kFrom + 1.
template <int kFrom, int kTo, class F>
HWY_INLINE void prepared_by_height(std::int64_t height, const F& tile) {
  if constexpr (kTo == kFrom + 1) {
    tile(std::integral_constant<int, kTo>());
  } else if (height >= kTo) {
    tile(std::integral_constant<int, kTo>());
  } else {
    prepared_by_height<kFrom, kTo - 1>(height, tile);
  }
}

/// All tiles of a panel of weights, x as the plan has it: tile(R, V as constants, factors, place). Between them the tall ones fetch
/// the panel that follows, evenly, so that it comes from memory while these multiply.
template <class F>
HWY_INLINE void prepared_over_tiles(const PreparedProduct& p, const PreparedPlan& plan,
                                    const PreparedPanel& panel, const F& tile) {
  const std::int64_t column = panel.index * kPreparedPanel, steps = panel.steps;
  const float* const w = panel.weights + panel.index * steps * kPreparedPanel;
  if (plan.height == 0) {
    const char* const ahead = reinterpret_cast<const char*>(w) + kPreparedAhead;
    for (std::int64_t row = 0; row < p.rows; row += kPreparedShort) {
      const std::int64_t rows = std::min<std::int64_t>(kPreparedShort, p.rows - row);
      const PreparedFactors f{panel.x + row * panel.x_row, panel.x_row, w, ahead, 1, 0};
      prepared_by_height<0, kPreparedShort>(rows, [&](auto height) HWY_ATTR {
        tile(height, std::integral_constant<int, kPreparedVectors>(), f,
             PreparedPlace{row, rows, column});
      });
    }
    return;
  }
  constexpr std::int64_t kHalf = 2 * kPreparedLanes;
  // A panel is steps · 4 kPreparedPanel bytes, and 2 · tiles · steps times one of its lines may be asked for.
  const std::int64_t every = std::max<std::int64_t>(1, 32 * plan.tiles / kPreparedPanel),
                     ahead_step =
                         plan.tiles == 1 ? 2 * 64 : 64,  // of one tile: the neighbour comes along
      reach = (steps + every - 1) / every * ahead_step;
  const char* const next = reinterpret_cast<const char*>(w + steps * kPreparedPanel);
  prepared_by_height<kPreparedShort, kPreparedTall>(plan.height, [&](auto height) HWY_ATTR {
    constexpr std::int64_t R = decltype(height)::value;
    for (std::int64_t i = 0; i < 2 * plan.tiles; ++i) {
      const std::int64_t half = i / plan.tiles, row = i % plan.tiles * R;
      const PreparedFactors f{panel.x + row * steps, 1,     w + half * kHalf,
                              next + i * reach,      every, ahead_step};
      tile(height, std::integral_constant<int, 2>(), f,
           PreparedPlace{row, std::min(R, p.rows - row), column + half * kHalf});
    }
  });
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
