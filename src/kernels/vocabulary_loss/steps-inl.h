// The steps of a block of rows (plan.h names them), once per Highway target.
#if defined(ATTEND_KERNELS_VOCABULARY_LOSS_STEPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_VOCABULARY_LOSS_STEPS_INL_H_
#undef ATTEND_KERNELS_VOCABULARY_LOSS_STEPS_INL_H_
#else
#define ATTEND_KERNELS_VOCABULARY_LOSS_STEPS_INL_H_
#endif

#include <limits>

#include "kernels/simd/rows-inl.h"
#include "kernels/vocabulary_loss/plan.h"
#include "kernels/vocabulary_loss/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {
namespace {

template <class T>
constexpr T kLog2e = T(1.4426950408889634074);

/// Rows [first, first + kRowGroup) as register tiles read them: [tile][c][row], zeros where there is no row.
template <class T>
void transpose_rows(const VocabularyBlock<T>& block, std::int64_t group) {
  const std::int64_t channels = block.plan.channels, first = group * VocabularyPlan::kRowGroup;
  for (std::int64_t r = first; r < first + VocabularyPlan::kRowGroup; ++r) {
    T* out = block.rows_transposed() + r / kRows<T> * kRows<T> * channels + r % kRows<T>;
    const T* in = r < block.rows ? block.input(r) : nullptr;
    for (std::int64_t c = 0; c < channels; ++c) out[c * kRows<T>] = in ? in[c] : T(0);
  }
}

/// The words of a slice as both products read them, and the sum of their columns.
template <class T>
void pack_words(const VocabularyBlock<T>& block, std::int64_t slice) {
  const Tag<T> d;
  const VocabularyPlan& plan = block.plan;
  const std::int64_t begin = plan.first_word(slice), words = plan.first_word(slice + 1) - begin;
  T* packed = block.packed() + begin * plan.padded;
  for (std::int64_t column = 0; column < plan.padded; column += kPanel<T>) {
    const std::int64_t width = panel_width<T>(column, plan.padded),
                       given = std::min(width, plan.channels - column);
    const T* from = block.p.weight + begin * block.p.weight_stride + column;
    T* to = packed + column * words;
    for (std::int64_t c = 0; c < width; c += kLanes<T>) {
      const auto n = static_cast<std::size_t>(std::clamp<std::int64_t>(given - c, 0, kLanes<T>));
      auto sum = hn::Zero(d);
      for (std::int64_t j = 0; j < words; ++j) {
        const auto v = load_n(d, from + j * block.p.weight_stride + c, n);
        hn::StoreU(v, d, to + j * width + c);
        sum = hn::Add(sum, v);
      }
      hn::StoreU(sum, d, block.column_sums(slice) + column + c);
    }
  }
}

/// e ← exp(e − largest) for kRows rows of `words` words; its sum, and the sum of what e was.
template <class T>
HWY_INLINE void exponentials(T* HWY_RESTRICT e, std::int64_t pitch, std::int64_t words,
                             const Vector<T> (&largest)[kRowVectors], T* HWY_RESTRICT sums,
                             T* HWY_RESTRICT totals) {
  const Tag<T> d;
  const auto factor = hn::Set(d, kLog2e<T>);
  Vector<T> sum[kRowVectors], total[kRowVectors];
  ATTEND_UNROLL for (int g = 0; g < kRowVectors; ++g) sum[g] = total[g] = hn::Zero(d);
  for (std::int64_t j = 0; j < words; ++j) {
    T* at = e + j * pitch;
    ATTEND_UNROLL for (int g = 0; g < kRowVectors; ++g) {
      const auto logit = hn::LoadU(d, at + g * kLanes<T>);
      const auto x = exp2_nonpositive(d, hn::Mul(hn::Sub(logit, largest[g]), factor));
      hn::StoreU(x, d, at + g * kLanes<T>);
      sum[g] = hn::Add(sum[g], x);
      total[g] = hn::Add(total[g], logit);
    }
  }
  ATTEND_UNROLL for (int g = 0; g < kRowVectors; ++g) {
    hn::StoreU(sum[g], d, sums + g * kLanes<T>);
    hn::StoreU(total[g], d, totals + g * kLanes<T>);
  }
}

/// Logits of a slice, their exponentials, and the part of the inputs' gradient that comes from them.
template <class T>
void slice_forward(const VocabularyBlock<T>& block, std::int64_t slice) {
  const Tag<T> d;
  const VocabularyPlan& plan = block.plan;
  const std::int64_t begin = plan.first_word(slice), words = plan.first_word(slice + 1) - begin;
  if (plan.gradients && block.is_first()) pack_words(block, slice);
  const T* packed = block.packed() + begin * plan.padded;
  const WordsView<T> view = plan.gradients
                                ? WordsView<T>{packed, true, words, kPanel<T>, plan.padded, 0}
                                : WordsView<T>{block.p.weight + begin * block.p.weight_stride,
                                               false,
                                               words,
                                               plan.channels,
                                               plan.padded,
                                               block.p.weight_stride};
  T* base =
      block.exponentials() + (plan.gradients ? begin : slice * plan.most_words()) * plan.pitch;
  for (std::int64_t r = 0; r < block.rows; r += kRows<T>) {
    T* e = base + (plan.gradients ? r : 0);
    Vector<T> largest[kRowVectors];
    for (auto& x : largest) x = hn::Set(d, std::numeric_limits<T>::lowest());
    scores(view, block.p.bias ? block.p.bias + begin : nullptr,
           block.rows_transposed() + r * plan.channels, plan.channels, e, plan.pitch, largest);
    for (int g = 0; g < kRowVectors; ++g)
      hn::StoreU(largest[g], d, block.largest(slice) + r + g * kLanes<T>);
    for (std::int64_t i = r; i < std::min(r + kRows<T>, block.rows); ++i) {
      const std::int64_t word = block.p.target[block.row(i)] - begin;
      if (word >= 0 && word < words) block.label_logits()[i] = e[word * plan.pitch + i - r];
    }
    exponentials(e, plan.pitch, words, largest, block.sums(slice) + r, block.totals(slice) + r);
  }
  if (!block.p.grad_input) return;
  for (std::int64_t column = 0; column < plan.padded; column += kPanel<T>) {
    const std::int64_t width = panel_width<T>(column, plan.padded);
    panel_product<Walk::kAcrossRows, Start::kZero>(base, plan.pitch, packed + column * words, width,
                                                   words, block.rows, width,
                                                   block.slice_rows(slice) + column, plan.padded);
  }
}

/// Sums that only the smoothing needs: Σ_j w_j, once, and Σ_r g_r x_r.
template <class T>
void sum_rows_and_words(const VocabularyBlock<T>& block) {
  const Tag<T> d;
  const VocabularyPlan& plan = block.plan;
  if (!plan.gradients || block.p.label_smoothing == 0) return;
  over_vectors<T>(plan.channels, [&](std::int64_t c, std::size_t n) HWY_ATTR {
    auto sum = hn::Zero(d);
    if (block.is_first()) {
      for (std::int64_t s = 0; s < plan.slices; ++s)
        sum = hn::Add(sum, hn::LoadU(d, block.column_sums(s) + c));
      hn::StoreU(sum, d, block.all_columns() + c);
      sum = hn::Zero(d);
    } else {
      sum = hn::LoadU(d, block.row_sum() + c);
    }
    for (std::int64_t r = 0; r < block.rows; ++r)
      sum = hn::MulAdd(hn::Set(d, block.gradient(r)), load_n(d, block.input(r) + c, n), sum);
    hn::StoreU(sum, d, block.row_sum() + c);
  });
}

/// dx of one row from the slices' parts, the label and the smoothing.
template <class T>
HWY_INLINE void merge_input_gradient(const VocabularyBlock<T>& block, std::int64_t r) {
  const Tag<T> d;
  const VocabularyPlan& plan = block.plan;
  const std::int64_t row = block.row(r);
  const T g = block.gradient(r);
  const T* label_word = block.p.weight + block.p.target[row] * block.p.weight_stride;
  const auto label = hn::Set(d, g * block.label_weight()),
             smooth = hn::Set(d, g * block.word_weight());
  over_vectors<T>(plan.channels, [&](std::int64_t c, std::size_t n) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (std::int64_t s = 0; s < plan.slices; ++s)
      sum = hn::MulAdd(hn::Set(d, block.factors(s)[r]),
                       hn::LoadU(d, block.slice_rows(s) + r * plan.padded + c), sum);
    sum = hn::NegMulAdd(label, load_n(d, label_word + c, n), sum);
    if (block.p.label_smoothing != 0)
      sum = hn::NegMulAdd(smooth, hn::LoadU(d, block.all_columns() + c), sum);
    store_n(sum, d, block.p.grad_input + row * plan.channels + c, n);
  });
}

