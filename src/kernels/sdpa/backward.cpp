// Scaled dot-product attention, backward: include/attend/kernels/sdpa.h has the equations.
//
// One task is a key head of a row of the batch, or a part of its keys where there are fewer heads than threads: it alone writes
// the dK and dV of those keys. dQ is summed over chunks of keys that depend on the shape only, in their order, so that the bits
// do not depend on the number of threads; parts leave a dQ for each chunk in the workspace.
// For each block of queries the scores are made again (transposed, as in forward.cpp), and three products share them:
// dV += Pᵀ dO and dK += dSᵀ Q by outer_tile, dQᵀ += K dS by value_tile. scale is folded into dOᵀ, so dS comes out scaled; where
// the bias has a gradient, which is dS as it is, scale follows after that.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sdpa/backward.cpp"
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

template <class T>
std::int64_t scratch_of(const SdpaBackward<T>& p, std::int64_t block_queries) {
  const SdpaForward<T>& f = p.forward;
  const std::int64_t widest = std::max(f.width, f.value_width);
  std::int64_t rows = 2 * f.width + f.value_width + widest +
                      3 * kKeyBlock;  // Qᵀ, dOᵀ, dQᵀ of a chunk (first Oᵀ) and all, P, dS, Z
  rows += f.width + f.value_width;    // Q and dO without the queries that see nothing
  if (p.grad_bias) rows += kKeyBlock;
  return rows * block_queries + (f.visible.mask ? kKeyBlock * (f.width + f.value_width) : 0);
}

/// How the work is shared out: tasks are (team of key heads) × (part of the keys).
///
/// A part is some chunks of the keys. A team is one key head of one row of the batch; but those that share their places of the
/// bias' gradient form a group, whose teams take several each, one after the other, and add to a sum of their own.
struct Shares {
  std::int64_t chunk, chunks, parts;    // keys a chunk, chunks of a head, parts of the keys
  std::int64_t batches = 1, heads = 1;  // rows of the batch and key heads of a group
  std::int64_t batch_groups, head_groups, teams;  // groups, and teams of each
  std::int64_t bias_size = 0;                     // elements of one sum

  template <class T>
  explicit Shares(const SdpaBackward<T>& p) {
    constexpr std::int64_t kLeast = 128, kMost = 8;
    const SdpaForward<T>& f = p.forward;
    const ScoreStrides& bias = p.grad_bias_strides;
    if (p.grad_bias) {
      if (bias.batch == 0) batches = std::max<std::int64_t>(1, f.batch);
      if (bias.head == 0) heads = std::max<std::int64_t>(1, f.key_heads);
      bias_size = 1 + (f.batch - 1) * bias.batch + (f.heads - 1) * bias.head +
                  (f.queries - 1) * bias.row + (f.keys - 1) * bias.column;
    }
    batch_groups = f.batch / batches, head_groups = f.key_heads / heads;
    const std::int64_t groups = std::max<std::int64_t>(1, batch_groups * head_groups);
    teams = std::min(batches * heads, std::max<std::int64_t>(1, kMost / groups));
    chunk = std::max(kLeast, (f.keys + kMost * kKeyBlock - 1) / (kMost * kKeyBlock) * kKeyBlock);
    chunks = std::max<std::int64_t>(1, (f.keys + chunk - 1) / chunk);
    const std::int64_t tasks = groups * teams;
    parts = tasks >= threads() ? 1 : std::min(chunks, (2 * threads() + tasks - 1) / tasks);
    if (p.grad_bias && bias.column == 0) parts = 1;  // all keys share a place
  }
  std::int64_t tasks() const { return batch_groups * head_groups * teams * parts; }
  std::int64_t first_chunk(std::int64_t part) const { return chunks * part / parts; }
  /// Elements of the workspace for a dQ of each chunk, and for the sums of teams.
  template <class T>
  std::int64_t chunk_gradients(const SdpaForward<T>& f) const {
    return parts == 1 ? 0 : f.batch * f.heads * chunks * f.queries * f.width;
  }
  std::int64_t team_sums() const { return teams == 1 ? 0 : teams * bias_size; }
};

template <class T>
struct BackwardRows : HeadRows<T> {
  Rows<T> grad_output, grad_query;
  BackwardRows(const SdpaBackward<T>& p, std::int64_t batch_head)
      : HeadRows<T>(p.forward, batch_head) {
    const SdpaForward<T>& f = p.forward;
    const RowStrides& s = p.grad_output_strides;
    grad_output = {p.grad_output + batch_head / f.heads * s.batch + batch_head % f.heads * s.head,
                   s.row};
    grad_query = {p.grad_query + batch_head * f.queries * f.width, f.width};
  }
};

