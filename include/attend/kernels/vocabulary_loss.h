#pragma once
#include <cstdint>

namespace attend::kernels {

/// Cross-entropy of a linear layer over a vocabulary, and its gradient in the same pass, on plain memory. With
/// l_rj = <x_r, w_j> + b_j, y = target[r], ε = label_smoothing and V = words:
///   loss_r = lse_r − (1 − ε) l_ry − ε/V Σ_j l_rj,       lse_r = log Σ_j exp(l_rj)
///   dl_rj  = g_r (exp(l_rj − lse_r) − (1 − ε) [j = y] − ε/V)
///   dx_r   = Σ_j dl_rj w_j,    dw_j = Σ_r dl_rj x_r,    db_j = Σ_r dl_rj
/// (Szegedy et al. 2016, section 7, for the smoothing.) The logits are never stored: rows go through in blocks of at most
/// 384, and of a block only exp(l − maximum of its slice of the vocabulary) is kept until the sum over all words is known.
///
/// Only the rows named in `counted_rows` are read and written: the others may hold anything. Sums over rows and words are
/// taken in an order that depends on the sizes alone, so the bits do not depend on the number of threads. NaN in a counted
/// row makes its loss NaN. A bias of −inf is a word of probability 0. T is float or double. Thread-safe, no allocation.
/// Cost: 2·rows·V·C floating-point operations for the loss, 4 more with all gradients.
template <class T>
struct VocabularyLoss {
  std::int64_t counted = 0, channels = 0, words = 0;
  const std::int64_t* counted_rows = nullptr;  // [counted]: which rows of input, target, loss …
  const T* input = nullptr;                    // [N,C], rows `input_stride` elements apart
  std::int64_t input_stride = 0;
  const T* weight = nullptr;  // [V,C], rows `weight_stride` elements apart
  std::int64_t weight_stride = 0;
  const T* bias = nullptr;               // [V], or null
  const std::int64_t* target = nullptr;  // [N], in [0, V) where counted
  double label_smoothing = 0;            // ε
  T* loss = nullptr;                     // [N]
  /// g_r: gradient that arrives at loss_r; null: `same_gradient` for every row.
  const T* row_gradient = nullptr;  // [N]
  T same_gradient = 1;
  T* grad_input = nullptr;   // [N,C] contiguous, or null
  T* grad_weight = nullptr;  // [V,C] contiguous, or null
  T* grad_bias = nullptr;    // [V], or null
  T* workspace = nullptr;    // vocabulary_loss_workspace(…) elements, contents irrelevant
};
/// counted and words must be at least 1.
template <class T>
void vocabulary_loss(const VocabularyLoss<T>& p);

/// Elements of VocabularyLoss::workspace. With gradients: one packed copy of the weight, and for a block of rows its
/// exponentials (at most max(4 M, 48 V) elements) and the gradient of its inputs once per slice of the vocabulary.
std::int64_t vocabulary_loss_workspace(std::int64_t counted, std::int64_t channels,
                                       std::int64_t words, bool gradients);

}  // namespace attend::kernels
