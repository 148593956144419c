// Scaled dot-product attention, forward: include/attend/kernels/sdpa.h has the equations.
//
// One task is a block of queries of one head: transposed once, it walks over the visible keys in blocks that stay in L1, with
// the softmax kept online (Dao 2022, alg. 1). Which keys it visits follows from the facts of Visibility, so hidden blocks cost
// nothing and partly hidden ones a comparison per vector.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sdpa/forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

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

/// Long sequences keep four vectors of queries in registers, shorter ones two; so do causal ones, where a block of twice the
/// queries computes more in vain (windows of 64 gain nothing by it). One thread of a Zen 4, the kernel alone, B 4, H 8, L 512, four
/// against two: D 16 6.3 and 6.5 ms, D 64 21.4 and 21.5, D 64 causal 12.4 and 12.0 (attend_bench sdpa --threads 1 has these rows).
constexpr std::int64_t kLongSequence = 512;

template <class I>
std::int64_t scratch_of(const SdpaForward<I>& p, std::int64_t block_queries) {
  const std::int64_t columns = p.width + p.value_width + kKeyBlock;
  const std::int64_t widened =
      std::is_same_v<I, BFloat16> ? kKeyBlock * (p.width + pair_pitch(p.value_width) + 8) : 0;
  return columns * block_queries + (p.visible.mask ? kKeyBlock * p.value_width : 0) + widened;
}

template <int QV, class I>
class ForwardBlock {
 public:
  using T = Accumulator<I>;
  using V = hn::Vec<Tag<T>>;
  static constexpr std::int64_t kQueries = QV * kLanes<T>;

  ForwardBlock(const SdpaForward<I>& p, std::int64_t b, std::int64_t h, std::int64_t first,
               T* scratch, Ahead& ahead)
      : p_(p),
        b_(b),
        h_(h),
        first_(first),
        count_(std::min(kQueries, p.queries - first)),
        qt_(scratch),
        out_(qt_ + p.width * kQueries),
        s_(out_ + p.value_width * kQueries),
        key_rows_(s_ + kKeyBlock * kQueries),
        value_rows_(key_rows_ + (kNarrow ? kKeyBlock * (p.width + 8) : 0)),
        values_(reinterpret_cast<I*>(value_rows_ +
                                     (kNarrow ? kKeyBlock * pair_pitch(p.value_width) : 0))),
        rows_(p, b * p.heads + h),
        scaling_(p),
        pairs_(uses_pairs(p, /*backward=*/false)),
        range_(p, b, first, count_),
        dropout_(p.seed, p.dropout),
        ahead_(ahead) {}

  void run() {
    const Rows<I> key = rows_.key, value = rows_.value;
    load_queries();
    for (int g = 0; g < QV; ++g)
      largest_[g] = hn::Set(d_, kHidden<T>), reference_[g] = reference_of(largest_[g]),
      total_[g] = hn::Zero(d_);
    bool first = true;
    for (std::int64_t j = range_.begin; j < range_.end; j += kKeyBlock) {
      const std::int64_t n = std::min<std::int64_t>(kKeyBlock, range_.end - j);
      Rows<I> v{value.row(j), value.stride};
      if (p_.visible.mask) {
        mask_.load(p_, range_, b_ * p_.heads + h_, first_, count_, j, n);
        if (mask_.empty() && !p_.weights) continue;
        v = seen_rows(mask_, v, n, p_.value_width, values_);
      }
      V fade[QV];
      score({key.row(j), key.stride}, j, n, fade);
      if (p_.dropout > 0) drop(j, n);
      add_block(v, n, fade, first);
      first = false;
    }
    if (first)
      std::memset(out_, 0, static_cast<std::size_t>(p_.value_width * kQueries) * sizeof(T));
    store();
    if (p_.weights) finish_weights();
  }

 private:
  static constexpr bool kNarrow = !std::is_same_v<I, T>;  // what is widened, or made pairs of

  void load_queries() {
    for (int g = 0; g < QV; ++g) {
      const std::int64_t at = g * kLanes<T>,
                         rows = std::clamp<std::int64_t>(count_ - at, 0, kLanes<T>);
      const Rows<I> q{rows_.query.row(first_ + (rows > 0 ? at : 0)), rows_.query.stride};
      if constexpr (kPairs<I>) {
        if (pairs_) {
          transpose_pairs(q, rows, p_.width, as_pairs(key_rows_), as_pairs(qt_ + at), kQueries);
          continue;
        }
      }
      const auto [data, stride] = in_sums_type(q, rows, p_.width, key_rows_);
      transpose_in(data, stride, rows, p_.width, scaling_.query, qt_ + at, kQueries);
    }
  }

  static std::uint32_t* as_pairs(T* p) { return reinterpret_cast<std::uint32_t*>(p); }