/// What the next block of queries needs, and a share of the next key head's rows.
template <int QV, class T>
Ahead next_block(const SdpaBackward<T>& p, std::int64_t batch_head, std::int64_t q) {
  constexpr std::int64_t kQueries = QV * kLanes<T>;
  const SdpaForward<T>& f = p.forward;
  Ahead ahead;
  const std::int64_t after = std::min(batch_head + 1, f.batch * f.heads - 1);
  const bool same = q + kQueries < f.queries;
  const std::int64_t first = same ? q + kQueries : 0, last = std::min(first + kQueries, f.queries);
  const BackwardRows<T> next(p, same ? batch_head : after);
  ahead.add(next.query, first, last, f.width);
  ahead.add(next.grad_output, first, last, f.value_width);
  ahead.add(next.output, first, last, f.value_width);
  ahead.add(next.grad_query, first, last, f.width);
  if (head_bytes(f) <= kMostAhead) {
    const std::int64_t group = f.heads / f.key_heads, kv = after / group;
    const HeadRows<T> then(f, after);
    const std::int64_t from = f.keys * q / f.queries,
                       to = f.keys * std::min(q + kQueries, f.queries) / f.queries;
    ahead.add(then.key, from, to, f.width);
    ahead.add(then.value, from, to, f.value_width);
    ahead.add(Rows<T>{p.grad_key + kv * f.keys * f.width, f.width}, from, to, f.width);
    ahead.add(Rows<T>{p.grad_value + kv * f.keys * f.value_width, f.value_width}, from, to,
              f.value_width);
  }
  const std::int64_t key_blocks = (f.keys + kKeyBlock - 1) / kKeyBlock;
  ahead.spread(2 * (f.keys / kTile<QV>)+key_blocks * (f.width / kTile<QV>));
  return ahead;
}

template <int QV, class T>
class BackwardBlock {
 public:
  using V = hn::Vec<Tag<T>>;
  static constexpr std::int64_t kQueries = QV * kLanes<T>;

  BackwardBlock(const SdpaBackward<T>& p, std::int64_t b, std::int64_t h, std::int64_t first,
                T* scratch, Ahead& ahead)
      : p_(p),
        f_(p.forward),
        b_(b),
        h_(h),
        first_(first),
        count_(std::min(kQueries, f_.queries - first)),
        rows_(p, b * f_.heads + h),
        scaling_(f_),
        range_(f_, b, first, count_),
        ahead_(ahead) {
    const auto take = [&](std::int64_t rows) {
      T* at = scratch;
      scratch += rows * kQueries;
      return at;
    };
    qt_ = take(f_.width), gt_ = take(f_.value_width),
    at_ = take(std::max(f_.width, f_.value_width)), all_ = take(f_.width);
    weights_ = take(kKeyBlock), grads_ = take(kKeyBlock), drops_ = take(kKeyBlock);
    query_copy_ = take(f_.width), grad_copy_ = take(f_.value_width);
    if (p.grad_bias) bias_rows_ = take(kKeyBlock);
    key_copy_ = scratch, value_copy_ = key_copy_ + kKeyBlock * f_.width;
  }

  /// The keys of one part. `chunk_gradients`, [chunks][queries][width], takes dQ of each chunk where there are several parts.
  void run(const Shares& shares, std::int64_t part, T* chunk_gradients) {
    bool any = false;
    for (std::int64_t c = shares.first_chunk(part); c < shares.first_chunk(part + 1); ++c) {
      const std::int64_t from = std::max(c * shares.chunk, range_.begin),
                         to = std::min((c + 1) * shares.chunk, range_.end);
      if (from >= to) continue;
      if (!any) load();
      for (std::int64_t j = from; j < to; j += kKeyBlock)
        block(j, std::min<std::int64_t>(kKeyBlock, to - j), j == from);
      if (chunk_gradients)
        store_gradient(at_, chunk_gradients + (c * f_.queries + first_) * f_.width);
      else if (any)
        each(f_.width, [&](std::int64_t at, int) HWY_ATTR {
          hn::Store(hn::Add(hn::Load(d_, all_ + at), hn::Load(d_, at_ + at)), d_, all_ + at);
        });
      else
        std::swap(at_, all_);
      any = true;
    }
    if (chunk_gradients) return;
    T* grad_query = const_cast<T*>(rows_.grad_query.row(first_));
    if (any)
      store_gradient(all_, grad_query);
    else
      std::fill(grad_query, grad_query + count_ * f_.width, T{0});
  }

