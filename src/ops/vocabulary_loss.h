#pragma once
#include "attend/ops/vocabulary_loss.h"

namespace attend {

/// The shapes, dtypes and ranges that every path asks for. Throws Error(kUsage).
void check_vocabulary_loss(const at::Tensor& input, const at::Tensor& weight,
                           const at::Tensor& bias, const at::Tensor& target,
                           const VocabularyLossOptions& options);

}  // namespace attend
