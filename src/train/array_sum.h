#pragma once
#include <ATen/core/Tensor.h>

#include "attend/train/ranks.h"

namespace attend::train {

/// One array of float32 on every rank, to be summed over ranks in every step. Where all ranks are on one machine it lies in memory
/// that they share: rank r adds up the r-th part for all, and Gloo only tells that all have come so far. Gloo itself sends
/// through TCP even there, which took a sixth of a training's time (docs/training.md). Else Gloo sums.
class ArraySum {
 public:
  /// Collective. `own` [elements] float32 contiguous is where the array lies if it can't be shared. Throws LostRank.
  ArraySum(Ranks& ranks, const at::Tensor& own);

  /// [elements], to be filled with this rank's part before sum(), and not touched from then on until it returns.
  const at::Tensor& mine() const { return mine_; }
  bool shared() const { return mine_.data_ptr() != own_.data_ptr(); }

  /// The sum of all ranks' mine(), the same bits on every rank; valid until the next call. `figures` (float64) become their sums
  /// as well. Throws LostRank.
  at::Tensor sum(const at::Tensor& figures);

 private:
  void share();
  void add_own_part();

  Ranks& ranks_;
  at::Tensor own_, mine_;
  at::Tensor
      memory_;  // [ranks + 1, elements]: what each has, and the sum; undefined where nothing is shared
};

}  // namespace attend::train
