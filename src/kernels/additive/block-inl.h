// A few queries of one row of the batch and the keys that they see: what forward and backward share. Once per Highway target.
#if defined(ATTEND_KERNELS_ADDITIVE_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_ADDITIVE_BLOCK_INL_H_
#undef ATTEND_KERNELS_ADDITIVE_BLOCK_INL_H_
#else
#define ATTEND_KERNELS_ADDITIVE_BLOCK_INL_H_
#endif

#include <atomic>
#include <type_traits>

#include "attend/base/threads.h"
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

/// With fewer queries a row of the batch passes too quickly for reading ahead.
constexpr std::int64_t kAdditiveAheadQueries = 8;

/// e^{2k} for one row of the batch: as prepared, or made here for the keys that its queries [first, last) see.
template <class T>
class AdditiveKeyRows {
 public:
  static std::int64_t size(const AdditiveForward<T>& p) {
    return p.prepared || p.kept ? 0 : p.keys * additive_padded<T>(p.width);
  }

  AdditiveKeyRows(const AdditiveForward<T>& p, std::int64_t b, std::int64_t first,
                  std::int64_t last, T* scratch)
      : padded_(additive_padded<T>(p.width)) {
    const std::int64_t row = b * p.keys * padded_;
    T* const own = p.kept ? p.kept + row : scratch;
    rows_ = p.prepared ? p.prepared + row : own;
    if (p.prepared) return;
    std::int64_t begin = p.keys, end = 0;
    for (std::int64_t i = first; i < last; ++i) {
      const KeyRange range = visible_keys(p.visible, b, i, p.queries, p.keys);
      if (range.begin == range.end) continue;
      begin = std::min(begin, range.begin), end = std::max(end, range.end);
    }
    const T* key = p.key + b * p.key_strides.batch;
    for (std::int64_t j = begin; j < end; ++j)
      exponentials(key + j * p.key_strides.row, p.width, own + j * padded_);
  }

  const T* operator[](std::int64_t j) const { return rows_ + j * padded_; }

 private:
  const std::int64_t padded_;
  const T* rows_;
};

/// R queries from `first` on.
template <int R, class T>
class AdditiveBlock {
 public:
  static std::int64_t size(const AdditiveForward<T>& p) {
    return R * additive_padded<T>(p.width) + (R + 1) * score_pitch(p.keys);
  }

  AdditiveBlock(const AdditiveForward<T>& p, const AdditiveShared<T>& shared,
                const AdditiveKeyRows<T>& keys, std::int64_t b, std::int64_t first, T* scratch)
      : p_(p),
        shared_(shared),
        keys_(keys),
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
  bool seen(std::int64_t j) const { return seen_[j] != 0; }  // by some query
  const T* exponentials_of(int r) const { return exponentials_ + r * padded_; }
  T* weights(int r) { return weights_ + r * pitch_; }
  const T* weights() const { return weights_; }
  const T* value(std::int64_t j) const {
    return seen_[j] != 0 ? p_.value + b_ * p_.value_strides.batch + j * p_.value_strides.row
                         : shared_.zeros;
  }

