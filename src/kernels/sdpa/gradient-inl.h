// A block of queries in the backward pass of scaled dot-product attention (kernels/sdpa/backward.cpp). Once per Highway target.
#if defined(ATTEND_KERNELS_SDPA_GRADIENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_SDPA_GRADIENT_INL_H_
#undef ATTEND_KERNELS_SDPA_GRADIENT_INL_H_
#else
#define ATTEND_KERNELS_SDPA_GRADIENT_INL_H_
#endif

#include "attend/kernels/sdpa.h"
#include "kernels/sdpa/block-inl.h"
#include "kernels/sdpa/shares.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

/// Columns of rows that are widened, or made pairs of: those of Q and dO, and those of K and V.
template <class I>
std::int64_t narrow_columns(const SdpaForward<I>& f) {
  return pair_pitch(f.width + 8) + pair_pitch(f.value_width + 8);
}

template <class I>
std::int64_t scratch_of(const SdpaBackward<I>& p, std::int64_t block_queries) {
  const SdpaForward<I>& f = p.forward;
  const std::int64_t widest = std::max(f.width, f.value_width);
  std::int64_t rows = 2 * f.width + f.value_width + widest +
                      3 * kKeyBlock;  // Qᵀ, dOᵀ, dQᵀ of a chunk (first Oᵀ) and all, P, dS, Z
  rows += f.width + f.value_width;    // Q and dO without the queries that see nothing
  if (p.grad_bias) rows += kKeyBlock;
  const std::int64_t narrow = std::is_same_v<I, BFloat16> ? narrow_columns(f) : 0;
  return (rows + narrow) * block_queries + kKeyBlock * narrow +
         (f.visible.mask ? kKeyBlock * (f.width + f.value_width) : 0);
}

template <class I>
struct BackwardRows : HeadRows<I> {
  Rows<I> grad_output;
  Rows<Accumulator<I>> grad_query;
  BackwardRows(const SdpaBackward<I>& p, std::int64_t batch_head)
      : HeadRows<I>(p.forward, batch_head) {
    const SdpaForward<I>& f = p.forward;
    const RowStrides& s = p.grad_output_strides;
    grad_output = {p.grad_output + batch_head / f.heads * s.batch + batch_head % f.heads * s.head,
                   s.row};
    grad_query = {p.grad_query + batch_head * f.queries * f.width, f.width};
  }
};

template <int QV, class I>
class BackwardBlock {
 public:
  using T = Accumulator<I>;
  using V = hn::Vec<Tag<T>>;
  static constexpr std::int64_t kQueries = QV * kLanes<T>;

