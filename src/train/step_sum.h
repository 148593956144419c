#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "attend/models/classifier.h"
#include "attend/train/ranks.h"
#include "train/array_sum.h"
#include "train/task.h"

namespace attend::train {

/// What a step found: loss (mean over the tally's rows; 0 without rows), the tally of its rows, and the signal that asks to stop.
struct StepSums {
  double loss = 0;
  Tally tally;
  int signal = 0;  // 0 = none
};

/// Makes the gradients of a step that ranks share out those of the whole step. A rank r that holds w_r of W = Σ w_r rows (or
/// tokens: whatever its loss is a mean over) has the gradient g_r of its own mean, and g = Σ (w_r/W) g_r, so that g does not
/// depend on how the rows were shared out. To save a pass over them, ranks differentiate w_r · mean and hand in w_r g_r.
class StepSum {
 public:
  StepSum(Ranks& ranks, const models::NamedTensors& parameters);

  /// The rows of `rows` that this rank takes: every size()-th, so that long and short rows are dealt out evenly. Perhaps none.
  at::Tensor share(const at::Tensor& rows) const;

  /// `mine` and the gradients of this rank (w_r g_r) -> those of the step, the same bits on every rank. A parameter that no rank
  /// has a gradient of keeps none; one that a rank lacks counts as 0 there. Cost: two passes over the gradients and
  /// an ArraySum of all of them as float32. Throws LostRank; `mine` and parameters are then as before, gradients are not.
  StepSums sum(const StepSums& mine);

 private:
  Ranks& ranks_;
  const models::NamedTensors parameters_;
  at::Tensor flat_;  // [Σ elements]
  ArraySum array_;
  std::vector<at::Tensor> gradients_,
      given_;  // views of flat_ and array_.mine() in the parameters' shapes
};

}  // namespace attend::train