  /// weights(r) = p_r, the softmax over the keys that r sees; 0 at the others of [begin, end).
  void weigh(Ahead& ahead) {
    over_tiles<kAdditiveKeys>(begin_, end_, [&](std::int64_t j, auto keys) HWY_ATTR {
      score<decltype(keys)::value>(j, ahead);
    });
    for (int r = 0; r < R; ++r) softmax(r);
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
      if (!mask) std::fill(seen_ + range_[r].begin, seen_ + range_[r].end, T{1});
      for (std::int64_t j = range_[r].begin; mask && j < range_[r].end; ++j)
        if (mask[j * p_.visible.mask_strides.column]) seen_[j] = 1, sees_[r] = true;
    }
  }

  /// −½ of the scores of all R queries and K keys from j on; pairs in which a row is far one by one.
  template <int K>
  HWY_INLINE void score(std::int64_t j, Ahead& ahead) {
    FromExponentials<R, K, T> near;
    for (int r = 0; r < R; ++r) near.query[r] = exponentials_of(r);
    bool far = far_query_;
    for (int c = 0; c < K; ++c) {
      near.key[c] = seen(j + c) ? keys_[j + c] : shared_.zeros;
      far |= is_far(near.key[c]);
    }
    const auto tile = [&](auto denominator, int r, std::int64_t at) HWY_ATTR {
      constexpr int kRows = std::extent_v<decltype(denominator.query)>,
                    kKeys = std::extent_v<decltype(denominator.key)>;
      score_tile<kRows, kKeys>(denominator, shared_.weight, shared_.start, padded_, weights(r) + at,
                               pitch_, ahead);
    };
    if (!far) return tile(near, 0, j);
    for (int r = 0; r < R; ++r)
      for (int c = 0; c < K; ++c) tile(FromSums<T>{{query(r)}, {key(j + c)}, p_.width}, r, j + c);
  }

  /// weights(r) from −½ score to p_r.
  void softmax(int r) {
    using V = AdditiveVec<T>;
    const AdditiveTag<T> d;
    constexpr std::int64_t kLanes = kAdditiveLanes<T>;
    const KeyRange range = range_[r].begin < range_[r].end ? range_[r] : KeyRange{begin_, begin_};
    T* s = weights(r);
    adjust(r, s);
    const V hidden = hn::Set(d, -std::numeric_limits<T>::infinity());
    V largest = hidden, total = hn::Zero(d);
    auto hides = hn::Eq(hidden, hidden);  // not largest = −∞, from which a NaN could hide
    for (std::int64_t j = range.begin; j < range.end; j += kLanes) {
      const auto inside = hn::FirstN(d, static_cast<std::size_t>(std::min(kLanes, range.end - j)));
      const V score = hn::IfThenElse(inside, hn::Mul(hn::Set(d, -2), hn::LoadU(d, s + j)), hidden);
      largest = hn::Max(largest, score);
      hides = hn::And(hides, hn::Eq(score, hidden));
      hn::StoreU(score, d, s + j);
    }
    if (hn::AllTrue(d, hides)) return std::fill(s + begin_, s + end_, T{0});
    largest = hn::MaxOfLanes(d, largest);
    for (std::int64_t j = range.begin; j < range.end; j += kLanes) {
      const V e = exp(d, hn::Sub(hn::LoadU(d, s + j), largest));
      total = hn::Add(total, e);
      hn::StoreU(e, d, s + j);
    }
    total = hn::SumOfLanes(d, total);
    for (std::int64_t j = range.begin; j < range.end; j += kLanes)
      hn::StoreU(hn::Div(hn::LoadU(d, s + j), total), d, s + j);
    std::fill(s + begin_, s + range.begin, T{0});
    std::fill(s + range.end, s + end_, T{0});
  }

  /// −½ of the bias, and of −∞ where the mask hides.
  void adjust(int r, T* s) const {
    if (p_.bias) {
      const ScoreStrides& st = p_.bias_strides;
      const T* bias = p_.bias + b_ * st.batch + (first_ + r) * st.row;
      for (std::int64_t j = range_[r].begin; j < range_[r].end; ++j)
        s[j] -= bias[j * st.column] / 2;
    }
    const bool* mask = mask_row(r);
    for (std::int64_t j = range_[r].begin; mask && j < range_[r].end; ++j)
      if (!mask[j * p_.visible.mask_strides.column]) s[j] = std::numeric_limits<T>::infinity();
  }

  const AdditiveForward<T>& p_;
  const AdditiveShared<T>& shared_;
  const AdditiveKeyRows<T>& keys_;
  const std::int64_t b_, first_, padded_, pitch_;
  T *exponentials_, *weights_,
      *seen_;  // [R][padded], [R][pitch], [pitch] (1: some query sees the key)
  std::int64_t begin_ = 0, end_ = 0;
  KeyRange range_[R];
  bool sees_[R] = {};
  bool far_query_ = false;
};

/// What row b of the batch will read.
template <class T>
void read_ahead(const AdditiveForward<T>& p, std::int64_t b, Ahead& ahead) {
  const std::int64_t padded = additive_padded<T>(p.width);
  if (p.prepared)
    ahead.add(Rows<const T>{p.prepared, padded}, b * p.keys, (b + 1) * p.keys, padded);
  else
    ahead.add(Rows<const T>{p.key + b * p.key_strides.batch, p.key_strides.row}, 0, p.keys,
              p.width);
  ahead.add(Rows<const T>{p.value + b * p.value_strides.batch, p.value_strides.row}, 0, p.keys,
            p.value_width);
  ahead.add(Rows<const T>{p.query + b * p.query_strides.batch, p.query_strides.row}, 0, p.queries,
            p.width);
}

/// Below this many pairs × width a parallel region costs more than it saves: about 1 µs against 0.07 ns each.
constexpr std::int64_t kAdditiveParallel = 32768;

/// task(worker, i, next) for i < tasks of about `work` pairs × width each; the worker goes on with `next`, −1: with none. A
/// worker takes a few neighbours at a time, so many that taking costs nothing and so few that none waits long for another.
template <class F>
void over_additive_tasks(std::int64_t tasks, std::int64_t work, F task) {
  work = std::max<std::int64_t>(work, 1);
  const std::int64_t workers =
      tasks * work < kAdditiveParallel ? 1 : std::min<std::int64_t>(threads(), tasks);
  const std::int64_t chunk = std::clamp<std::int64_t>(
      2 * kAdditiveParallel / work, 1, std::max<std::int64_t>(1, tasks / (4 * workers)));
  std::atomic<std::int64_t> taken{0};
  parallel_run(static_cast<int>(workers), [&](int worker) {
    std::int64_t now = taken.fetch_add(chunk);
    while (now < tasks) {
      const std::int64_t then = taken.fetch_add(chunk), end = std::min(tasks, now + chunk);
      for (std::int64_t i = now; i < end; ++i)
        task(worker, i, i + 1 < end ? i + 1 : then < tasks ? then : -1);
      now = then;
    }
  });
}

template <class T>
std::int64_t additive_row_work(const AdditiveForward<T>& p) {
  return p.queries * p.keys * std::max<std::int64_t>(1, p.width + p.value_width);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
