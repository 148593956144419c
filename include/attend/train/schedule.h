#pragma once
#include <cstdint>

#include "attend/train/recipe.h"

namespace attend::train {

/// Learning rate of step `step` (from 0) in a training of `total` steps, `per_epoch` to an epoch.
/// With w = warmup epochs in steps, x = (step − w)/(total − w), e = (step − w)/per_epoch and r =
/// final:
///   step < w     lr · (step + 1)/w
///   constant     lr
///   linear       lr · (1 − (1 − r)x)
///   cosine       lr · (r + (1 − r)(1 + cos πx)/2)      (Loshchilov & Hutter 2017, eq. 5, without
///   restarts) exponential  lr · decay^(e/every) step         lr · decay^⌊e/every⌋
///   inverse-sqrt lr · √(w / (step + 1)), with w = max(warmup steps, 1)      (Vaswani et al. 2017, eq. 3, with its peak as lr)
/// A pure function, so that a resumed training needs no state.
double learning_rate(const Recipe::Optim& optim, std::int64_t step, std::int64_t total,
                     std::int64_t per_epoch);

}  // namespace attend::train