  /// Σ of the values of n keys, weighted by s_, to out_.
  void add_block(Rows<I> value, std::int64_t n, const V (&fade)[QV], bool first) {
    if constexpr (kPairs<I>) {
      if (pairs_) {
        HWY_ALIGN T fades[kQueries];
        for (int g = 0; g < QV; ++g) hn::Store(fade[g], d_, fades + g * kLanes<T>);
        pair_scores(s_, n, QV, as_pairs(s_));
        pair_rows(value, n, p_.value_width, as_pairs(value_rows_));
        dot_values(as_pairs(value_rows_), p_.value_width, as_pairs(s_), n, fades, first, QV, out_);
        ahead_.step(p_.value_width / kTile<QV>);
        return;
      }
    }
    add_values<QV>(in_sums_type(value, n, p_.value_width, value_rows_), p_.value_width, s_, n, fade,
                   first, out_, ahead_);
  }

  /// What exponents are taken against. A query that has seen no key yet keeps one far above the mark of hidden keys, so that
  /// these become 0.
  V reference_of(V largest) const {
    return hn::Mul(hn::Set(d_, scaling_.factor), hn::Max(largest, hn::Set(d_, kAboveHidden<T>)));
  }

  /// Scores of keys [j, j + n) to s_, hidden ones and bias put in; `largest` goes on.
  void raw_scores(Rows<I> rows, std::int64_t j, std::int64_t n, V (&largest)[QV]) {
    const bool partial = !range_.all_see(j, j + n);
    if (pairs_) {
      if constexpr (kPairs<I>) dot_scores(rows, n, p_.width, as_pairs(qt_), QV, s_);
      ahead_.step(n / kTile<QV>);
    } else if (!partial && scaling_.plain && !p_.visible.mask) {
      scores<QV>(
          in_sums_type(rows, n, p_.width, key_rows_), qt_, p_.width, n, ahead_,
          [&](std::int64_t k, const auto& sum) HWY_ATTR {
            V most
                [QV];  // of the tile: one that could alias the stores would be reloaded after each of them
            ATTEND_UNROLL for (int g = 0; g < QV; ++g) most[g] = largest[g];
            each_of<T>(sum, k, [&](std::int64_t at, int g, V s) HWY_ATTR {
              most[g] = hn::Max(most[g], s);
              hn::Store(s, d_, s_ + at);
            });
            ATTEND_UNROLL for (int g = 0; g < QV; ++g) largest[g] = most[g];
          });
      return;
    } else {
      scores<QV>(in_sums_type(rows, n, p_.width, key_rows_), qt_, p_.width, n, ahead_,
                 store_to(s_));
    }
    if (!scaling_.plain)
      finish_scores<QV>(scaling_.after, p_.bias, p_.bias_strides, b_, h_, first_, count_, j, n, s_);
    if (p_.visible.mask)
      mask_.hide(n, s_);
    else if (partial)
      range_.hide(j, n, s_);
    for (std::int64_t k = 0; k < n; ++k)
      for (int g = 0; g < QV; ++g)
        largest[g] = hn::Max(largest[g], hn::Load(d_, s_ + k * kQueries + g * kLanes<T>));
  }

  /// s_ = exp2(exponent); the running maximum and total move on, fade is what older sums shrink by.
  void score(Rows<I> key, std::int64_t j, std::int64_t n, V (&fade)[QV]) {
    V largest[QV], reference[QV], sum[QV];
    for (int g = 0; g < QV; ++g) largest[g] = largest_[g];
    raw_scores(key, j, n, largest);
    if (p_.weights) keep_scores(j, n);
    const V factor = hn::Set(d_, scaling_.factor);
    for (int g = 0; g < QV; ++g) {
      largest_[g] = largest[g];
      reference[g] = reference_of(largest[g]);
      fade[g] = exp2_nonpositive(d_, hn::Sub(reference_[g], reference[g]));
      reference_[g] = reference[g];
      sum[g] = hn::Zero(d_);
    }
    _Pragma("GCC unroll 2") for (std::int64_t k = 0; k < n; ++k) {
      ATTEND_UNROLL for (int g = 0; g < QV; ++g) {
        T* place = s_ + k * kQueries + g * kLanes<T>;
        const V e = exp2_nonpositive(d_, hn::MulSub(factor, hn::Load(d_, place), reference[g]));
        sum[g] = hn::Add(sum[g], e);
        hn::Store(e, d_, place);
      }
    }
    for (int g = 0; g < QV; ++g) total_[g] = hn::MulAdd(total_[g], fade[g], sum[g]);
  }