  /// dQ from the chunks that several parts left.
  void add_chunks(const Shares& shares, const T* chunk_gradients) {
    T* to = const_cast<T*>(rows_.grad_query.row(first_));
    const std::int64_t n = count_ * f_.width;
    bool any = false;
    for (std::int64_t c = 0; c < shares.chunks; ++c) {
      if (std::max(c * shares.chunk, range_.begin) >= std::min((c + 1) * shares.chunk, range_.end))
        continue;
      const T* from = chunk_gradients + (c * f_.queries + first_) * f_.width;
      for (std::int64_t i = 0; i < n; ++i) to[i] = any ? to[i] + from[i] : from[i];
      any = true;
    }
    if (!any) std::fill(to, to + n, T{0});
  }

 private:
  std::int64_t rows_of(int g) const {
    return std::clamp<std::int64_t>(count_ - g * kLanes<T>, 0, kLanes<T>);
  }

  void store_gradient(const T* transposed, T* to) {
    for (int g = 0; g < QV; ++g)
      transpose_out(transposed + g * kLanes<T>, kQueries, rows_of(g), f_.width, hn::Set(d_, 1),
                    to + g * kLanes<T> * f_.width, f_.width);
  }

  /// Qᵀ and dOᵀ, and per query largest, inverse and <dO, O>, the last scaled like dOᵀ.
  void load() {
    query_ = {rows_.query.row(first_), rows_.query.stride};
    grad_ = {rows_.grad_output.row(first_), rows_.grad_output.stride};
    const Rows<T> output{rows_.output.row(first_), rows_.output.stride};
    const std::int64_t row = (b_ * f_.heads + h_) * f_.queries + first_;
    const T scale = p_.grad_bias ? T{1} : f_.scale;
    leave_out_blind_queries(f_.inverse + row);
    for (int g = 0; g < QV; ++g) {
      const std::int64_t at = g * kLanes<T>, n = rows_of(g);
      transpose_in(query_.row(at), query_.stride, n, f_.width, scaling_.query, qt_ + at, kQueries);
      transpose_in(grad_.row(at), grad_.stride, n, f_.value_width, scale, gt_ + at, kQueries);
      transpose_in(output.row(at), output.stride, n, f_.value_width, T{1}, at_ + at, kQueries);
      V delta = hn::Zero(d_);
      for (std::int64_t c = 0; c < f_.value_width; ++c)
        delta = hn::MulAdd(hn::Load(d_, gt_ + c * kQueries + at),
                           hn::Load(d_, at_ + c * kQueries + at), delta);
      // Queries without keys have inverse 0, lanes without a query get it: their weights are 0.
      largest_[g] = load_n(d_, f_.largest + row + (n > 0 ? at : 0), static_cast<std::size_t>(n));
      inverse_[g] = load_n(d_, f_.inverse + row + (n > 0 ? at : 0), static_cast<std::size_t>(n));
      delta_[g] = delta;
    }
  }

  /// Zeros for the rows of queries that see nothing, whose inverse is 0: 0 · NaN is NaN.
  void leave_out_blind_queries(const T* inverse) {
    if (std::find(inverse, inverse + count_, T{0}) == inverse + count_) return;
    const auto copy = [&](Rows<T>& rows, std::int64_t width, T* to) {
      for (std::int64_t i = 0; i < count_; ++i) {
        if (inverse[i] != 0)
          std::copy(rows.row(i), rows.row(i) + width, to + i * width);
        else
          std::fill(to + i * width, to + (i + 1) * width, T{0});
      }
      rows = {to, width};
    };
    copy(query_, f_.width, query_copy_);
    copy(grad_, f_.value_width, grad_copy_);
  }

