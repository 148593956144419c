// Scaled dot-product attention, forward: include/attend/kernels/sdpa.h has the equations.
//
// One task is a block of queries of one head: transposed once, it walks over the visible keys in blocks that stay in L1, with
// the softmax kept online (Dao 2022, alg. 1). Which keys it visits follows from the facts of Visibility, so hidden blocks cost
// nothing and partly hidden ones a comparison per vector.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sdpa/forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <atomic>
#include <cmath>

#include "attend/base/threads.h"
#include "attend/kernels/sdpa.h"
#include "kernels/attention/visible.h"
#include "kernels/sdpa/block-inl.h"
#include "kernels/sdpa/tile-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// Longer sequences keep four vectors of queries in registers, shorter ones two; where they cross was taken
/// from a prototype and has not been measured on this kernel.
constexpr std::int64_t kLongSequence = 512;

template <class T>
std::int64_t scratch_of(const SdpaForward<T>& p, std::int64_t block_queries) {
  const std::int64_t columns = p.width + p.value_width + kKeyBlock;
  return columns * block_queries + (p.visible.mask ? kKeyBlock * p.value_width : 0);
}

template <int QV, class T>
class ForwardBlock {
 public:
  using V = hn::Vec<Tag<T>>;
  static constexpr std::int64_t kQueries = QV * kLanes<T>;

  ForwardBlock(const SdpaForward<T>& p, std::int64_t b, std::int64_t h, std::int64_t first, T* scratch)
      : p_(p), b_(b), h_(h), first_(first), count_(std::min(kQueries, p.queries - first)), qt_(scratch),
        out_(qt_ + p.width * kQueries), s_(out_ + p.value_width * kQueries), values_(s_ + kKeyBlock * kQueries),
        scaling_(p), range_(p, b, first, count_) {}

  void run() {
    const std::int64_t kv = h_ / (p_.heads / p_.key_heads);
    const T* key = p_.key + b_ * p_.key_strides.batch + kv * p_.key_strides.head;
    const T* value = p_.value + b_ * p_.value_strides.batch + kv * p_.value_strides.head;
    load_queries();
    for (int g = 0; g < QV; ++g) largest_[g] = hn::Set(d_, kHidden<T>), total_[g] = hn::Zero(d_);
    bool first = true;
    for (std::int64_t j = range_.begin; j < range_.end; j += kKeyBlock, first = false) {
      const std::int64_t n = std::min<std::int64_t>(kKeyBlock, range_.end - j);
      V fade[QV];
      score(key + j * p_.key_strides.row, j, n, fade);
      if (p_.dropout > 0) drop(j, n);
      const auto [v, stride] = usable_values(value + j * p_.value_strides.row, n);
      add_values<QV>(v, stride, p_.value_width, s_, n, fade, first, out_);
    }
    if (first) std::memset(out_, 0, static_cast<std::size_t>(p_.value_width * kQueries) * sizeof(T));
    store();
    if (p_.weights) store_weights(key);
  }

 private:
  void load_queries() {
    const T* q = p_.query + b_ * p_.query_strides.batch + h_ * p_.query_strides.head + first_ * p_.query_strides.row;
    for (int g = 0; g < QV; ++g) {
      const std::int64_t rows = std::clamp<std::int64_t>(count_ - g * kLanes<T>, 0, kLanes<T>);
      transpose_in(q + g * kLanes<T> * p_.query_strides.row, p_.query_strides.row, rows, p_.width,
                   scaling_.query, qt_ + g * kLanes<T>, kQueries);
    }
  }

  /// Scores of keys [j, j + n) to s_, hidden ones and bias put in; true when they may differ from the plain product.
  bool raw_scores(const T* key, std::int64_t j, std::int64_t n, V (&largest)[QV]) {
    scores<QV>(key, p_.key_strides.row, qt_, p_.width, n, s_, largest);
    const bool partial = !range_.all_see(j, j + n);
    if (!scaling_.plain) finish_scores<QV>(scaling_.after, p_.bias, p_.bias_strides, b_, h_, first_, count_, j, n, s_);
    if (partial) range_.hide(j, n, s_);
    if (p_.visible.mask) hide_masked<QV>(p_.visible, b_, h_, first_, count_, j, n, s_);
    return partial || !scaling_.plain || p_.visible.mask;
  }

