#include "attend/nn/linear.h"

#include <cmath>
#include <ostream>

#include "attend/base/error.h"
#include "attend/nn/init.h"

namespace attend::nn {

LinearImpl::LinearImpl(const LinearOptions& given) : options(given) { reset(); }

void LinearImpl::reset() {
  const std::int64_t in = options.in_features(), out = options.out_features();
  if (in < 1 || out < 1)
    fail_usage("attend::nn::Linear: in_features and out_features must be at least 1");
  const double limit = 1 / std::sqrt(static_cast<double>(in));
  Random random(options.seed(), Purpose::kInit, 2);
  weight = register_parameter("weight", uniform({out, in}, limit, random));
  bias = register_parameter("bias", options.bias() ? uniform({out}, limit, random) : at::Tensor(),
                            options.bias());
}

void LinearImpl::pretty_print(std::ostream& stream) const {
  stream << "attend::Linear(" << options.in_features() << ", " << options.out_features()
         << ", bias=" << (options.bias() ? "true" : "false") << ")";
}

at::Tensor LinearImpl::forward(const at::Tensor& input, Activation activation) {
  return linear(input, weight, bias, activation);
}

}  // namespace attend::nn