  /// Keys [j, j + n); `first`: nothing is in at_ yet.
  void block(std::int64_t j, std::int64_t n, bool first) {
    Rows<T> key{rows_.key.row(j), rows_.key.stride}, value{rows_.value.row(j), rows_.value.stride};
    const std::int64_t row = (b_ * f_.key_heads + h_ / (f_.heads / f_.key_heads)) * f_.keys + j;
    T *grad_key = p_.grad_key + row * f_.width, *grad_value = p_.grad_value + row * f_.value_width;
    if (f_.visible.mask) {
      mask_.load(f_, range_, b_ * f_.heads + h_, first_, count_, j, n);
      if (mask_.empty()) {
        if (first) std::fill_n(at_, f_.width * kQueries, T{0});
        return;
      }
      key = seen_rows(mask_, key, n, f_.width, key_copy_),
      value = seen_rows(mask_, value, n, f_.value_width, value_copy_);
    }
    weigh(key, j, n);
    const T* dropped = grad_scores(value, j, n);
    if (p_.grad_bias) add_to_bias(j, n);
    add_outer(dropped, kQueries, n, grad_.data, grad_.stride, range_.used, f_.value_width,
              grad_value, f_.value_width);
    add_outer(grads_, kQueries, n, query_.data, query_.stride, range_.used, f_.width, grad_key,
              f_.width);
    V one[QV];
    for (int g = 0; g < QV; ++g) one[g] = hn::Set(d_, 1);
    add_values<QV>(key, f_.width, grads_, n, one, first, at_, ahead_);
  }

  /// weights_[k][i] = exp(score − largest) inverse
  void weigh(Rows<T> key, std::int64_t j, std::int64_t n) {
    const V factor = hn::Set(d_, scaling_.factor);
    const auto weight = [&](std::int64_t at, int g, V s) HWY_ATTR {
      hn::Store(hn::Mul(exp2_nonpositive(d_, hn::MulSub(factor, s, largest_[g])), inverse_[g]), d_,
                weights_ + at);
    };
    const bool partial = !range_.all_see(j, j + n);
    if (!partial && scaling_.plain && !f_.visible.mask) {
      scores<QV>(key, qt_, f_.width, n, ahead_,
                 [&](std::int64_t k, const auto& sum) HWY_ATTR { each_of<T>(sum, k, weight); });
      return;
    }
    scores<QV>(key, qt_, f_.width, n, ahead_, store_to(weights_));
    if (!scaling_.plain)
      finish_scores<QV>(scaling_.after, f_.bias, f_.bias_strides, b_, h_, first_, count_, j, n,
                        weights_);
    if (f_.visible.mask)
      mask_.hide(n, weights_);
    else if (partial)
      range_.hide(j, n, weights_);
    each(n, [&](std::int64_t at, int g) HWY_ATTR { weight(at, g, hn::Load(d_, weights_ + at)); });
  }

  /// f(offset of vector g of key k, g) for every vector of an [n][kQueries] block.
  template <class F>
  HWY_INLINE void each(std::int64_t n, F f) {
    _Pragma("GCC unroll 2") for (std::int64_t k = 0; k < n; ++k)
        ATTEND_UNROLL for (int g = 0; g < QV; ++g) f(k * kQueries + g * kLanes<T>, g);
  }

  /// grads_ = P ∘ (Z ∘ dO Vᵀ − delta); returns Z ∘ P, which is P itself without dropout.
  const T* grad_scores(Rows<T> value, std::int64_t j, std::int64_t n) {
    if (f_.dropout <= 0) {
      scores<QV>(value, gt_, f_.value_width, n, ahead_,
                 [&](std::int64_t k, const auto& sum) HWY_ATTR {
                   each_of<T>(sum, k, [&](std::int64_t at, int g, V dp) HWY_ATTR {
                     hn::Store(hn::Mul(hn::Load(d_, weights_ + at), hn::Sub(dp, delta_[g])), d_,
                               grads_ + at);
                   });
                 });
      return weights_;
    }
    const AttentionDropout dropout(f_.seed, f_.dropout);
    const V factor = hn::Set(d_, static_cast<T>(dropout.factor()));
    each_kept<QV, T>(dropout, static_cast<std::uint32_t>(b_ * f_.heads + h_), first_, j, n,
                     [&](std::int64_t at, auto kept) HWY_ATTR {
                       hn::Store(hn::IfThenElseZero(kept, factor), d_, drops_ + at);
                     });
    scores<QV>(value, gt_, f_.value_width, n, ahead_,
               [&](std::int64_t k, const auto& sum) HWY_ATTR {
                 each_of<T>(sum, k, [&](std::int64_t at, int g, V dp) HWY_ATTR {
                   const V w = hn::Load(d_, weights_ + at), z = hn::Load(d_, drops_ + at);
                   hn::Store(hn::Mul(w, hn::MulSub(z, dp, delta_[g])), d_, grads_ + at);
                   hn::Store(hn::Mul(w, z), d_, drops_ + at);
                 });
               });
    return drops_;
  }

