#include "attend/nn/layer_norm.h"

#include <ATen/ops/layer_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <ostream>

#include "attend/base/error.h"

namespace attend::nn {

LayerNormImpl::LayerNormImpl(const LayerNormOptions& given) : options(given) { reset(); }

void LayerNormImpl::reset() {
  const std::int64_t width = options.width();
  if (width < 1 || !(options.eps() >= 0) || !std::isfinite(options.eps()))
    fail_usage("attend::nn::LayerNorm: width must be at least 1 and eps finite and not negative");
  weight = register_parameter("weight", at::ones({width}));
  bias = register_parameter("bias", options.bias() ? at::zeros({width}) : at::Tensor(),
                            options.bias());
}

void LayerNormImpl::pretty_print(std::ostream& stream) const {
  stream << "attend::LayerNorm(" << options.width() << ", eps=" << options.eps()
         << ", bias=" << (options.bias() ? "true" : "false") << ")";
}

at::Tensor LayerNormImpl::forward(const at::Tensor& input) {
  const std::int64_t width = options.width();
  if (input.dim() < 1 || input.size(-1) != width)
    fail_usage("attend::nn::LayerNorm: input must be […,C] with C=" + std::to_string(width));
  return at::layer_norm(input, {width}, weight, bias, options.eps());
}

}  // namespace attend::nn
