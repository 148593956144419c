// A few queries of one row of the batch and the keys that they see: what forward and backward share. Once per Highway target.
#if defined(ATTEND_KERNELS_ADDITIVE_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_ADDITIVE_BLOCK_INL_H_
#undef ATTEND_KERNELS_ADDITIVE_BLOCK_INL_H_
#else
#define ATTEND_KERNELS_ADDITIVE_BLOCK_INL_H_
#endif

#include <type_traits>

#include "kernels/additive/tile-inl.h"
#include "kernels/attention/dropout.h"
#include "kernels/attention/visible.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kAdditiveAlign = 32;  // elements; at least a cache line

inline std::int64_t aligned_size(std::int64_t n) {
  return (n + kAdditiveAlign - 1) / kAdditiveAlign * kAdditiveAlign;
}

/// Elements of one row of scores: a vector may be read or written beyond the last.
inline std::int64_t score_pitch(std::int64_t keys) { return aligned_size(keys + kAdditiveAlign); }

/// What all blocks read: scale · w padded, −½ of its sum for each lane, and a row of zeros in place of rows that
/// nobody sees.
template <class T>
struct AdditiveShared {
  T *weight, *start, *zeros;

  static std::int64_t size(const AdditiveForward<T>& p) {
    return additive_padded<T>(p.width) + kAdditiveAlign +
           aligned_size(std::max(additive_padded<T>(p.width), p.value_width));
  }
  AdditiveShared(const AdditiveForward<T>& p, T* at)
      : weight(at), start(weight + additive_padded<T>(p.width)), zeros(start + kAdditiveAlign) {
    std::fill_n(at, size(p), T{0});
    for (std::int64_t a = 0; a < p.width; ++a) {
      weight[a] = p.scale * p.score_weight[a];
      start[a % kAdditiveLanes<T>] -= weight[a] / 2;
    }
  }
};

/// R queries from `first` on.
template <int R, class T>
class AdditiveBlock {
 public:
  static std::int64_t size(const AdditiveForward<T>& p) {
    return R * additive_padded<T>(p.width) + (R + 1) * score_pitch(p.keys);
  }

  AdditiveBlock(const AdditiveForward<T>& p, const AdditiveShared<T>& shared, std::int64_t b,
                std::int64_t first, T* scratch)
      : p_(p),
        shared_(shared),
        b_(b),
        first_(first),
        padded_(additive_padded<T>(p.width)),
        pitch_(score_pitch(p.keys)),
        exponentials_(scratch),
        weights_(exponentials_ + R * padded_),
        seen_(weights_ + R * pitch_) {
    look();
    for (int r = 0; r < R; ++r) {
      exponentials(query(r), p.width, exponentials_ + r * padded_);
      far_query_ |= is_far(exponentials_ + r * padded_);
    }
  }

  std::int64_t begin() const { return begin_; }  // keys that some query sees are in [begin, end)
  std::int64_t end() const { return end_; }
  std::int64_t pitch() const { return pitch_; }
  bool sees(int r) const { return sees_[r]; }
  T* weights(int r) { return weights_ + r * pitch_; }
  const T* weights() const { return weights_; }
  const T* value(std::int64_t j) const {
    return seen_[j] != 0 ? p_.value + b_ * p_.value_strides.batch + j * p_.value_strides.row
                         : shared_.zeros;
  }

  /// weights(r) = p_r, the softmax over the keys that r sees; 0 at the others of [begin, end).
  void weigh() {
    over_tiles([&](auto denominator, int r, std::int64_t j) HWY_ATTR {
      constexpr int kRows = std::extent_v<decltype(denominator.query)>,
                    kKeys = std::extent_v<decltype(denominator.key)>;
      score_tile<kRows, kKeys>(denominator, shared_.weight, shared_.start, padded_, weights(r) + j,
                               pitch_);
    });
    for (int r = 0; r < R; ++r) {
      finish_scores(r);
      softmax(weights(r));
    }
  }