  /// dbias += dS, which only then is scaled.
  void add_to_bias(std::int64_t j, std::int64_t n) {
    const ScoreStrides& st = p_.grad_bias_strides;
    T* const to = p_.grad_bias + b_ * st.batch + h_ * st.head + first_ * st.row + j * st.column;
    for (int g = 0; g < QV; ++g)
      transpose_out(grads_ + g * kLanes<T>, kQueries, rows_of(g), n, hn::Set(d_, 1),
                    bias_rows_ + g * kLanes<T> * kKeyBlock, kKeyBlock);
    for (std::int64_t i = 0; i < range_.used; ++i)
      add_row(bias_rows_ + i * kKeyBlock, n, to + i * st.row, st.column);
    const V scale = hn::Set(d_, f_.scale);
    each(n, [&](std::int64_t at, int) HWY_ATTR {
      hn::Store(hn::Mul(scale, hn::Load(d_, grads_ + at)), d_, grads_ + at);
    });
  }

  static void add_row(const T* HWY_RESTRICT row, std::int64_t n, T* HWY_RESTRICT to,
                      std::int64_t stride) {
    if (stride == 1)
      for (std::int64_t k = 0; k < n; ++k) to[k] += row[k];
    else
      for (std::int64_t k = 0; k < n; ++k) to[k * stride] += row[k];
  }

  const Tag<T> d_;
  const SdpaBackward<T>& p_;
  const SdpaForward<T>& f_;
  const std::int64_t b_, h_, first_, count_;
  const BackwardRows<T> rows_;
  const Scaling<T> scaling_;
  const BlockRange<T, QV> range_;
  Ahead& ahead_;
  MaskTile<T, QV> mask_;
  T *qt_, *gt_, *at_, *all_, *weights_, *grads_, *drops_;
  T *query_copy_, *grad_copy_, *key_copy_, *value_copy_;
  T* bias_rows_ = nullptr;  // dS as [queries][kKeyBlock]
  Rows<T> query_{}, grad_{};
  V largest_[QV], inverse_[QV], delta_[QV];
};

/// One part of one key head; `task` counts batch × key heads.
template <int QV, class T>
void run_part(const SdpaBackward<T>& p, const Shares& shares, std::int64_t task, std::int64_t part,
              T* scratch, T* chunk_gradients) {
  constexpr std::int64_t kQueries = QV * kLanes<T>;
  const SdpaForward<T>& f = p.forward;
  const std::int64_t group = f.heads / f.key_heads, b = task / f.key_heads;
  const std::int64_t from = task * f.keys + shares.first_chunk(part) * shares.chunk;
  const std::int64_t to =
      task * f.keys + std::min(f.keys, shares.first_chunk(part + 1) * shares.chunk);
  std::fill(p.grad_key + from * f.width, p.grad_key + to * f.width, T{0});
  std::fill(p.grad_value + from * f.value_width, p.grad_value + to * f.value_width, T{0});
  const bool large = 2 * head_bytes(f) * f.batch * f.heads >= kLeastAhead;
  for (std::int64_t h = task % f.key_heads * group; h < (task % f.key_heads + 1) * group; ++h)
    for (std::int64_t q = 0; q < f.queries; q += kQueries) {
      const std::int64_t head = b * f.heads + h;
      Ahead ahead;
      if (large) ahead = next_block<QV>(p, head, q);
      T* chunks =
          chunk_gradients ? chunk_gradients + head * shares.chunks * f.queries * f.width : nullptr;
      with_tile<QV, T>(f.queries - q, [&](auto vectors) {
        BackwardBlock<vectors, T>(p, b, h, q, scratch, ahead).run(shares, part, chunks);
      });
    }
}

/// One part of the keys of all that a team takes.
template <int QV, class T>
void run_team(const SdpaBackward<T>& p, const Shares& shares, std::int64_t task, T* scratch,
              T* chunk_gradients) {
  const std::int64_t part = task % shares.parts, team = task / shares.parts % shares.teams,
                     group = task / shares.parts / shares.teams;
  const std::int64_t b = group / shares.head_groups * shares.batches,
                     kv = group % shares.head_groups * shares.heads;
  const std::int64_t members = shares.batches * shares.heads;
  for (std::int64_t m = members * team / shares.teams; m < members * (team + 1) / shares.teams; ++m)
    run_part<QV>(p, shares, (b + m / shares.heads) * p.forward.key_heads + kv + m % shares.heads,
                 part, scratch, chunk_gradients);
}