  /// s_ = exp2(score − maximum); the running maximum and total move on, fade is what older sums shrink by.
  void score(const T* key, std::int64_t j, std::int64_t n, V (&fade)[QV]) {
    V largest[QV];
    for (int g = 0; g < QV; ++g) largest[g] = largest_[g];
    if (raw_scores(key, j, n, largest)) {
      for (int g = 0; g < QV; ++g) largest[g] = largest_[g];
      for (std::int64_t k = 0; k < n; ++k)
        for (int g = 0; g < QV; ++g) largest[g] = hn::Max(largest[g], hn::Load(d_, s_ + k * kQueries + g * kLanes<T>));
    }
    const V factor = hn::Set(d_, scaling_.factor);
    V sum[QV], reference[QV];
    for (int g = 0; g < QV; ++g) {
      // A query that has seen no key yet keeps a reference far above the mark of hidden keys, so that these become 0.
      reference[g] = hn::Max(largest[g], hn::Set(d_, kAboveHidden<T>));
      fade[g] = exp2_nonpositive(
          d_, hn::Mul(factor, hn::Sub(hn::Max(largest_[g], hn::Set(d_, kAboveHidden<T>)), reference[g])));
      largest_[g] = largest[g];
      sum[g] = hn::Zero(d_);
    }
    _Pragma("GCC unroll 2") for (std::int64_t k = 0; k < n; ++k) {
      ATTEND_UNROLL for (int g = 0; g < QV; ++g) {
        T* place = s_ + k * kQueries + g * kLanes<T>;
        const V e = exp2_nonpositive(d_, hn::Mul(factor, hn::Sub(hn::Load(d_, place), reference[g])));
        sum[g] = hn::Add(sum[g], e);
        hn::Store(e, d_, place);
      }
    }
    for (int g = 0; g < QV; ++g) total_[g] = hn::MulAdd(total_[g], fade[g], sum[g]);
  }

  void drop(std::int64_t j, std::int64_t n) {
    drop_weights<QV>(p_.seed, p_.dropout, static_cast<std::uint32_t>(b_ * p_.heads + h_), first_, j, n, s_);
  }

  /// The block's values; with a dense mask a copy with those rows zeroed that no query of the block sees, since 0 · NaN is NaN.
  std::pair<const T*, std::int64_t> usable_values(const T* value, std::int64_t n) {
    if (!p_.visible.mask) return {value, p_.value_strides.row};
    for (std::int64_t k = 0; k < n; ++k) {
      V any = hn::Zero(d_);
      for (int g = 0; g < QV; ++g) any = hn::Max(any, hn::Load(d_, s_ + k * kQueries + g * kLanes<T>));
      const bool seen = hn::GetLane(hn::MaxOfLanes(d_, any)) > 0;
      T* row = values_ + k * p_.value_width;
      if (seen)
        std::memcpy(row, value + k * p_.value_strides.row, static_cast<std::size_t>(p_.value_width) * sizeof(T));
      else
        std::memset(row, 0, static_cast<std::size_t>(p_.value_width) * sizeof(T));
    }
    return {values_, p_.value_width};
  }

  void store() {
    T* out = p_.output + b_ * p_.output_strides.batch + h_ * p_.output_strides.head + first_ * p_.output_strides.row;
    for (int g = 0; g < QV; ++g) {
      const std::int64_t rows = std::clamp<std::int64_t>(count_ - g * kLanes<T>, 0, kLanes<T>);
      const auto none = hn::Eq(total_[g], hn::Zero(d_));
      inverse_[g] = hn::IfThenZeroElse(none, hn::Div(hn::Set(d_, 1), total_[g]));
      largest_[g] = hn::Max(largest_[g], hn::Set(d_, kAboveHidden<T>));   // as the weights were made
      transpose_out(out_ + g * kLanes<T>, kQueries, rows, p_.value_width, inverse_[g],
                    out + g * kLanes<T> * p_.output_strides.row, p_.output_strides.row);
      if (!p_.inverse || rows == 0) continue;
      const std::int64_t at = (b_ * p_.heads + h_) * p_.queries + first_ + g * kLanes<T>;
      store_n(largest_[g], d_, p_.largest + at, static_cast<std::size_t>(rows));
      store_n(inverse_[g], d_, p_.inverse + at, static_cast<std::size_t>(rows));
    }
  }

