// Additive attention, backward: include/attend/kernels/additive.h has the equations. One task is a row of the batch, so
// that the gradients of its keys and values need no other thread; its share of the weight's gradient is kept apart and
// added in order at the end.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/additive/backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "attend/kernels/additive.h"
#include "kernels/additive/block-inl.h"
#include "kernels/additive/values-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// Queries taken together: their gradient sums stay in cache while the keys pass, and the keys' stay in registers.
constexpr std::int64_t kAdditiveGroup = 32;

template <class T>
class BackwardRow {
 public:
  static std::int64_t size(const AdditiveForward<T>& p) {
    const std::int64_t group = std::min(kAdditiveGroup, p.queries);
    return AdditiveBlock<kAdditiveRows, T>::size(p) + AdditiveKeyRows<T>::size(p) +
           2 * group * additive_padded<T>(p.width) + (2 * group + 1) * score_pitch(p.keys);
  }

  BackwardRow(const AdditiveBackward<T>& p, const AdditiveShared<T>& shared, std::int64_t b,
              T* weight_sums, T* scratch)
      : p_(p),
        f_(p.forward),
        shared_(shared),
        b_(b),
        padded_(additive_padded<T>(f_.width)),
        pitch_(score_pitch(f_.keys)),
        block_(scratch),
        keys_(f_, b, 0, f_.queries, block_ + AdditiveBlock<kAdditiveRows, T>::size(f_)),
        exponentials_(block_ + AdditiveBlock<kAdditiveRows, T>::size(f_) +
                      AdditiveKeyRows<T>::size(f_)),
        sums_(exponentials_ + std::min(kAdditiveGroup, f_.queries) * padded_),
        used_(sums_ + std::min(kAdditiveGroup, f_.queries) * padded_),
        of_score_(used_ + std::min(kAdditiveGroup, f_.queries) * pitch_),
        seen_(of_score_ + std::min(kAdditiveGroup, f_.queries) * pitch_),
        of_key_(p.grad_key + b * f_.keys * f_.width),
        of_value_(p.grad_value ? p.grad_value + b * f_.keys * f_.value_width : nullptr),
        group_{0, f_.width, exponentials_, sums_, weight_sums, shared.weight} {}

  /// `next` is the row that follows on this thread, or −1.
  void run(std::int64_t next) {
    if (f_.queries >= kAdditiveAheadQueries) look_ahead(next);
    std::fill_n(group_.weight_sums, padded_, T{0});
    if (f_.queries == 0) clear(0, f_.keys);
    for (std::int64_t first = 0; first < f_.queries; first += kAdditiveGroup)
      run_group(first, std::min(kAdditiveGroup, f_.queries - first));
  }

 private:
  void clear(std::int64_t from, std::int64_t to) {
    std::fill(of_key_ + from * f_.width, of_key_ + to * f_.width, T{0});
    if (of_value_)
      std::fill(of_value_ + from * f_.value_width, of_value_ + to * f_.value_width, T{0});
  }

  /// What is read of the next row, and where this one's gradients of the queries go.
  void look_ahead(std::int64_t next) {
    ahead_.add(Rows<const T>{p_.grad_query, f_.width}, b_ * f_.queries, (b_ + 1) * f_.queries,
               f_.width);
    if (next >= 0) read_ahead(f_, next, ahead_);
    if (next >= 0 && p_.grad_output)
      ahead_.add(Rows<const T>{p_.grad_output + next * p_.grad_output_strides.batch,
                               p_.grad_output_strides.row},
                 0, f_.queries, f_.value_width);
    const std::int64_t groups = (f_.queries + kAdditiveGroup - 1) / kAdditiveGroup;
    ahead_.spread(groups * (f_.keys / kAdditiveKeys) * (padded_ / kAdditiveLanes<T>));
  }

  /// The first group sets the gradients of keys and values, the others add to them.
  void run_group(std::int64_t first, std::int64_t queries) {
    group_.queries = queries;
    std::fill_n(sums_, queries * padded_, T{0});
    std::fill_n(used_, queries * pitch_, T{0});
    std::fill_n(of_score_, queries * pitch_, T{0});
    std::fill_n(seen_, f_.keys, T{0});
    begin_ = f_.keys, end_ = 0, far_ = false;
    over_tiles<kAdditiveRows>(0, queries, [&](std::int64_t i, auto rows) {
      AdditiveBlock<decltype(rows)::value, T> block(f_, shared_, keys_, b_, first + i, block_);
      differentiate_scores(block, first, i);
    });
    begin_ = std::min(begin_, end_);
    if (first == 0) clear(0, begin_), clear(end_, f_.keys);
    if (of_value_) differentiate_values(first);
    differentiate_tanh(first);
    for (std::int64_t i = 0; i < queries; ++i)
      for (std::int64_t a = 0; a < f_.width; a += kAdditiveLanes<T>)
        group_.finish(hn::LoadU(AdditiveTag<T>(), sums_ + group_.place(i, a)), a, true,
                      p_.grad_query + (b_ * f_.queries + first + i) * f_.width);
  }