/// The loss of a group of rows, what each slice's exponentials must be multiplied by, and dx.
template <class T>
void merge_rows(const VocabularyBlock<T>& block, std::int64_t group) {
  const Tag<T> d;
  const VocabularyPlan& plan = block.plan;
  const std::int64_t first = group * VocabularyPlan::kRowGroup,
                     end = std::min(first + VocabularyPlan::kRowGroup, block.rows);
  const auto log2e = hn::Set(d, kLog2e<T>);
  for (std::int64_t r = first; r < end; r += kLanes<T>) {
    auto largest = hn::Set(d, std::numeric_limits<T>::lowest());
    for (std::int64_t s = 0; s < plan.slices; ++s)
      largest = hn::Max(largest, hn::LoadU(d, block.largest(s) + r));
    auto sum = hn::Zero(d), total = hn::Zero(d);
    const auto share = [&](std::int64_t s) HWY_ATTR {
      return exp2_nonpositive(d,
                              hn::Mul(hn::Sub(hn::LoadU(d, block.largest(s) + r), largest), log2e));
    };
    for (std::int64_t s = 0; s < plan.slices; ++s) {
      sum = hn::MulAdd(share(s), hn::LoadU(d, block.sums(s) + r), sum);
      total = hn::Add(total, hn::LoadU(d, block.totals(s) + r));
    }
    const auto n = static_cast<std::size_t>(std::min(kLanes<T>, end - r));
    HWY_ALIGN T loss[kLanes<T>], gradient[kLanes<T>];
    for (std::size_t i = 0; i < static_cast<std::size_t>(kLanes<T>); ++i)
      gradient[i] = i < n ? block.gradient(r + static_cast<std::int64_t>(i)) : T(0);
    auto value =
        hn::Sub(hn::Add(largest, log(d, sum)),
                hn::Mul(hn::Set(d, block.label_weight()), load_n(d, block.label_logits() + r, n)));
    if (block.p.label_smoothing != 0)
      value = hn::NegMulAdd(hn::Set(d, block.word_weight()), total, value);
    hn::Store(value, d, loss);
    for (std::size_t i = 0; i < n; ++i)
      block.p.loss[block.row(r + static_cast<std::int64_t>(i))] = loss[i];
    if (!plan.gradients) continue;
    const auto scale = hn::Div(hn::Load(d, gradient), sum);
    for (std::int64_t s = 0; s < plan.slices; ++s)
      hn::StoreU(hn::Mul(share(s), scale), d, block.factors(s) + r);
  }
  if (block.p.grad_input)
    for (std::int64_t r = first; r < end; ++r) merge_input_gradient(block, r);
}

