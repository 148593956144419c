#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace attend {

using TensorList = std::vector<at::Tensor>;

/// Gradients of `inputs` for cotangents of what `compose` returns, as differentiable expressions through the definition of an
/// op: for second derivatives, and for outputs whose gradient has no kernel. Inputs that ask for no gradient get an undefined
/// tensor; undefined cotangents are skipped. Cost: the composition's.
TensorList gradients_by_recomposing(const TensorList& inputs, const TensorList& cotangents,
                                    const std::function<TensorList(const TensorList&)>& compose);

}  // namespace attend