/// The bias' gradient from the sums of several teams, each a team's whole array.
template <class T>
void add_teams(const Shares& shares, const T* sums, T* grad_bias) {
  constexpr std::int64_t kStretch = 1 << 14;
  share_out((shares.bias_size + kStretch - 1) / kStretch, 1, [&](std::int64_t i, int) {
    const std::int64_t from = i * kStretch, to = std::min(from + kStretch, shares.bias_size);
    std::copy(sums + from, sums + to, grad_bias + from);
    for (std::int64_t t = 1; t < shares.teams; ++t)
      for (std::int64_t at = from; at < to; ++at) grad_bias[at] += sums[t * shares.bias_size + at];
  });
}

template <int QV, class T>
void run_all(const SdpaBackward<T>& p) {
  constexpr std::int64_t kQueries = QV * kLanes<T>;
  const SdpaForward<T>& f = p.forward;
  const Shares shares(p);
  const std::int64_t tasks = shares.tasks(), scratch = scratch_of(p, kQueries);
  T* const after_scratch = p.workspace + threads() * scratch;
  T* const chunk_gradients = shares.parts == 1 ? nullptr : after_scratch;
  T* const sums = shares.teams == 1 ? p.grad_bias : after_scratch + shares.chunk_gradients(f);
  if (p.grad_bias)
    share_out(shares.teams, 1, [&](std::int64_t i, int) {
      std::fill_n(sums + i * shares.bias_size, shares.bias_size, T{0});
    });
  const std::int64_t chunk = std::max<std::int64_t>(1, tasks / 16);
  share_out(tasks, chunk, [&](std::int64_t i, int worker) {
    SdpaBackward<T> mine = p;
    if (p.grad_bias) mine.grad_bias = sums + i / shares.parts % shares.teams * shares.bias_size;
    run_team<QV>(mine, shares, i, p.workspace + worker * scratch, chunk_gradients);
  });
  if (shares.teams > 1) add_teams(shares, sums, p.grad_bias);
  if (!chunk_gradients) return;
  const std::int64_t blocks = (f.queries + kQueries - 1) / kQueries;
  share_out(f.batch * f.heads * blocks, 1, [&](std::int64_t i, int worker) {
    const std::int64_t head = i / blocks;
    Ahead none;
    BackwardBlock<QV, T>(p, head / f.heads, head % f.heads, i % blocks * kQueries,
                         p.workspace + worker * scratch, none)
        .add_chunks(shares, chunk_gradients + head * shares.chunks * f.queries * f.width);
  });
}

/// Four vectors of queries from here on; where the two cross was taken from a prototype.
constexpr std::int64_t kLongSequence = 128;

template <class T>
void backward(const SdpaBackward<T>& p) {
  note_simd_target(HWY_TARGET);
  const SdpaForward<T>& f = p.forward;
  if (f.batch == 0 || f.heads == 0) return;
  if (kRegisters == 32 && f.queries >= kLongSequence)
    run_all<4, T>(p);
  else
    run_all<2, T>(p);
}

void backward_float(const SdpaBackward<float>& p) { backward(p); }
void backward_double(const SdpaBackward<double>& p) { backward(p); }
template <class T>
std::int64_t workspace_of(const SdpaBackward<T>& p) {
  const Shares shares(p);
  return scratch_of(p, 4 * kLanes<T>) * threads() + shares.chunk_gradients(p.forward) +
         shares.team_sums();
}
std::int64_t backward_scratch_float(const SdpaBackward<float>& p) { return workspace_of(p); }
std::int64_t backward_scratch_double(const SdpaBackward<double>& p) { return workspace_of(p); }

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(backward_float);
HWY_EXPORT(backward_double);
HWY_EXPORT(backward_scratch_float);
HWY_EXPORT(backward_scratch_double);

void sdpa_backward(const SdpaBackward<float>& p) { HWY_DYNAMIC_DISPATCH(backward_float)(p); }
void sdpa_backward(const SdpaBackward<double>& p) { HWY_DYNAMIC_DISPATCH(backward_double)(p); }

template <>
std::int64_t sdpa_backward_workspace(const SdpaBackward<float>& p) {
  return HWY_DYNAMIC_DISPATCH(backward_scratch_float)(p);
}
template <>
std::int64_t sdpa_backward_workspace(const SdpaBackward<double>& p) {
  return HWY_DYNAMIC_DISPATCH(backward_scratch_double)(p);
}
}  // namespace attend::kernels
#endif
