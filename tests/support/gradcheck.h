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
#include <utility>
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

struct ParameterCheck {
  std::int64_t most = 12;  // elements of each parameter, evenly spread; 0: all of them
  bool may_be_unused =
      false;  // a parameter that the loss ignores is compared with 0; else it fails
  double absolute = 2e-7,
         relative = 2e-7;  // an error may be the larger of absolute and relative · |numeric|
};

/// Compares autograd's gradient of `loss` with central differences in float64 for elements of every parameter that asks for one.
inline void expect_parameter_gradients(
    const std::function<at::Tensor()>& loss,
    const std::vector<std::pair<std::string, at::Tensor>>& parameters,
    const ParameterCheck& check = {}) {
  std::vector<std::string> names;
  std::vector<at::Tensor> leaves;
  for (const auto& [name, leaf] : parameters)
    if (leaf.requires_grad()) names.push_back(name), leaves.push_back(leaf);
  const auto gradients =
      torch::autograd::grad({loss()}, leaves, {}, false, false, check.may_be_unused);
  const at::NoGradGuard off;
  for (std::size_t k = 0; k < leaves.size(); ++k) {
    double* x = leaves[k].mutable_data_ptr<double>();
    const at::Tensor ours = gradients[k].defined() ? gradients[k].contiguous() : at::Tensor();
    const std::int64_t n = leaves[k].numel();
    const std::int64_t stride = check.most > 0 ? std::max<std::int64_t>(1, n / check.most) : 1;
    for (std::int64_t i = 0; i < n; i += stride) {
      const double at_x = x[i], step = 1e-5;
      x[i] = at_x + step;
      const double up = loss().item<double>();
      x[i] = at_x - step;
      const double down = loss().item<double>();
      x[i] = at_x;
      const double numeric = (up - down) / (2 * step);
      ASSERT_NEAR(ours.defined() ? ours.const_data_ptr<double>()[i] : 0, numeric,
                  std::max(check.absolute, check.relative * std::abs(numeric)))
          << names[k] << ", element " << i;
    }
  }
}

}  // namespace attend::test
