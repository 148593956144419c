// Products with prepared weights: include/attend/kernels/prepared.h has the formula. Tasks share the panels of outputs, so each
// weight is read once however many rows there are, from memory by the first rows and from L2 by the others.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/prepared/prepared.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <limits>

#include "attend/kernels/prepared.h"
#include "kernels/prepared/tile-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

std::int64_t prepared_panel() { return kPreparedPanel; }

void prepare_float(const PreparedShape& s, const float* weight, std::int64_t weight_row,
                   float* to) {
  note_simd_target(HWY_TARGET);
  for (std::int64_t first = 0; first < s.outputs; first += kPreparedPanel) {
    const std::int64_t n = std::min(kPreparedPanel, s.outputs - first);
    constexpr std::int64_t kStretch = 16;  // of inputs, so that the rows' lines stay in L1
    for (std::int64_t k = 0; k < s.inputs; k += kStretch) {
      const std::int64_t end = std::min(s.inputs, k + kStretch);
      for (std::int64_t o = 0; o < kPreparedPanel; ++o)
        for (std::int64_t i = k; i < end; ++i)
          to[i * kPreparedPanel + o] = o < n ? weight[(first + o) * weight_row + i] : 0;
    }
    to += s.inputs * kPreparedPanel;
  }
}

/// A row's step: its largest magnitude / 127, 0 below the smallest normal number; NaN where a number is not finite.
float prepared_step(const float* x, std::int64_t n) {
  const PreparedTag d;
  const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  auto most = hn::Zero(d), odd = hn::Zero(d);
  const std::int64_t lanes = kPreparedLanes;
  for (std::int64_t i = 0; i < n; i += lanes) {
    const auto v = hn::Abs(n - i >= lanes ? hn::LoadU(d, x + i)
                                          : load_n(d, x + i, static_cast<std::size_t>(n - i)));
    odd = hn::Or(odd, hn::VecFromMask(d, hn::Not(hn::Lt(v, infinity))));
    most = hn::Max(most, v);
  }
  if (!hn::AllFalse(d, hn::MaskFromVec(odd))) return std::numeric_limits<float>::quiet_NaN();
  const float step = hn::GetLane(hn::MaxOfLanes(d, most)) / 127;
  return step < std::numeric_limits<float>::min() ? 0 : step;  // 1 / step stays finite
}

void prepare_int8(const PreparedShape& s, const float* weight, std::int64_t weight_row,
                  std::int8_t* to, float* scales, std::int32_t* offsets) {
  note_simd_target(HWY_TARGET);
  const std::int64_t fours = (s.inputs + 3) / 4;
  for (std::int64_t first = 0; first < s.outputs; first += kPreparedPanel) {
    std::memset(to, 0, static_cast<std::size_t>(fours * 4 * kPreparedPanel));
    for (std::int64_t o = 0; o < kPreparedPanel; ++o) {
      std::int32_t sum = 0;
      float step = 0;
      if (first + o < s.outputs) {
        const float* const row = weight + (first + o) * weight_row;
        step = prepared_step(row, s.inputs);
        for (std::int64_t i = 0; step > 0 && i < s.inputs; ++i) {
          const long q = std::lrintf(row[i] / step);
          to[(i / 4 * kPreparedPanel + o) * 4 + i % 4] = static_cast<std::int8_t>(q);
          sum += static_cast<std::int32_t>(q);
        }
      }
      scales[first + o] = step, offsets[first + o] = 128 * sum;
    }
    to += fours * 4 * kPreparedPanel;
  }
}

PreparedPlan prepared_plan(std::int64_t rows) {
  PreparedPlan plan;
  if (rows <= kPreparedShort) return plan;
  plan.tiles = (rows + kPreparedTall - 1) / kPreparedTall;
  plan.height = std::max<std::int64_t>((rows + plan.tiles - 1) / plan.tiles, kPreparedShort + 1);
  plan.tiles = (rows + plan.height - 1) / plan.height;
  return plan;
}