  /// Zeros for dropped weights; what is kept is scaled once, at the end.
  void drop(std::int64_t j, std::int64_t n) {
    const auto batch_head = static_cast<std::uint32_t>(b_ * p_.heads + h_);
    each_kept<QV, T>(dropout_, batch_head, first_, j, n, [&](std::int64_t at, auto kept) HWY_ATTR {
      hn::Store(hn::IfThenElseZero(kept, hn::Load(d_, s_ + at)), d_, s_ + at);
    });
  }

  void store() {
    I* out = const_cast<I*>(rows_.output.row(first_));
    const V kept_factor = hn::Set(d_, p_.dropout > 0 ? static_cast<T>(dropout_.factor()) : T{1});
    for (int g = 0; g < QV; ++g) {
      const std::int64_t rows = std::clamp<std::int64_t>(count_ - g * kLanes<T>, 0, kLanes<T>);
      const auto none = hn::Eq(total_[g], hn::Zero(d_));
      inverse_[g] = hn::IfThenZeroElse(none, hn::Div(hn::Set(d_, 1), total_[g]));
      const V factor = hn::Mul(inverse_[g], kept_factor);
      I* to = out + g * kLanes<T> * p_.output_strides.row;
      if constexpr (kNarrow) {
        transpose_out(out_ + g * kLanes<T>, kQueries, rows, p_.value_width, factor, value_rows_,
                      p_.value_width);
        for (std::int64_t i = 0; i < rows; ++i)
          for (std::int64_t c = 0; c < p_.value_width; ++c)
            to[i * p_.output_strides.row + c] = narrow(value_rows_[i * p_.value_width + c]);
      } else {
        transpose_out(out_ + g * kLanes<T>, kQueries, rows, p_.value_width, factor, to,
                      p_.output_strides.row);
      }
      if (!p_.inverse || rows == 0) continue;
      const std::int64_t at = (b_ * p_.heads + h_) * p_.queries + first_ + g * kLanes<T>;
      store_n(reference_[g], d_, p_.largest + at, static_cast<std::size_t>(rows));
      store_n(inverse_[g], d_, p_.inverse + at, static_cast<std::size_t>(rows));
    }
  }

  T* weights_of(std::int64_t i) const {
    return p_.weights + ((b_ * p_.heads + h_) * p_.queries + first_ + i) * p_.keys;
  }

  /// Scores go where the weights will be: the maximum and the total are known only after the last key.
  void keep_scores(std::int64_t j, std::int64_t n) {
    for (int g = 0; g < QV; ++g) {
      const std::int64_t rows = std::clamp<std::int64_t>(count_ - g * kLanes<T>, 0, kLanes<T>);
      if (rows > 0)
        transpose_out(s_ + g * kLanes<T>, kQueries, rows, n, hn::Set(d_, 1),
                      weights_of(g * kLanes<T>) + j, p_.keys);
    }
  }

  /// weights[i][j] = exp(s − largest) inverse, 0 where no query of the block sees the key
  void finish_weights() {
    HWY_ALIGN T reference[kQueries], inverse[kQueries];
    for (int g = 0; g < QV; ++g)
      hn::Store(reference_[g], d_, reference + g * kLanes<T>),
          hn::Store(inverse_[g], d_, inverse + g * kLanes<T>);
    const V factor = hn::Set(d_, scaling_.factor);
    for (std::int64_t i = 0; i < count_; ++i) {
      T* row = weights_of(i);
      std::fill(row, row + range_.begin, T{0});
      std::fill(row + range_.end, row + p_.keys, T{0});
      const V c = hn::Set(d_, reference[i]), r = hn::Set(d_, inverse[i]);
      const auto weight = [&](V s) HWY_ATTR {
        return hn::Mul(exp2_nonpositive(d_, hn::MulSub(factor, s, c)), r);
      };
      std::int64_t j = range_.begin;
      for (; j + kLanes<T> <= range_.end; j += kLanes<T>)
        hn::StoreU(weight(hn::LoadU(d_, row + j)), d_, row + j);
      const auto rest = static_cast<std::size_t>(range_.end - j);
      if (rest > 0) store_n(weight(load_n(d_, row + j, rest)), d_, row + j, rest);
    }
  }

  const Tag<T> d_;
  const SdpaForward<I>& p_;
  const std::int64_t b_, h_, first_, count_;
  T *qt_, *out_, *s_, *key_rows_, *value_rows_;
  I* values_;
  const HeadRows<I> rows_;
  const Scaling<T> scaling_;
  const bool pairs_;
  const BlockRange<T, QV> range_;
  const AttentionDropout dropout_;
  Ahead& ahead_;
  MaskTile<T, QV> mask_;
  V largest_[QV], reference_[QV], total_[QV], inverse_[QV];
};

