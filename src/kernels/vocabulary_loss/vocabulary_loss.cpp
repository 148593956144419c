// Vocabulary loss: include/attend/kernels/vocabulary_loss.h has the equations, plan.h how the work is cut.
//
// Logits are made as [word][row]: lanes are rows, so the softmax's maximum and sum are vertical, and words of the weight are
// read by broadcast. A slice of the vocabulary keeps exp(l − its own maximum) and Σ_j exp(…) w_j; when every slice has its sum,
// each is worth exp(its maximum − the largest) / Σ, so nothing is computed twice: making the logits again for the backward
// would be a fourth product beside the three. The label and the smoothing are rank-1 terms, added at the end.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/vocabulary_loss/vocabulary_loss.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd/target.h"
#include "kernels/vocabulary_loss/steps-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

void vocabulary_step_float(const VocabularyBlock<float>& block, VocabularyStep step,
                           std::int64_t index) {
  note_simd_target(HWY_TARGET);
  run_step(block, step, index);
}
void vocabulary_step_double(const VocabularyBlock<double>& block, VocabularyStep step,
                            std::int64_t index) {
  note_simd_target(HWY_TARGET);
  run_step(block, step, index);
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <type_traits>

#include "attend/base/threads.h"

namespace attend::kernels {
namespace {

HWY_EXPORT(vocabulary_step_float);
HWY_EXPORT(vocabulary_step_double);

template <class T>
void dispatch_step(const VocabularyBlock<T>& block, VocabularyStep step, std::int64_t index) {
  if constexpr (std::is_same_v<T, float>)
    HWY_DYNAMIC_DISPATCH(vocabulary_step_float)(block, step, index);
  else
    HWY_DYNAMIC_DISPATCH(vocabulary_step_double)(block, step, index);
}

// Below this many multiply-adds in a block a parallel region costs more than it saves.
constexpr std::int64_t kParallelWork = 1 << 18;

}  // namespace

std::int64_t vocabulary_loss_workspace(std::int64_t counted, std::int64_t channels,
                                       std::int64_t words, bool gradients) {
  return VocabularyPlan(counted, channels, words, gradients).size;
}

template <class T>
void vocabulary_loss(const VocabularyLoss<T>& p) {
  const bool for_words = p.grad_weight || p.grad_bias;
  const VocabularyPlan plan(p.counted, p.channels, p.words, p.grad_input || for_words);
  for (std::int64_t first = 0; first < p.counted; first += plan.block) {
    const VocabularyBlock<T> block{p, plan, first, std::min(plan.block, p.counted - first)};
    const bool alone = block.rows * p.words * (p.channels + 1) < kParallelWork;
    const auto each = [&](VocabularyStep step, std::int64_t n) {
      if (alone)
        for (std::int64_t i = 0; i < n; ++i) dispatch_step(block, step, i);
      else
        parallel_run(static_cast<int>(n), [&](int i) { dispatch_step(block, step, i); });
    };
    const std::int64_t groups = VocabularyPlan::ceil_div(block.rows, VocabularyPlan::kRowGroup);
    each(VocabularyStep::kTranspose, groups);
    each(VocabularyStep::kSliceForward, plan.slices);
    dispatch_step(block, VocabularyStep::kSum, 0);
    each(VocabularyStep::kMergeRows, groups);
    if (for_words) each(VocabularyStep::kSliceBackward, plan.slices);
  }
}

template void vocabulary_loss(const VocabularyLoss<float>&);
template void vocabulary_loss(const VocabularyLoss<double>&);

}  // namespace attend::kernels
#endif  // HWY_ONCE