/// Packs the rows first … last − 1 of x for tall tiles.
void prepared_pack(const PreparedProduct& p, const PreparedPlan& plan, std::int64_t first,
                   std::int64_t last, float* to) {
  const std::int64_t n = p.shape.inputs, height = plan.height;
  constexpr std::int64_t kStretch = 32;  // of inputs, so that the lines of a tile stay in L1
  for (std::int64_t tile = first / height; tile * height < last; ++tile)
    for (std::int64_t k = 0; k < n; k += kStretch) {
      const std::int64_t end = std::min(n, k + kStretch);
      for (std::int64_t r = std::max(first, tile * height); r < std::min(last, (tile + 1) * height);
           ++r) {
        const float* HWY_RESTRICT x = p.x + r * p.x_row;
        float* HWY_RESTRICT own = to + tile * height * n + r % height;
        for (std::int64_t i = k; i < end; ++i) own[i * height] = x[i];
      }
    }
}

/// Quantises the rows first … last − 1 into fours of bytes, as the plan has them: to[row · to_row + four], or packed.
void prepared_quantize(const PreparedProduct& p, const PreparedPlan& plan, std::int64_t first,
                       std::int64_t last, std::int32_t* to, std::int64_t to_row, float* steps) {
  const PreparedTag d;
  const PreparedInt di;
  const hn::Rebind<std::uint8_t, PreparedTag> bytes;
  const std::int64_t n = p.shape.inputs, fours = (n + 3) / 4, lanes = kPreparedLanes;
  constexpr std::int64_t kStretch = 64;
  for (std::int64_t r = first; r < last; ++r) {
    const float* const x = p.x + r * p.x_row;
    const float step = steps[r] = prepared_step(x, n);
    const auto inverse = hn::Set(d, step > 0 ? 1 / step : 0.0f);
    const std::int64_t height = plan.height == 0 ? 1 : plan.height;
    std::int32_t* const own =
        plan.height == 0 ? to + r * to_row : to + r / height * height * fours + r % height;
    for (std::int64_t k = 0; k < n; k += kStretch) {
      HWY_ALIGN std::uint8_t quantised[kStretch + 16] = {};
      const std::int64_t end = std::min(n, k + kStretch);
      for (std::int64_t i = k; i < end; i += lanes) {
        const auto v = n - i >= lanes ? hn::LoadU(d, x + i)
                                      : load_n(d, x + i, static_cast<std::size_t>(n - i));
        const auto q = hn::NearestInt(hn::Mul(v, inverse));
        hn::StoreU(hn::DemoteTo(bytes, hn::Add(q, hn::Set(di, 128))), bytes, quantised + (i - k));
      }
      for (std::int64_t four = k / 4; four < (end + 3) / 4; ++four)
        std::memcpy(own + four * height, quantised + (4 * four - k), 4);
    }
  }
}

void prepared_panels_float(const PreparedProduct& p, const PreparedPlan& plan, PreparedPanel panel,
                           std::int64_t last) {
  note_simd_target(HWY_TARGET);
  for (; panel.index < last; ++panel.index)
    prepared_over_tiles(
        p, plan, panel,
        [&](auto height, auto vectors, const PreparedFactors& f, const PreparedPlace& at) HWY_ATTR {
          prepared_tile_float<decltype(height)::value, decltype(vectors)::value>(p, f, at);
        });
}

template <bool kDot>
void prepared_panels_int8_by(const PreparedProduct& p, const PreparedPlan& plan,
                             const PreparedInt8& all, PreparedPanel panel, std::int64_t last) {
  for (; panel.index < last; ++panel.index)
    prepared_over_tiles(
        p, plan, panel,
        [&](auto height, auto vectors, const PreparedFactors& f, const PreparedPlace& at) HWY_ATTR {
          prepared_tile_int8<decltype(height)::value, decltype(vectors)::value, kDot>(p, all, f,
                                                                                      at);
        });
}

/// The panels panel.index … last − 1.
void prepared_panels_int8(const PreparedProduct& p, const PreparedPlan& plan,
                          const PreparedInt8& all, const PreparedPanel& panel, std::int64_t last) {
  note_simd_target(HWY_TARGET);
#if HWY_TARGET <= HWY_AVX3
  if (all.dot) return prepared_panels_int8_by<true>(p, plan, all, panel, last);
#endif
  prepared_panels_int8_by<false>(p, plan, all, panel, last);
}

bool prepared_has_dot() { return HWY_TARGET <= HWY_AVX3; }

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <atomic>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