/// What block i + 1 needs, and a share of the next head's keys and values.
template <int QV, class I>
Ahead next_block(const SdpaForward<I>& p, std::int64_t i, std::int64_t blocks) {
  constexpr std::int64_t kQueries = QV * kLanes<Accumulator<I>>;
  Ahead ahead;
  const HeadRows<I> next(p, (i + 1) / blocks);
  const std::int64_t first = (blocks - 1 - (i + 1) % blocks) * kQueries,
                     last = std::min(first + kQueries, p.queries);
  ahead.add(next.query, first, last, p.width);
  ahead.add(next.output, first, last, p.value_width);
  if (head_bytes(p) <= kMostAhead) {
    const HeadRows<I> then(p, std::min(i / blocks + 1, p.batch * p.heads - 1));
    const std::int64_t from = p.keys * (i % blocks) / blocks,
                       to = p.keys * (i % blocks + 1) / blocks;
    ahead.add(then.key, from, to, p.width);
    ahead.add(then.value, from, to, p.value_width);
  }
  const std::int64_t key_blocks = (p.keys + kKeyBlock - 1) / kKeyBlock;
  ahead.spread(p.keys / kTile<QV> + key_blocks * (p.value_width / kTile<QV>));
  return ahead;
}

template <int QV, class I>
void run_all(const SdpaForward<I>& p) {
  using T = Accumulator<I>;
  constexpr std::int64_t kQueries = QV * kLanes<T>;
  const std::int64_t blocks = (p.queries + kQueries - 1) / kQueries,
                     tasks = p.batch * p.heads * blocks;
  const std::int64_t scratch = scratch_of(p, kQueries);
  const bool large = head_bytes(p) * p.batch * p.heads >= kLeastAhead;
  const std::int64_t chunk = std::max<std::int64_t>(1, tasks / 64);
  share_out(tasks, chunk, [&](std::int64_t i, int worker) {
    // Blocks of one head follow each other (its K and V stay in L2), the longest of a causal head first.
    const std::int64_t head = i / blocks, block = blocks - 1 - i % blocks;
    Ahead ahead;
    if (large && i + 1 < tasks) ahead = next_block<QV>(p, i, blocks);
    with_tile<QV, T>(p.queries - block * kQueries, [&](auto vectors) {
      ForwardBlock<vectors, I>(p, head / p.heads, head % p.heads, block * kQueries,
                               p.workspace + worker * scratch, ahead)
          .run();
    });
  });
}

template <class I>
void forward(const SdpaForward<I>& p) {
  note_simd_target(HWY_TARGET);
  note_bfloat16_dot(uses_pairs(p, /*backward=*/false));
  if (p.batch == 0 || p.heads == 0 || p.queries == 0) return;
  if constexpr (kRegisters == 32)
    if (!p.visible.causal && p.queries >= kLongSequence && p.keys >= kLongSequence)
      return run_all<4, I>(p);
  run_all<2, I>(p);
}

void forward_float(const SdpaForward<float>& p) { forward(p); }
void forward_double(const SdpaForward<double>& p) { forward(p); }
void forward_bfloat16(const SdpaForward<BFloat16>& p) { forward(p); }
std::int64_t scratch_float(const SdpaForward<float>& p) { return scratch_of(p, 4 * kLanes<float>); }
std::int64_t scratch_double(const SdpaForward<double>& p) {
  return scratch_of(p, 4 * kLanes<double>);
}
std::int64_t scratch_bfloat16(const SdpaForward<BFloat16>& p) {
  return scratch_of(p, 4 * kLanes<float>);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(forward_float);
HWY_EXPORT(forward_double);
HWY_EXPORT(forward_bfloat16);
HWY_EXPORT(scratch_float);
HWY_EXPORT(scratch_double);
HWY_EXPORT(scratch_bfloat16);

void sdpa_forward(const SdpaForward<float>& p) { HWY_DYNAMIC_DISPATCH(forward_float)(p); }
void sdpa_forward(const SdpaForward<double>& p) { HWY_DYNAMIC_DISPATCH(forward_double)(p); }
void sdpa_forward(const SdpaForward<BFloat16>& p) { HWY_DYNAMIC_DISPATCH(forward_bfloat16)(p); }

template <>
std::int64_t sdpa_forward_workspace(const SdpaForward<float>& p) {
  return HWY_DYNAMIC_DISPATCH(scratch_float)(p) * threads();
}
template <>
std::int64_t sdpa_forward_workspace(const SdpaForward<double>& p) {
  return HWY_DYNAMIC_DISPATCH(scratch_double)(p) * threads();
}
template <>
std::int64_t sdpa_forward_workspace(const SdpaForward<BFloat16>& p) {
  return HWY_DYNAMIC_DISPATCH(scratch_bfloat16)(p) * threads();
}
}  // namespace attend::kernels
#endif