  void differentiate_values(std::int64_t first) {
    const std::int64_t queries = group_.queries;
    const auto spread = [&](std::int64_t j, auto keys) {
      sum_values<decltype(keys)::value>(
          WeightRows<T>{used_ + j, 1, pitch_, 0, queries}, [&](std::int64_t i) { return grad_[i]; },
          f_.value_width, first == 0, of_value_ + j * f_.value_width);
    };
    if (queries == 1)  // nothing to share: memory takes whole rows faster than four at once
      over_tiles<1>(begin_, end_, spread);
    else
      over_tiles<kAdditiveRows>(begin_, end_, spread);
  }

  /// Rows i… of used_ and of_score_, of the exponentials and of grad_, for the block of the group's queries from i on.
  template <int R>
  void differentiate_scores(AdditiveBlock<R, T>& block, std::int64_t first, std::int64_t i) {
    const std::int64_t begin = block.begin(), end = block.end();
    find_weights(block, first + i);
    const T* grad[R];
    for (int r = 0; r < R; ++r)
      grad[r] = grad_[i + r] = p_.grad_output && block.sees(r)
                                   ? p_.grad_output + b_ * p_.grad_output_strides.batch +
                                         (first + i + r) * p_.grad_output_strides.row
                                   : shared_.zeros;
    dot_values<R>(
        grad, [&](std::int64_t j) { return block.value(j); }, f_.value_width, begin, end,
        of_score_ + i * pitch_, pitch_);
    for (int r = 0; r < R; ++r) {
      score_gradient(block, first, i, r);
      far_query_[i + r] = is_far(block.exponentials_of(r));
      far_ |= far_query_[i + r];
      const T* from = far_query_[i + r] ? shared_.zeros : block.exponentials_of(r);
      for (std::int64_t a = 0; a < padded_; a += kAdditiveLanes<T>)
        hn::StoreU(hn::LoadU(AdditiveTag<T>(), from + a), AdditiveTag<T>(),
                   exponentials_ + group_.place(i + r, a));
    }
    for (std::int64_t j = begin; j < end; ++j) {
      if (!block.seen(j)) continue;
      seen_[j] = 1, far_ |= is_far(keys_[j]);
    }
    begin_ = std::min(begin_, begin), end_ = std::max(end_, end);
  }

  template <int R>
  void find_weights(AdditiveBlock<R, T>& block, std::int64_t first) {
    if (!f_.weights) return block.weigh(ahead_);
    for (int r = 0; r < R; ++r) {
      const T* kept = f_.weights + (b_ * f_.queries + first + r) * f_.keys;
      std::copy(kept + block.begin(), kept + block.end(), block.weights(r) + block.begin());
    }
  }

  /// used_ = z p and of_score_ = p (P − Σ p P), from of_score_ = <dout, v>. A weight of 0 decides alone: behind it may
  /// be a hidden key.
  template <int R>
  void score_gradient(AdditiveBlock<R, T>& block, std::int64_t first, std::int64_t i, int r) {
    const std::int64_t begin = block.begin(), end = block.end(),
                       at = (b_ * f_.queries + first + i + r) * f_.keys;
    const T* weight = block.weights(r);
    T *used = used_ + (i + r) * pitch_, *ds = of_score_ + (i + r) * pitch_;
    std::copy(weight + begin, weight + end, used + begin);
    if (f_.dropout > 0) {
      block.drop(r, used);
      block.drop(r, ds);
    }
    if (p_.grad_weights)
      for (std::int64_t j = begin; j < end; ++j) ds[j] += p_.grad_weights[at + j];
    center(weight, begin, end, ds);
    if (!p_.grad_bias) return;
    std::fill(p_.grad_bias + at, p_.grad_bias + at + begin, T{0});
    std::copy(ds + begin, ds + end, p_.grad_bias + at + begin);
    std::fill(p_.grad_bias + at + end, p_.grad_bias + at + f_.keys, T{0});
  }

  /// ds ← p (ds − Σ p ds) over [begin, end)
  static void center(const T* p, std::int64_t begin, std::int64_t end, T* ds) {
    using V = AdditiveVec<T>;
    const AdditiveTag<T> d;
    V mean = hn::Zero(d);
    const auto over = [&](auto f) HWY_ATTR {
      for (std::int64_t j = begin; j < end; j += kAdditiveLanes<T>) {
        const V weight = load_columns(p + j, std::min(kAdditiveLanes<T>, end - j));
        f(j, weight, hn::Not(hn::Eq(weight, hn::Zero(d))));  // Ne is false of a NaN
      }
    };
    over([&](std::int64_t j, V weight, auto counts) HWY_ATTR {
      const V x = hn::IfThenElseZero(counts, hn::LoadU(d, ds + j));
      mean = hn::MulAdd(weight, x, mean);
      hn::StoreU(x, d, ds + j);
    });
    mean = hn::SumOfLanes(d, mean);
    over([&](std::int64_t j, V weight, auto counts) HWY_ATTR {
      const V x = hn::Mul(weight, hn::Sub(hn::LoadU(d, ds + j), mean));
      hn::StoreU(hn::IfThenElseZero(counts, x), d, ds + j);
    });
  }

