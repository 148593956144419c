#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/relu.h>

#include "attend/ops/linear.h"

namespace attend::compose {

at::Tensor linear(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                  Activation activation) {
  const at::Tensor out = at::linear(input, weight, bias);  // […,O]
  switch (activation) {
    case Activation::kNone:
      break;
    case Activation::kRelu:
      return at::relu(out);
    case Activation::kGelu:
      return at::gelu(out, "none");
    case Activation::kGeluTanh:
      return at::gelu(out, "tanh");
  }
  return out;
}

}  // namespace attend::compose
