#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/dot.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "support/compare.h"

namespace attend::test {

/// A differentiable input and the name it is reported by.
struct Named {
  const char* name;
  at::Tensor value;  // float64
};

using Differentiable = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

/// Σ over outputs of <cotangent, output>, with cotangents that depend on the seed only.
inline at::Tensor contract(const std::vector<at::Tensor>& outputs, std::uint64_t seed) {
  at::Tensor sum;
  for (const at::Tensor& out : outputs) {
    const at::Tensor term = (out * random_tensor(out.sizes(), ++seed)).sum();
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

/// Compares autograd's gradient of f, contracted with a random cotangent, with central differences
/// in float64, for every element of every input. Cost: two evaluations of f per element. An input
/// that f ignores must have an undefined or zero gradient, which is compared too.
inline void expect_gradients(const Differentiable& f, const std::vector<Named>& inputs,
                             std::uint64_t seed = 7, double step = 1e-5, double tolerance = 1e-7) {
  std::vector<at::Tensor> leaves;
  for (const Named& in : inputs)
    leaves.push_back(in.value.detach().clone().set_requires_grad(true));
  const at::Tensor loss = contract(f(leaves), seed);
  const auto gradients = torch::autograd::grad({loss}, leaves, {}, false, false, true);
  const at::NoGradGuard no_grad;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    std::vector<at::Tensor> moved;
    for (const at::Tensor& leaf : leaves) moved.push_back(leaf.detach().clone());
    double* x = moved[k].mutable_data_ptr<double>();
    const at::Tensor ours = gradients[k].defined() ? gradients[k].contiguous() : at::Tensor();
    double largest = 0;
    std::vector<double> numeric;
    for (std::int64_t i = 0; i < moved[k].numel(); ++i) {
      const double at_x = x[i];
      x[i] = at_x + step;
      const double up = contract(f(moved), seed).item<double>();
      x[i] = at_x - step;
      const double down = contract(f(moved), seed).item<double>();
      x[i] = at_x;
      numeric.push_back((up - down) / (2 * step));
      largest = std::max(largest, std::abs(numeric.back()));
    }
    for (std::int64_t i = 0; i < moved[k].numel(); ++i) {
      const double analytic = ours.defined() ? ours.const_data_ptr<double>()[i] : 0;
      ASSERT_NEAR(analytic, numeric[static_cast<std::size_t>(i)],
                  tolerance * std::max(1.0, largest))
          << "gradient of " << inputs[k].name << ", element " << i;
    }
  }
}

}  // namespace attend::test