HWY_EXPORT(prepared_panel);
HWY_EXPORT(prepared_plan);
HWY_EXPORT(prepared_pack);
HWY_EXPORT(prepare_float);
HWY_EXPORT(prepare_int8);
HWY_EXPORT(prepared_quantize);
HWY_EXPORT(prepared_panels_float);
HWY_EXPORT(prepared_panels_int8);
HWY_EXPORT(prepared_has_dot);

std::atomic<bool> g_int8_dot_allowed{true};
thread_local bool t_int8_dot_used = false;

bool has_int8_dot() {
#if HWY_ARCH_X86
  static const bool found = __builtin_cpu_supports("avx512vnni") != 0;
  return found && g_int8_dot_allowed;
#else
  return false;
#endif
}

/// Products below both run on the caller's thread: a parallel region costs 1 µs when the threads are warm.
constexpr double kPreparedParallelOperations = 2e6;
constexpr std::int64_t kPreparedParallelBytes = 1 << 18;

std::int64_t prepared_panels(const PreparedShape& s) {
  const std::int64_t panel = HWY_DYNAMIC_DISPATCH(prepared_panel)();
  return (s.outputs + panel - 1) / panel;
}
std::int64_t prepared_padded(const PreparedShape& s) {
  return prepared_panels(s) * HWY_DYNAMIC_DISPATCH(prepared_panel)();
}
std::int64_t prepared_weight_bytes(const PreparedShape& s) {
  const bool is_int8 = s.precision == Precision::kInt8;
  return prepared_padded(s) * (is_int8 ? (s.inputs + 3) / 4 * 4 : 4 * s.inputs);
}

template <class F>
void prepared_share(std::int64_t items, bool parallel, const F& work) {
  const std::int64_t tasks = parallel ? std::min<std::int64_t>(items, threads()) : 1;
  if (tasks <= 1) return work(0, items);
  parallel_run(static_cast<int>(tasks),
               [&](int i) { work(i * items / tasks, (i + 1) * items / tasks); });
}

/// Elements of 4 bytes that a row of x is read as.
std::int64_t prepared_steps(const PreparedShape& s) {
  return s.precision == Precision::kInt8 ? (s.inputs + 3) / 4 : s.inputs;
}

/// Bytes of x packed or quantised.
std::int64_t prepared_x_bytes(const PreparedProduct& p, const PreparedPlan& plan) {
  const std::int64_t rows = plan.height == 0 ? p.rows : plan.tiles * plan.height;
  const bool is_as_given = plan.height == 0 && p.shape.precision == Precision::kFloat32;
  return is_as_given ? 0 : prepared_aligned(4 * rows * prepared_steps(p.shape));
}

/// Many rows go block by block, so that those that are laid out stay in L2 beside half a panel: 512 KB at most, whole tall tiles.
std::int64_t prepared_block(const PreparedProduct& p) {
  constexpr std::int64_t kBlockBytes = 512 << 10,
                         kWhole = 14 * 6;  // a multiple of every target's tall tile
  const std::int64_t row = 4 * prepared_steps(p.shape);
  const std::int64_t blocks = (p.rows * row + kBlockBytes - 1) / kBlockBytes;
  if (blocks <= 1) return p.rows;
  const std::int64_t rows = (p.rows + blocks - 1) / blocks;
  return (rows + kWhole - 1) / kWhole * kWhole;
}

std::int64_t prepared_block_workspace(const PreparedProduct& p) {
  const std::int64_t x = prepared_x_bytes(p, HWY_DYNAMIC_DISPATCH(prepared_plan)(p.rows));
  return p.shape.precision == Precision::kInt8 ? x + prepared_aligned(4 * p.rows) : x;
}