  /// f(denominator, r, j) for tiles that together are the queries × the keys [begin, end): FromExponentials of all R
  /// queries (r = 0) and four, two or one keys from j on; FromSums of one pair (r, j) where a row is far.
  template <class F>
  HWY_INLINE void over_tiles(F f) const {
    std::int64_t j = begin_;
    for (; j + 4 <= end_; j += 4) over_tile<4>(f, j);
    if (j + 2 <= end_) over_tile<2>(f, j), j += 2;
    if (j < end_) over_tile<1>(f, j);
  }

  /// row[j] *= the dropout factor of (r, j)
  void drop(int r, T* row) const {
    const AttentionDropout dropout(p_.seed, p_.dropout);
    const T factor = static_cast<T>(dropout.factor());
    for (std::int64_t j = begin_; j < end_; ++j) {
      const bool keep =
          dropout.keeps(static_cast<std::uint32_t>(b_), static_cast<std::uint32_t>(first_ + r),
                        static_cast<std::uint32_t>(j));
      row[j] = keep ? row[j] * factor : T{0};
    }
  }

 private:
  const T* query(int r) const {
    return sees_[r] ? p_.query + b_ * p_.query_strides.batch + (first_ + r) * p_.query_strides.row
                    : shared_.zeros;
  }
  const T* key(std::int64_t j) const {
    return seen_[j] != 0 ? p_.key + b_ * p_.key_strides.batch + j * p_.key_strides.row
                         : shared_.zeros;
  }
  const T* prepared(std::int64_t j) const {
    return seen_[j] != 0 ? p_.prepared + (b_ * p_.keys + j) * padded_ : shared_.zeros;
  }
  const bool* mask_row(int r) const {
    const ScoreStrides& st = p_.visible.mask_strides;
    return p_.visible.mask ? p_.visible.mask + b_ * st.batch + (first_ + r) * st.row : nullptr;
  }

  /// Who sees what: range_, sees_, seen_, [begin_, end_).
  void look() {
    begin_ = p_.keys, end_ = 0;
    for (int r = 0; r < R; ++r) {
      range_[r] = visible_keys(p_.visible, b_, first_ + r, p_.queries, p_.keys);
      if (range_[r].begin == range_[r].end) continue;
      begin_ = std::min(begin_, range_[r].begin), end_ = std::max(end_, range_[r].end);
    }
    begin_ = std::min(begin_, end_);
    std::fill(seen_ + begin_, seen_ + end_, T{0});
    for (int r = 0; r < R; ++r) {
      const bool* mask = mask_row(r);
      sees_[r] = !mask && range_[r].begin < range_[r].end;
      for (std::int64_t j = range_[r].begin; j < range_[r].end; ++j)
        if (!mask || mask[j * p_.visible.mask_strides.column]) seen_[j] = 1, sees_[r] = true;
    }
  }

  template <int K, class F>
  HWY_INLINE void over_tile(F& f, std::int64_t j) const {
    FromExponentials<R, K, T> near;
    for (int r = 0; r < R; ++r) near.query[r] = exponentials_ + r * padded_;
    bool far = far_query_;
    for (int c = 0; c < K; ++c) {
      near.key[c] = prepared(j + c);
      far |= is_far(near.key[c]);
    }
    if (!far) return f(near, 0, j);
    for (int r = 0; r < R; ++r)
      for (int c = 0; c < K; ++c) f(FromSums<T>{{query(r)}, {key(j + c)}, p_.width}, r, j + c);
  }