  /// From of_score_ to the gradients of the group's queries (still sums), its keys and the weight.
  void differentiate_tanh(std::int64_t first) {
    bool fresh = first == 0;
    if (far_) {
      if (fresh) std::fill(of_key_ + begin_ * f_.width, of_key_ + end_ * f_.width, T{0});
      fresh = false;
      far_pairs(first);
    }
    over_tiles<kAdditiveKeys>(begin_, end_, [&](std::int64_t j, auto keys) {
      constexpr int K = decltype(keys)::value;
      const T* key[K];
      T* out[K];
      for (int c = 0; c < K; ++c) {
        const bool near = seen_[j + c] != 0 && !is_far(keys_[j + c]);
        key[c] = near ? keys_[j + c] : shared_.zeros, out[c] = of_key_ + (j + c) * f_.width;
      }
      gradient_tile<K>(group_, key, of_score_ + j, pitch_, fresh, out, ahead_);
    });
  }

  /// Pairs with a far row, one by one; nothing is left of them for the tiles.
  void far_pairs(std::int64_t first) {
    for (std::int64_t i = 0; i < group_.queries; ++i)
      for (std::int64_t j = begin_; j < end_; ++j) {
        T& ds = of_score_[i * pitch_ + j];
        if (ds == 0 || (!far_query_[i] && !is_far(keys_[j]))) continue;
        const FromSums<T> pair{
            {f_.query + b_ * f_.query_strides.batch + (first + i) * f_.query_strides.row},
            {f_.key + b_ * f_.key_strides.batch + j * f_.key_strides.row},
            f_.width};
        gradient_of_pair(group_, i, pair, ds, of_key_ + j * f_.width);
        ds = 0;
      }
  }

  const AdditiveBackward<T>& p_;
  const AdditiveForward<T>& f_;
  const AdditiveShared<T>& shared_;
  const std::int64_t b_, padded_, pitch_;
  T* block_;
  const AdditiveKeyRows<T> keys_;
  T *exponentials_, *sums_, *used_, *of_score_, *seen_;  // of one group
  T *of_key_, *of_value_;
  GradientQueries<T> group_;
  const T* grad_[kAdditiveGroup];
  bool far_query_[kAdditiveGroup];
  std::int64_t begin_ = 0, end_ = 0;  // keys that some query of the group sees
  bool far_ = false;
  Ahead ahead_;
};

template <class T>
std::int64_t scratch_of(const AdditiveBackward<T>& p) {
  return AdditiveShared<T>::size(p.forward) +
         p.forward.batch * additive_padded<T>(p.forward.width) +
         threads() * BackwardRow<T>::size(p.forward);
}

template <class T>
void backward(const AdditiveBackward<T>& p) {
  note_simd_target(HWY_TARGET);
  const AdditiveForward<T>& f = p.forward;
  const std::int64_t padded = additive_padded<T>(f.width);
  const AdditiveShared<T> shared(f, p.workspace);
  T* const sums = p.workspace + AdditiveShared<T>::size(f);
  T* const scratch = sums + f.batch * padded;
  over_additive_tasks(
      f.batch, additive_row_work(f), [&](int worker, std::int64_t b, std::int64_t next) {
        BackwardRow<T>(p, shared, b, sums + b * padded, scratch + worker * BackwardRow<T>::size(f))
            .run(next);
      });
  std::fill_n(p.grad_score_weight, f.width, T{0});
  for (std::int64_t b = 0; b < f.batch; ++b)
    for (std::int64_t a = 0; a < f.width; ++a) p.grad_score_weight[a] += sums[b * padded + a];
  for (std::int64_t a = 0; a < f.width; ++a) p.grad_score_weight[a] *= T{-2} * f.scale;
}

void additive_backward_float(const AdditiveBackward<float>& p) { backward(p); }
void additive_backward_double(const AdditiveBackward<double>& p) { backward(p); }
std::int64_t additive_backward_scratch_float(const AdditiveBackward<float>& p) {
  return scratch_of(p);
}
std::int64_t additive_backward_scratch_double(const AdditiveBackward<double>& p) {
  return scratch_of(p);
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::kernels {
HWY_EXPORT(additive_backward_float);
HWY_EXPORT(additive_backward_double);
HWY_EXPORT(additive_backward_scratch_float);
HWY_EXPORT(additive_backward_scratch_double);

void additive_backward(const AdditiveBackward<float>& p) {
  HWY_DYNAMIC_DISPATCH(additive_backward_float)(p);
}
void additive_backward(const AdditiveBackward<double>& p) {
  HWY_DYNAMIC_DISPATCH(additive_backward_double)(p);
}

template <>
std::int64_t additive_backward_workspace(const AdditiveBackward<float>& p) {
  return HWY_DYNAMIC_DISPATCH(additive_backward_scratch_float)(p);
}
template <>
std::int64_t additive_backward_workspace(const AdditiveBackward<double>& p) {
  return HWY_DYNAMIC_DISPATCH(additive_backward_scratch_double)(p);
}
}  // namespace attend::kernels
#endif