  /// weights[i][j] = exp(s − largest) inverse: a second walk over the keys, so that the common case stores nothing of this size.
  void store_weights(const T* key) {
    T* out = p_.weights + ((b_ * p_.heads + h_) * p_.queries + first_) * p_.keys;
    for (std::int64_t i = 0; i < count_; ++i) {
      std::fill(out + i * p_.keys, out + i * p_.keys + range_.begin, T{0});
      std::fill(out + i * p_.keys + range_.end, out + (i + 1) * p_.keys, T{0});
    }
    const V factor = hn::Set(d_, scaling_.factor);
    V unused[QV];
    for (int g = 0; g < QV; ++g) unused[g] = largest_[g];
    for (std::int64_t j = range_.begin; j < range_.end; j += kKeyBlock) {
      const std::int64_t n = std::min<std::int64_t>(kKeyBlock, range_.end - j);
      raw_scores(key + j * p_.key_strides.row, j, n, unused);
      for (std::int64_t k = 0; k < n; ++k)
        for (int g = 0; g < QV; ++g) {
          T* place = s_ + k * kQueries + g * kLanes<T>;
          const V e = exp2_nonpositive(d_, hn::Mul(factor, hn::Sub(hn::Load(d_, place), largest_[g])));
          hn::Store(hn::Mul(e, inverse_[g]), d_, place);
        }
      for (int g = 0; g < QV; ++g) {
        const std::int64_t rows = std::clamp<std::int64_t>(count_ - g * kLanes<T>, 0, kLanes<T>);
        transpose_out(s_ + g * kLanes<T>, kQueries, rows, n, hn::Set(d_, 1), out + g * kLanes<T> * p_.keys + j, p_.keys);
      }
    }
  }

  const Tag<T> d_;
  const SdpaForward<T>& p_;
  const std::int64_t b_, h_, first_, count_;
  T *qt_, *out_, *s_, *values_;
  const Scaling<T> scaling_;
  BlockRange<T, QV> range_;
  V largest_[QV], total_[QV], inverse_[QV];
};

template <int QV, class T>
void run_all(const SdpaForward<T>& p) {
  constexpr std::int64_t kQueries = QV * kLanes<T>;
  const std::int64_t blocks = (p.queries + kQueries - 1) / kQueries, tasks = p.batch * p.heads * blocks;
  const int workers = static_cast<int>(std::min<std::int64_t>(threads(), tasks));
  const std::int64_t scratch = scratch_of(p, kQueries);
  std::atomic<std::int64_t> next{0};
  const std::int64_t chunk = std::max<std::int64_t>(1, tasks / 64);
  parallel_run(workers, [&](int worker) {
    for (std::int64_t t = next.fetch_add(chunk); t < tasks; t = next.fetch_add(chunk))
      for (std::int64_t i = t; i < std::min(tasks, t + chunk); ++i) {
        // Blocks of one head follow each other (its K and V stay in L2), the longest of a causal head first.
        const std::int64_t head = i / blocks, block = blocks - 1 - i % blocks;
        ForwardBlock<QV, T>(p, head / p.heads, head % p.heads, block * kQueries, p.workspace + worker * scratch).run();
      }
  });
}

template <class T>
void forward(const SdpaForward<T>& p) {
  note_simd_target(HWY_TARGET);
  if (p.batch == 0 || p.heads == 0 || p.queries == 0) return;
  if (kRegisters == 32 && p.queries >= kLongSequence && p.keys >= kLongSequence)
    run_all<4, T>(p);
  else
    run_all<2, T>(p);
}

void forward_float(const SdpaForward<float>& p) { forward(p); }
void forward_double(const SdpaForward<double>& p) { forward(p); }
std::int64_t scratch_float(const SdpaForward<float>& p) { return scratch_of(p, 4 * kLanes<float>); }
std::int64_t scratch_double(const SdpaForward<double>& p) { return scratch_of(p, 4 * kLanes<double>); }

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(forward_float);
HWY_EXPORT(forward_double);
HWY_EXPORT(scratch_float);
HWY_EXPORT(scratch_double);

void sdpa_forward(const SdpaForward<float>& p) { HWY_DYNAMIC_DISPATCH(forward_float)(p); }
void sdpa_forward(const SdpaForward<double>& p) { HWY_DYNAMIC_DISPATCH(forward_double)(p); }

template <>
std::int64_t sdpa_forward_workspace(const SdpaForward<float>& p) {
  return HWY_DYNAMIC_DISPATCH(scratch_float)(p) * threads();
}
template <>
std::int64_t sdpa_forward_workspace(const SdpaForward<double>& p) {
  return HWY_DYNAMIC_DISPATCH(scratch_double)(p) * threads();
}
}  // namespace attend::kernels
#endif
