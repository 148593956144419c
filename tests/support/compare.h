#pragma once
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "attend/base/random.h"

namespace attend::test {

/// Uniform in [−scale, scale), the same numbers for the same seed everywhere.
inline at::Tensor random_tensor(at::IntArrayRef sizes, std::uint64_t seed, double scale = 1,
                                at::ScalarType dtype = at::kDouble) {
  at::Tensor t = at::empty(sizes, at::TensorOptions(at::kDouble));
  Random random(seed, Purpose::kGenerate);
  double* values = t.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < t.numel(); ++i) values[i] = scale * (2 * random.uniform() - 1);
  return t.to(dtype);
}

/// ‖a − truth‖ / ‖truth‖ in double (‖a‖ when truth is 0).
inline double relative_error(const at::Tensor& a, const at::Tensor& truth) {
  const at::Tensor t = truth.detach().to(at::kDouble), d = a.detach().to(at::kDouble) - t;
  const double norm = at::linalg_vector_norm(t).item<double>(),
               off = at::linalg_vector_norm(d).item<double>();
  return norm > 0 ? off / norm : off;
}

inline double epsilon_of(at::ScalarType dtype) {
  return dtype == at::kDouble ? std::numeric_limits<double>::epsilon()
                              : std::numeric_limits<float>::epsilon();
}

/// The house's rule for a value or a gradient, in relative norms and never a bare 1e-3: our error
/// against the composition in float64 is at most twice the composition's own error in our dtype,
/// plus 4 eps. For float64 results there is no finer truth; give the composition in float32 then.
/// Its error is scaled by the ratio of the two eps and allowed once more, for the truth has it too.
inline ::testing::AssertionResult as_good_as(const at::Tensor& ours, const at::Tensor& composition,
                                             const at::Tensor& truth) {
  if (!ours.defined()) return ::testing::AssertionFailure() << "ours is undefined";
  if (ours.sizes() != truth.sizes())
    return ::testing::AssertionFailure() << "shape " << ours.sizes() << " is not " << truth.sizes();
  if (ours.numel() == 0) return ::testing::AssertionSuccess();
  const double eps = epsilon_of(ours.scalar_type());
  const double theirs =
      relative_error(composition, truth) * eps / epsilon_of(composition.scalar_type());
  const double error = relative_error(ours, truth);
  const double limit = (ours.scalar_type() == truth.scalar_type() ? 3 : 2) * theirs + 4 * eps;
  if (error <= limit) return ::testing::AssertionSuccess();  // NaN fails here
  return ::testing::AssertionFailure() << "relative error " << error << " is above " << limit
                                       << " (the composition's own: " << theirs << ")";
}

/// Bit for bit, NaN where NaN.
inline ::testing::AssertionResult same_bits(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes())
    return ::testing::AssertionFailure() << "shape " << a.sizes() << " is not " << b.sizes();
  const auto nan_to_0 = [](const at::Tensor& t) { return t.masked_fill(at::isnan(t), 0); };
  if (at::equal(at::isnan(a), at::isnan(b)) && at::equal(nan_to_0(a), nan_to_0(b)))
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "not the same bits; relative error " << relative_error(a, b);
}

}  // namespace attend::test