  BackwardBlock(const SdpaBackward<I>& p, std::int64_t b, std::int64_t h, std::int64_t first,
                T* scratch, Ahead& ahead)
      : p_(p),
        f_(p.forward),
        b_(b),
        h_(h),
        first_(first),
        count_(std::min(kQueries, f_.queries - first)),
        rows_(p, b * f_.heads + h),
        scaling_(f_),
        pairs_(uses_pairs(f_, /*backward=*/true)),
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
    query_copy_ = reinterpret_cast<I*>(take(f_.width)),
    grad_copy_ = reinterpret_cast<I*>(take(f_.value_width));
    if (p.grad_bias) bias_rows_ = take(kKeyBlock);
    if (kNarrow) {
      query_rows_ = take(pair_pitch(f_.width + 8)),
      grad_rows_ = take(pair_pitch(f_.value_width + 8));
      key_rows_ = scratch, value_rows_ = key_rows_ + kKeyBlock * pair_pitch(f_.width + 8);
      scratch = value_rows_ + kKeyBlock * pair_pitch(f_.value_width + 8);
    }
    key_copy_ = reinterpret_cast<I*>(scratch), value_copy_ = key_copy_ + kKeyBlock * f_.width;
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
  static constexpr bool kNarrow = !std::is_same_v<I, T>;
  static std::uint32_t* as_pairs(T* p) { return reinterpret_cast<std::uint32_t*>(p); }

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
    const Rows<I> output{rows_.output.row(first_), rows_.output.stride};
    const std::int64_t row = (b_ * f_.heads + h_) * f_.queries + first_;
    leave_out_blind_queries(f_.inverse + row);
    for (int g = 0; g < QV; ++g) {
      const std::int64_t at = g * kLanes<T>, n = rows_of(g), from = n > 0 ? at : 0;
      const Rows<I> q{query_.row(from), query_.stride}, grad{grad_.row(from), grad_.stride};
      // Queries without keys have inverse 0, lanes without a query get it: their weights are 0.
      largest_[g] = load_n(d_, f_.largest + row + from, static_cast<std::size_t>(n));
      inverse_[g] = load_n(d_, f_.inverse + row + from, static_cast<std::size_t>(n));
      delta_[g] = load_columns(g, q, grad, {output.row(from), output.stride});
    }
    if (!pairs_) {
      grad_sums_ = in_sums_type(grad_, range_.used, f_.value_width, grad_rows_);
      query_sums_ = in_sums_type(query_, range_.used, f_.width, query_rows_);
    } else if constexpr (kPairs<I>) {
      pair_rows(query_, range_.used, f_.width, as_pairs(query_rows_));
      pair_rows(grad_, range_.used, f_.value_width, as_pairs(grad_rows_));
    }
  }

  /// The columns of group g of queries; returns its <dO, O>.
  V load_columns(int g, Rows<I> query, Rows<I> grad, Rows<I> output) {
    const std::int64_t at = g * kLanes<T>, n = rows_of(g);
    const T scale = p_.grad_bias || pairs_ ? T{1} : f_.scale;
    const auto transpose = [&](Rows<I> rows, std::int64_t width, T factor, T* copy, T* to) {
      const auto [data, stride] = in_sums_type(rows, n, width, copy);
      transpose_in(data, stride, n, width, factor, to + at, kQueries);
    };
    transpose(grad, f_.value_width, scale, grad_rows_, gt_);
    transpose(output, f_.value_width, T{1}, grad_rows_, at_);
    V delta = hn::Zero(d_);
    for (std::int64_t c = 0; c < f_.value_width; ++c)
      delta = hn::MulAdd(hn::Load(d_, gt_ + c * kQueries + at),
                         hn::Load(d_, at_ + c * kQueries + at), delta);
    if constexpr (kPairs<I>) {
      if (pairs_) {
        transpose_pairs(query, n, f_.width, as_pairs(query_rows_), as_pairs(qt_ + at), kQueries);
        transpose_pairs(grad, n, f_.value_width, as_pairs(grad_rows_), as_pairs(gt_ + at),
                        kQueries);
        return delta;
      }
    }
    transpose(query, f_.width, scaling_.query, query_rows_, qt_);
    return delta;
  }

  /// Zeros for the rows of queries that see nothing, whose inverse is 0: 0 · NaN is NaN.
  void leave_out_blind_queries(const T* inverse) {
    if (std::find(inverse, inverse + count_, T{0}) == inverse + count_) return;
    const auto copy = [&](Rows<I>& rows, std::int64_t width, I* to) {
      for (std::int64_t i = 0; i < count_; ++i) {
        if (inverse[i] != 0)
          std::copy(rows.row(i), rows.row(i) + width, to + i * width);
        else
          std::fill(to + i * width, to + (i + 1) * width, I{});
      }
      rows = {to, width};
    };
    copy(query_, f_.width, query_copy_);
    copy(grad_, f_.value_width, grad_copy_);
  }

  /// Keys [j, j + n); `first`: nothing is in at_ yet.
  void block(std::int64_t j, std::int64_t n, bool first) {
    Rows<I> key{rows_.key.row(j), rows_.key.stride}, value{rows_.value.row(j), rows_.value.stride};
    if (f_.visible.mask) {
      mask_.load(f_, range_, b_ * f_.heads + h_, first_, count_, j, n);
      if (mask_.empty()) {
        if (first) std::fill_n(at_, f_.width * kQueries, T{0});
        return;
      }
      key = seen_rows(mask_, key, n, f_.width, key_copy_),
      value = seen_rows(mask_, value, n, f_.value_width, value_copy_);
    }
    if constexpr (kPairs<I>) {
      if (pairs_) return block_of_pairs(key, value, j, n, first);
    }
    const Rows<T> k = in_sums_type(key, n, f_.width, key_rows_);
    weigh(j, n, [&](auto done) HWY_ATTR { scores<QV>(k, qt_, f_.width, n, ahead_, done); });
    const T* dropped = grad_scores(in_sums_type(value, n, f_.value_width, value_rows_), j, n);
    if (p_.grad_bias) add_to_bias(j, n);
    add_outer(dropped, kQueries, n, grad_sums_.data, grad_sums_.stride, range_.used, f_.value_width,
              grad_value(j), f_.value_width);
    add_outer(grads_, kQueries, n, query_sums_.data, query_sums_.stride, range_.used, f_.width,
              grad_key(j), f_.width);
    V one[QV];
    for (int g = 0; g < QV; ++g) one[g] = hn::Set(d_, 1);
    add_values<QV>(k, f_.width, grads_, n, one, first, at_, ahead_);
  }

  T* grad_key(std::int64_t j) const { return p_.grad_key + key_row(j) * f_.width; }
  T* grad_value(std::int64_t j) const { return p_.grad_value + key_row(j) * f_.value_width; }
  std::int64_t key_row(std::int64_t j) const {
    return (b_ * f_.key_heads + h_ / (f_.heads / f_.key_heads)) * f_.keys + j;
  }

  /// weights_[k][i] = exp(score − largest) inverse; products(done) makes the scores.
  template <class Products>
  void weigh(std::int64_t j, std::int64_t n, Products products) {
    const V factor = hn::Set(d_, scaling_.factor);
    const auto weight = [&](std::int64_t at, int g, V s) HWY_ATTR {
      hn::Store(hn::Mul(exp2_nonpositive(d_, hn::MulSub(factor, s, largest_[g])), inverse_[g]), d_,
                weights_ + at);
    };
    const bool partial = !range_.all_see(j, j + n);
    if (!partial && scaling_.plain && !f_.visible.mask && !pairs_) {
      products([&](std::int64_t k, const auto& sum) HWY_ATTR { each_of<T>(sum, k, weight); });
      return;
    }
    products(store_to(weights_));
    if (!scaling_.plain)
      finish_scores<QV>(scaling_.after, f_.bias, f_.bias_strides, b_, h_, first_, count_, j, n,
                        weights_);
    if (f_.visible.mask)
      mask_.hide(n, weights_);
    else if (partial)
      range_.hide(j, n, weights_);
    each(n, [&](std::int64_t at, int g) HWY_ATTR { weight(at, g, hn::Load(d_, weights_ + at)); });
  }

  /// block() where the products are those of bfloat16 pairs: weights and dS are rounded for the sums over them.
  void block_of_pairs(Rows<I> key, Rows<I> value, std::int64_t j, std::int64_t n, bool first) {
    if constexpr (kPairs<I>) {
      weigh(j, n, [&](auto) { dot_scores(key, n, f_.width, as_pairs(qt_), QV, weights_); });
      ahead_.step(n / kTile<QV>);
      dot_scores(value, n, f_.value_width, as_pairs(gt_), QV, grads_);
      ahead_.step(n / kTile<QV>);
      T* const dropped = grad_scores_of_pairs(j, n);
      if (p_.grad_bias) add_to_bias(j, n);
      pair_queries(dropped, n, QV, as_pairs(dropped));
      dot_outer(as_pairs(dropped), n, QV, as_pairs(grad_rows_), range_.used, f_.value_width,
                grad_value(j), f_.value_width);
      pair_queries(grads_, n, QV, as_pairs(weights_));
      dot_outer(as_pairs(weights_), n, QV, as_pairs(query_rows_), range_.used, f_.width,
                grad_key(j), f_.width);
      pair_scores(grads_, n, QV, as_pairs(grads_));
      pair_rows(key, n, f_.width, as_pairs(key_rows_));
      HWY_ALIGN T ones[kQueries];
      std::fill_n(ones, kQueries, T{1});
      dot_values(as_pairs(key_rows_), f_.width, as_pairs(grads_), n, ones, first, QV, at_);
      ahead_.step(f_.width / kTile<QV>);
    }
  }

  /// From dP in grads_: grads_ = P ∘ (Z ∘ dP − delta), scaled unless the bias takes it first; returns Z ∘ P.
  T* grad_scores_of_pairs(std::int64_t j, std::int64_t n) {
    const V scale = hn::Set(d_, p_.grad_bias ? T{1} : f_.scale);
    if (f_.dropout <= 0) {
      each(n, [&](std::int64_t at, int g) HWY_ATTR {
        const V w = hn::Mul(scale, hn::Load(d_, weights_ + at));
        hn::Store(hn::Mul(w, hn::Sub(hn::Load(d_, grads_ + at), delta_[g])), d_, grads_ + at);
      });
      return weights_;
    }
    draw(j, n);
    each(n, [&](std::int64_t at, int g) HWY_ATTR {
      const V w = hn::Load(d_, weights_ + at), z = hn::Load(d_, drops_ + at);
      const V slope = hn::MulSub(z, hn::Load(d_, grads_ + at), delta_[g]);
      hn::Store(hn::Mul(hn::Mul(scale, w), slope), d_, grads_ + at);
      hn::Store(hn::Mul(w, z), d_, drops_ + at);
    });
    return drops_;
  }

  /// drops_ = Z of keys [j, j + n)
  void draw(std::int64_t j, std::int64_t n) {
    const AttentionDropout dropout(f_.seed, f_.dropout);
    const V factor = hn::Set(d_, static_cast<T>(dropout.factor()));
    each_kept<QV, T>(dropout, static_cast<std::uint32_t>(b_ * f_.heads + h_), first_, j, n,
                     [&](std::int64_t at, auto kept) HWY_ATTR {
                       hn::Store(hn::IfThenElseZero(kept, factor), d_, drops_ + at);
                     });
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
    draw(j, n);
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
  const SdpaBackward<I>& p_;
  const SdpaForward<I>& f_;
  const std::int64_t b_, h_, first_, count_;
  const BackwardRows<I> rows_;
  const Scaling<T> scaling_;
  const bool pairs_;
  const BlockRange<T, QV> range_;
  Ahead& ahead_;
  MaskTile<T, QV> mask_;
  T *qt_, *gt_, *at_, *all_, *weights_, *grads_, *drops_;
  I *query_copy_, *grad_copy_, *key_copy_, *value_copy_;
  T *query_rows_ = nullptr, *grad_rows_ = nullptr, *key_rows_ = nullptr, *value_rows_ = nullptr;
  T* bias_rows_ = nullptr;  // dS as [queries][kKeyBlock]
  Rows<I> query_{}, grad_{};
  Rows<T> query_sums_{}, grad_sums_{};
  V largest_[QV], inverse_[QV], delta_[QV];
};

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
