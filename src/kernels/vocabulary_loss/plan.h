#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include "attend/kernels/vocabulary_loss.h"

namespace attend::kernels {

/// How the work is cut, and where each array lies in the workspace: a function of the sizes alone.
///
/// Rows go through in blocks; the vocabulary is cut into slices, each of which keeps its own maximum and its own gradient of
/// the inputs, so that slices are independent until the rows are merged, and dW needs no sum over threads.
struct VocabularyPlan {
  static constexpr std::int64_t kLine =
      16;  // elements to which arrays and padded widths are rounded up
  static constexpr std::int64_t kRowGroup =
      48;  // rows of the widest register tile: 3 vectors of 16 floats
  static constexpr std::int64_t kBlock =
      384;  // most rows of a block: the more, the fewer passes over the weight
  static constexpr std::int64_t kExponentials =
      4 << 20;  // at most so many are kept, except that a block has 48 rows
  static constexpr std::int64_t kSlices = 16;      // at least so many, while a slice keeps
  static constexpr std::int64_t kLeastWords = 64;  // so many words
  static constexpr std::int64_t kMostWords =
      640;  // 384 rows × 640 words × 4 bytes: about the second-level cache

  std::int64_t words, channels, padded;  // padded: channels rounded up to kLine
  std::int64_t slices, block, pitch;     // pitch: elements between two words' exponentials
  bool gradients;
  // Offsets into the workspace.
  std::int64_t rows_at = 0, packed_at = 0, exponentials_at = 0, slice_rows_at = 0, largest_at = 0,
               sums_at = 0, totals_at = 0, factors_at = 0, label_logits_at = 0, column_sums_at = 0,
               all_columns_at = 0, row_sum_at = 0, size = 0;

  VocabularyPlan(std::int64_t counted, std::int64_t channels_, std::int64_t words_, bool gradients_)
      : words(words_),
        channels(channels_),
        padded(round_up(channels_, kLine)),
        gradients(gradients_) {
    slices = ceil_div(words, std::clamp(ceil_div(words, kSlices), kLeastWords, kMostWords));
    block = std::clamp(kExponentials / words / kRowGroup * kRowGroup, kRowGroup, kBlock);
    block = std::min(block, round_up(counted, kRowGroup));
    pitch =
        gradients
            ? block + kLine
            : kRowGroup;  // not a power of two: a walk over words must not hit the same cache sets
    const auto take = [&](std::int64_t n) {
      return std::exchange(size, size + round_up(n, kLine));
    };
    rows_at = take(block * channels);
    exponentials_at = take(gradients ? words * pitch : slices * most_words() * pitch);
    largest_at = take(slices * block), sums_at = take(slices * block),
    totals_at = take(slices * block);
    label_logits_at = take(block);
    if (!gradients) return;
    packed_at = take(words * padded), slice_rows_at = take(slices * block * padded),
    factors_at = take(slices * block);
    column_sums_at = take(slices * padded), all_columns_at = take(padded),
    row_sum_at = take(padded);
  }

  std::int64_t first_word(std::int64_t slice) const { return slice * words / slices; }
  std::int64_t most_words() const { return ceil_div(words, slices); }

  static std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
  static std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }
};

/// One block of rows of one call.
template <class T>
struct VocabularyBlock {
  const VocabularyLoss<T>& p;
  const VocabularyPlan& plan;
  std::int64_t first = 0, rows = 0;  // counted_rows[first … first + rows)

  bool is_first() const { return first == 0; }
  bool is_last() const { return first + rows == p.counted; }
  std::int64_t row(std::int64_t r) const { return p.counted_rows[first + r]; }
  const T* input(std::int64_t r) const { return p.input + row(r) * p.input_stride; }
  T gradient(std::int64_t r) const {
    return p.row_gradient ? p.row_gradient[row(r)] : p.same_gradient;
  }
  T label_weight() const { return static_cast<T>(1 - p.label_smoothing); }
  T word_weight() const { return static_cast<T>(p.label_smoothing / static_cast<double>(p.words)); }

  T* rows_transposed() const { return p.workspace + plan.rows_at; }  // [block / group][C][group]
  T* packed() const { return p.workspace + plan.packed_at; }  // [slice][panel][word][panel width]
  T* exponentials() const { return p.workspace + plan.exponentials_at; }  // [V][pitch]
  T* slice_rows(std::int64_t s) const {
    return p.workspace + plan.slice_rows_at + s * plan.block * plan.padded;
  }
  T* largest(std::int64_t s) const { return p.workspace + plan.largest_at + s * plan.block; }
  T* sums(std::int64_t s) const { return p.workspace + plan.sums_at + s * plan.block; }
  T* totals(std::int64_t s) const { return p.workspace + plan.totals_at + s * plan.block; }
  T* factors(std::int64_t s) const { return p.workspace + plan.factors_at + s * plan.block; }
  T* label_logits() const { return p.workspace + plan.label_logits_at; }
  T* column_sums(std::int64_t s) const {
    return p.workspace + plan.column_sums_at + s * plan.padded;
  }
  T* all_columns() const { return p.workspace + plan.all_columns_at; }  // Σ_j w_j
  T* row_sum() const { return p.workspace + plan.row_sum_at; }          // Σ_r g_r x_r
};

/// The steps of a block, in this order; each runs once for every index, in any order and on any thread.
enum class VocabularyStep {
  kTranspose,      // index: group of kRowGroup rows
  kSliceForward,   // index: slice
  kSum,            // index: 0
  kMergeRows,      // index: group of kRowGroup rows
  kSliceBackward,  // index: slice
};

}  // namespace attend::kernels
