// Additive attention, backward: include/attend/kernels/additive.h has the equations. One task is a row of the batch, so
// that the gradients of its keys and values need no other thread; its share of the weight's gradient is kept apart and
// added in order at the end.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/additive/backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <atomic>

#include "attend/base/threads.h"
#include "attend/kernels/additive.h"
#include "kernels/additive/block-inl.h"
#include "kernels/additive/values-inl.h"
#include "kernels/simd/target.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

/// out = 4 w sums: the factor that the gradients of queries and keys have in common.
template <class T>
void store_gradient(const T* HWY_RESTRICT sums, const T* HWY_RESTRICT weight, std::int64_t width,
                    T* HWY_RESTRICT out) {
  for (std::int64_t a = 0; a < width; ++a) out[a] = T{4} * weight[a] * sums[a];
}

template <class T>
class BackwardRow {
 public:
  static std::int64_t size(const AdditiveForward<T>& p) {
    return AdditiveBlock<kAdditiveRows, T>::size(p) + 2 * kAdditiveRows * score_pitch(p.keys) +
           (kAdditiveRows + p.keys) * additive_padded<T>(p.width);
  }

  BackwardRow(const AdditiveBackward<T>& p, const AdditiveShared<T>& shared, std::int64_t b,
              T* sums, T* scratch)
      : p_(p),
        f_(p.forward),
        shared_(shared),
        b_(b),
        padded_(additive_padded<T>(f_.width)),
        pitch_(score_pitch(f_.keys)),
        of_weight_(sums),
        block_(scratch),
        used_(block_ + AdditiveBlock<kAdditiveRows, T>::size(f_)),
        of_score_(used_ + kAdditiveRows * pitch_),
        of_query_(of_score_ + kAdditiveRows * pitch_),
        of_key_(of_query_ + kAdditiveRows * padded_),
        of_value_(p.grad_value + b * f_.keys * f_.value_width) {}

  void run() {
    std::fill_n(of_weight_, padded_, T{0});
    const std::int64_t blocks = additive_blocks(f_.queries);
    if (blocks != 1) clear(0, f_.keys);  // one block sets what it sees and clears the rest
    for (std::int64_t i = 0; i < blocks; ++i)
      with_additive_block(f_.queries, i, [&](std::int64_t first, auto rows) {
        constexpr int R = decltype(rows)::value;
        blocks == 1 ? run_block<R, true>(first) : run_block<R, false>(first);
      });
    for (std::int64_t j = 0; j < f_.keys; ++j)
      store_gradient(of_key_ + j * padded_, shared_.weight, f_.width,
                     p_.grad_key + (b_ * f_.keys + j) * f_.width);
  }

 private:
  void clear(std::int64_t from, std::int64_t to) {
    std::fill(of_key_ + from * padded_, of_key_ + to * padded_, T{0});
    std::fill(of_value_ + from * f_.value_width, of_value_ + to * f_.value_width, T{0});
  }

  template <int R, bool Fresh>
  void run_block(std::int64_t first) {
    AdditiveBlock<R, T> block(f_, shared_, b_, first, block_);
    const std::int64_t begin = block.begin(), end = block.end();
    if (Fresh) clear(0, begin), clear(end, f_.keys);
    find_weights(block, first);
    const T* grad[R];
    for (int r = 0; r < R; ++r)
      grad[r] = p_.grad_output && block.sees(r)
                    ? p_.grad_output + b_ * p_.grad_output_strides.batch +
                          (first + r) * p_.grad_output_strides.row
                    : shared_.zeros;
    dot_values<R>(
        grad, [&](std::int64_t j) { return block.value(j); }, f_.value_width, begin, end, of_score_,
        pitch_);
    for (int r = 0; r < R; ++r) score_gradient(block, first, r);
    spread_to_values<R, Fresh>(WeightRows<T>{used_, pitch_, begin, end}, grad, f_.value_width,
                               of_value_);
    std::fill_n(of_query_, R * padded_, T{0});
    block.over_tiles([&](auto denominator, int r, std::int64_t j) HWY_ATTR {
      constexpr int kRows = std::extent_v<decltype(denominator.query)>,
                    kKeys = std::extent_v<decltype(denominator.key)>;
      // Pairs of far rows come one by one: the first of a key sets its sums, the others add.
      constexpr bool kPair = std::is_same_v<decltype(denominator), FromSums<T>>;
      if (kPair && Fresh && r == 0) std::fill_n(of_key_ + j * padded_, padded_, T{0});
      GradientRows<kKeys, T> to;
      to.query = of_query_ + r * padded_, to.weight = of_weight_;
      for (int c = 0; c < kKeys; ++c) to.key[c] = of_key_ + (j + c) * padded_;
      gradient_tile<kRows, kKeys, Fresh && !kPair>(denominator, of_score_ + r * pitch_ + j, pitch_,
                                                   padded_, to);
    });
    for (int r = 0; r < R; ++r)
      store_gradient(of_query_ + r * padded_, shared_.weight, f_.width,
                     p_.grad_query + (b_ * f_.queries + first + r) * f_.width);
  }

  template <int R>
  void find_weights(AdditiveBlock<R, T>& block, std::int64_t first) {
    if (!f_.weights) return block.weigh();
    for (int r = 0; r < R; ++r) {
      const T* kept = f_.weights + (b_ * f_.queries + first + r) * f_.keys;
      std::copy(kept + block.begin(), kept + block.end(), block.weights(r) + block.begin());
    }
  }

  /// used_ = z p and of_score_ = p (P − Σ p P), from of_score_ = <dout, v>. A weight of 0 decides alone: behind it may
  /// be a hidden key.
  template <int R>
  void score_gradient(AdditiveBlock<R, T>& block, std::int64_t first, int r) {
    const std::int64_t begin = block.begin(), end = block.end(),
                       at = (b_ * f_.queries + first + r) * f_.keys;
    const T* weight = block.weights(r);
    T *used = used_ + r * pitch_, *ds = of_score_ + r * pitch_;
    std::copy(weight + begin, weight + end, used + begin);
    if (f_.dropout > 0) {
      block.drop(r, used);
      block.drop(r, ds);
    }
    if (p_.grad_weights)
      for (std::int64_t j = begin; j < end; ++j) ds[j] += p_.grad_weights[at + j];
    T mean = 0;
    for (std::int64_t j = begin; j < end; ++j)
      if (weight[j] != 0) mean += weight[j] * ds[j];
    for (std::int64_t j = begin; j < end; ++j)
      ds[j] = weight[j] != 0 ? weight[j] * (ds[j] - mean) : T{0};
    if (!p_.grad_bias) return;
    std::fill(p_.grad_bias + at, p_.grad_bias + at + begin, T{0});
    std::copy(ds + begin, ds + end, p_.grad_bias + at + begin);
    std::fill(p_.grad_bias + at + end, p_.grad_bias + at + f_.keys, T{0});
  }

  const AdditiveBackward<T>& p_;
  const AdditiveForward<T>& f_;
  const AdditiveShared<T>& shared_;
  const std::int64_t b_, padded_, pitch_;
  T* of_weight_;  // [padded], this row's own
  T *block_, *used_, *of_score_, *of_query_, *of_key_;
  T* of_value_;
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
  std::atomic<std::int64_t> next{0};
  parallel_run(additive_workers(f, f.batch, threads()), [&](int worker) {
    for (std::int64_t b = next.fetch_add(1); b < f.batch; b = next.fetch_add(1))
      BackwardRow<T>(p, shared, b, sums + b * padded, scratch + worker * BackwardRow<T>::size(f))
          .run();
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