void prepared_block_product(const PreparedProduct& p) {
  if (p.rows == 0 || p.shape.outputs == 0) return;
  const double operations = 2.0 * static_cast<double>(p.rows) *
                            static_cast<double>(p.shape.outputs) *
                            static_cast<double>(p.shape.inputs);
  const bool is_int8 = p.shape.precision == Precision::kInt8;
  const bool parallel = operations >= (is_int8 ? 4 : 1) * kPreparedParallelOperations ||
                        prepared_weight_bytes(p.shape) >= kPreparedParallelBytes;
  const PreparedPlan plan = HWY_DYNAMIC_DISPATCH(prepared_plan)(p.rows);
  PreparedPanel panel;
  panel.steps = panel.x_row = prepared_steps(p.shape);
  panel.weights = static_cast<const float*>(p.weights);
  panel.x = static_cast<const float*>(p.workspace);
  constexpr std::int64_t kAlone = 1 << 14;  // numbers that one thread lays out faster than two
  const bool lay_out_in_parallel = p.rows * p.shape.inputs >= kAlone;
  const std::int64_t panels = prepared_panels(p.shape);
  if (!is_int8) {
    if (plan.height == 0)
      panel.x = p.x, panel.x_row = p.x_row;
    else
      prepared_share(p.rows, lay_out_in_parallel, [&](std::int64_t first, std::int64_t last) {
        HWY_DYNAMIC_DISPATCH(prepared_pack)(p, plan, first, last, static_cast<float*>(p.workspace));
      });
    return prepared_share(panels, parallel, [&](std::int64_t first, std::int64_t last) {
      PreparedPanel own = panel;
      own.index = first;
      HWY_DYNAMIC_DISPATCH(prepared_panels_float)(p, plan, own, last);
    });
  }
  PreparedInt8 all;
  const char* const scales =
      static_cast<const char*>(p.weights) + prepared_aligned(prepared_weight_bytes(p.shape));
  all.scales = reinterpret_cast<const float*>(scales);
  all.offsets = reinterpret_cast<const std::int32_t*>(
      scales + prepared_aligned(4 * prepared_padded(p.shape)));
  all.dot = has_int8_dot() && HWY_DYNAMIC_DISPATCH(prepared_has_dot)();
  auto* const steps =
      reinterpret_cast<float*>(static_cast<char*>(p.workspace) + prepared_x_bytes(p, plan));
  all.x_scales = steps;
  prepared_share(p.rows, lay_out_in_parallel, [&](std::int64_t first, std::int64_t last) {
    HWY_DYNAMIC_DISPATCH(prepared_quantize)
    (p, plan, first, last, static_cast<std::int32_t*>(p.workspace), panel.x_row, steps);
  });
  prepared_share(panels, parallel, [&](std::int64_t first, std::int64_t last) {
    PreparedPanel own = panel;
    own.index = first;
    HWY_DYNAMIC_DISPATCH(prepared_panels_int8)(p, plan, all, own, last);
  });
  t_int8_dot_used = all.dot;
}

}  // namespace

void allow_int8_dot(bool allow) { g_int8_dot_allowed = allow; }
bool used_int8_dot() { return t_int8_dot_used; }

std::int64_t prepared_bytes(const PreparedShape& s) {
  const std::int64_t weights = prepared_aligned(prepared_weight_bytes(s));
  return s.precision == Precision::kInt8 ? weights + 2 * prepared_aligned(4 * prepared_padded(s))
                                         : weights;
}

void prepare_weights(const PreparedShape& s, const float* weight, std::int64_t weight_row,
                     void* prepared) {
  if (s.precision == Precision::kFloat32)
    return HWY_DYNAMIC_DISPATCH(prepare_float)(s, weight, weight_row,
                                               static_cast<float*>(prepared));
  char* const memory = static_cast<char*>(prepared);
  char* const scales = memory + prepared_aligned(prepared_weight_bytes(s));
  char* const offsets = scales + prepared_aligned(4 * prepared_padded(s));
  HWY_DYNAMIC_DISPATCH(prepare_int8)
  (s, weight, weight_row, reinterpret_cast<std::int8_t*>(memory), reinterpret_cast<float*>(scales),
   reinterpret_cast<std::int32_t*>(offsets));
}

std::int64_t prepared_workspace(const PreparedProduct& p) {
  PreparedProduct block = p;
  block.rows = std::min(p.rows, prepared_block(p));
  return prepared_block_workspace(block);
}

void prepared_product(const PreparedProduct& p) {
  const std::int64_t rows = prepared_block(p);
  for (std::int64_t row = 0; row < p.rows; row += rows) {
    PreparedProduct block = p;
    block.rows = std::min(rows, p.rows - row);
    block.x += row * p.x_row, block.y += row * p.y_row;
    prepared_block_product(block);
  }
}

}  // namespace attend::kernels
#endif  // HWY_ONCE