  /// From −½ score to score + bias, −∞ where r does not see; a vector beyond the end too.
  void finish_scores(int r) {
    T* s = weights(r);
    for (std::int64_t j = begin_; j < end_; ++j) s[j] *= T{-2};
    if (p_.bias) {
      const ScoreStrides& st = p_.bias_strides;
      const T* bias = p_.bias + b_ * st.batch + (first_ + r) * st.row;
      for (std::int64_t j = range_[r].begin; j < range_[r].end; ++j) s[j] += bias[j * st.column];
    }
    constexpr T kHidden = -std::numeric_limits<T>::infinity();
    const bool* mask = mask_row(r);
    for (std::int64_t j = range_[r].begin; mask && j < range_[r].end; ++j)
      if (!mask[j * p_.visible.mask_strides.column]) s[j] = kHidden;
    const bool empty = range_[r].begin == range_[r].end;
    std::fill(s + begin_, s + (empty ? end_ : range_[r].begin), kHidden);
    std::fill(s + (empty ? end_ : range_[r].end), s + end_ + kAdditiveLanes<T>, kHidden);
  }

  void softmax(T* s) const {
    using V = AdditiveVec<T>;
    const AdditiveTag<T> d;
    constexpr std::int64_t kLanes = kAdditiveLanes<T>;
    const V hidden = hn::Set(d, -std::numeric_limits<T>::infinity());
    V largest = hidden;
    auto seen = hn::Ne(hidden, hidden);  // not largest > −∞, which a NaN could hide from
    for (std::int64_t j = begin_; j < end_; j += kLanes) {
      const V score = hn::LoadU(d, s + j);
      largest = hn::Max(largest, score);
      seen = hn::Or(seen, hn::Ne(score, hidden));
    }
    if (hn::AllFalse(d, seen)) return std::fill(s + begin_, s + end_, T{0});
    largest = hn::MaxOfLanes(d, largest);
    V total = hn::Zero(d);
    for (std::int64_t j = begin_; j < end_; j += kLanes) {
      const V e = exp(d, hn::Sub(hn::LoadU(d, s + j), largest));
      total = hn::Add(total, e);
      hn::StoreU(e, d, s + j);
    }
    total = hn::SumOfLanes(d, total);
    for (std::int64_t j = begin_; j < end_; j += kLanes)
      hn::StoreU(hn::Div(hn::LoadU(d, s + j), total), d, s + j);
  }

  const AdditiveForward<T>& p_;
  const AdditiveShared<T>& shared_;
  const std::int64_t b_, first_, padded_, pitch_;
  T *exponentials_, *weights_,
      *seen_;  // [R][padded], [R][pitch], [pitch] (1: some query sees the key)
  std::int64_t begin_ = 0, end_ = 0;
  KeyRange range_[R];
  bool sees_[R] = {};
  bool far_query_ = false;
};

/// Blocks of one row of the batch: as many of kAdditiveRows as fit, then one of half of it, then one of 1.
inline std::int64_t additive_blocks(std::int64_t queries) {
  const std::int64_t rest = queries % kAdditiveRows;
  return queries / kAdditiveRows + (rest >> 1) + (rest & 1);
}
/// f(first, std::integral_constant of the block's queries) for block i.
template <class F>
HWY_INLINE void with_additive_block(std::int64_t queries, std::int64_t i, F f) {
  const std::int64_t whole = queries / kAdditiveRows, first = whole * kAdditiveRows;
  if (i < whole) return f(i * kAdditiveRows, std::integral_constant<int, kAdditiveRows>());
  if (queries - first >= 2 && i == whole) return f(first, std::integral_constant<int, 2>());
  f(queries - 1, std::integral_constant<int, 1>());
}

/// Below this many pairs × width a parallel region costs more than it saves: about 1 µs against 0.07 ns each.
constexpr std::int64_t kAdditiveParallel = 32768;

template <class T>
int additive_workers(const AdditiveForward<T>& p, std::int64_t tasks, int most) {
  const std::int64_t work =
      p.batch * p.queries * p.keys * std::max<std::int64_t>(1, p.width + p.value_width);
  return work < kAdditiveParallel ? 1 : static_cast<int>(std::min<std::int64_t>(most, tasks));
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