template <class T>
void slice_weight_gradient(const VocabularyBlock<T>& block, std::int64_t slice) {
  const Tag<T> d;
  const VocabularyPlan& plan = block.plan;
  const std::int64_t begin = plan.first_word(slice), words = plan.first_word(slice + 1) - begin,
                     channels = plan.channels;
  const T* e = block.exponentials() + begin * plan.pitch;
  T* scaled = block.slice_rows(
      slice);  // free since the rows were merged: [panel][row][width], g_r / Σ · x_r
  T* out = block.p.grad_weight + begin * channels;
  for (std::int64_t column = 0; column < plan.padded; column += kPanel<T>) {
    const std::int64_t width = panel_width<T>(column, plan.padded),
                       given = std::min(width, channels - column);
    T* panel = scaled + column * block.rows;
    for (std::int64_t r = 0; r < block.rows; ++r) {
      const auto factor = hn::Set(d, block.factors(slice)[r]);
      const T* x = block.input(r) + column;
      for (std::int64_t c = 0; c < width; c += kLanes<T>) {
        const auto n = static_cast<std::size_t>(std::clamp<std::int64_t>(given - c, 0, kLanes<T>));
        hn::StoreU(hn::Mul(factor, load_n(d, x + c, n)), d, panel + r * width + c);
      }
    }
    for (std::int64_t r = 0; r < block.rows; r += kDepth) {
      const std::int64_t depth = std::min(kDepth, block.rows - r);
      if (block.is_first() && r == 0)
        panel_product<Walk::kAlongRows, Start::kZero>(e, plan.pitch, panel, width, depth, words,
                                                      given, out + column, channels);
      else
        panel_product<Walk::kAlongRows, Start::kAdd>(e + r, plan.pitch, panel + r * width, width,
                                                     depth, words, given, out + column, channels);
    }
  }
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const std::int64_t word = block.p.target[block.row(r)] - begin;
    if (word >= 0 && word < words)
      add_scaled(-block.label_weight() * block.gradient(r), block.input(r), channels,
                 out + word * channels);
  }
  if (block.is_last() && block.p.label_smoothing != 0)
    for (std::int64_t j = 0; j < words; ++j)
      add_scaled(-block.word_weight(), block.row_sum(), channels, out + j * channels);
}

