#include "kernels/gru/layout.h"

namespace attend::kernels {

std::int64_t gru_saved_size(const LstmPlan& plan) { return plan.saved_size(); }

std::int64_t gru_forward_workspace(const LstmPlan& plan, bool training) {
  const LstmLayout layout(plan.shape());
  LstmPieces<float> pieces(nullptr);
  GruMatrices<float>().take_forward(pieces, plan.shape());
  GruStart<float>().take(pieces, plan.shape());
  for (const auto& slice : plan.slices())
    LstmForwardScratch<float>().take(pieces, layout, slice, training);
  return pieces.used();
}

std::int64_t gru_backward_workspace(const LstmPlan& plan) {
  const LstmLayout layout(plan.shape());
  LstmPieces<float> pieces(nullptr);
  GruMatrices<float>().take_backward(pieces, plan.shape());
  GruStart<float>().take(pieces, plan.shape());
  for (const auto& slice : plan.slices())
    GruBackwardScratch<float>().take(pieces, plan.shape(), layout, slice);
  return pieces.used();
}

}  // namespace attend::kernels