template <class T>
void slice_bias_gradient(const VocabularyBlock<T>& block, std::int64_t slice) {
  const Tag<T> d;
  const VocabularyPlan& plan = block.plan;
  const std::int64_t begin = plan.first_word(slice), words = plan.first_word(slice + 1) - begin;
  const T* e = block.exponentials() + begin * plan.pitch;
  const T* factors = block.factors(slice);
  T* out = block.p.grad_bias + begin;
  T smooth = 0;
  if (block.p.label_smoothing != 0)
    for (std::int64_t r = 0; r < block.rows; ++r) smooth += block.gradient(r) * block.word_weight();
  for (std::int64_t j = 0; j < words; ++j) {
    auto sum = hn::Zero(d);
    over_vectors<T>(block.rows, [&](std::int64_t r, std::size_t n) HWY_ATTR {
      sum = hn::MulAdd(load_n(d, e + j * plan.pitch + r, n), load_n(d, factors + r, n), sum);
    });
    out[j] = (block.is_first() ? T(0) : out[j]) + hn::GetLane(hn::SumOfLanes(d, sum)) - smooth;
  }
  for (std::int64_t r = 0; r < block.rows; ++r) {
    const std::int64_t word = block.p.target[block.row(r)] - begin;
    if (word >= 0 && word < words) out[word] -= block.label_weight() * block.gradient(r);
  }
}

template <class T>
void run_step(const VocabularyBlock<T>& block, VocabularyStep step, std::int64_t index) {
  switch (step) {
    case VocabularyStep::kTranspose:
      return transpose_rows(block, index);
    case VocabularyStep::kSliceForward:
      return slice_forward(block, index);
    case VocabularyStep::kSum:
      return sum_rows_and_words(block);
    case VocabularyStep::kMergeRows:
      return merge_rows(block, index);
    case VocabularyStep::kSliceBackward:
      if (block.p.grad_bias) slice_bias_gradient(block, index);
      if (block.p.grad_weight) slice_weight_gradient(block, index);
      return;
  }
}

}  // namespace
}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
