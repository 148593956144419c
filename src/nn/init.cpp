#include "attend/nn/init.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"

namespace attend::nn {
namespace {

template <class Draw>
at::Tensor filled(const Shape& shape, at::ScalarType dtype, Draw draw) {
  const at::Tensor out = at::empty(shape, at::TensorOptions().dtype(dtype));
  const std::int64_t n = out.numel();
  if (dtype == at::kFloat) {
    float* p = out.data_ptr<float>();
    for (std::int64_t i = 0; i < n; ++i) p[i] = static_cast<float>(draw());
  } else if (dtype == at::kDouble) {
    double* p = out.data_ptr<double>();
    for (std::int64_t i = 0; i < n; ++i) p[i] = draw();
  } else {
    fail_usage("initialiser: dtype must be float or double");
  }
  return out;
}

/// Removes from column j of `q` (kept as rows of length n) its part along the columns before it.
void project_out(std::vector<double>& q, std::int64_t n, std::int64_t j) {
  double* v = q.data() + j * n;
  for (std::int64_t k = 0; k < j; ++k) {
    const double* u = q.data() + k * n;
    double lane[8] = {};  // eight partial sums: the order is fixed and the loop vectorises
    std::int64_t i = 0;
    for (; i + 8 <= n; i += 8)
      for (int l = 0; l < 8; ++l) lane[l] += u[i + l] * v[i + l];
    double dot = 0;
    for (; i < n; ++i) dot += u[i] * v[i];
    for (const double part : lane) dot += part;
    for (i = 0; i < n; ++i) v[i] -= dot * u[i];
  }
}

}  // namespace

at::Tensor uniform(const Shape& shape, double limit, Random& random, at::ScalarType dtype) {
  return filled(shape, dtype, [&] { return limit * (2.0 * random.uniform() - 1.0); });
}

at::Tensor normal(const Shape& shape, double deviation, Random& random, at::ScalarType dtype) {
  return filled(shape, dtype, [&] { return deviation * random.normal(); });
}

at::Tensor glorot_uniform(const Shape& shape, std::int64_t fan_in, std::int64_t fan_out,
                          Random& random, at::ScalarType dtype) {
  const double limit = std::sqrt(6.0 / static_cast<double>(fan_in + fan_out));
  return uniform(shape, limit, random, dtype);
}

at::Tensor orthogonal(std::int64_t rows, std::int64_t columns, Random& random,
                      at::ScalarType dtype) {
  // Modified Gram–Schmidt gives the one QR whose R has a positive diagonal, so no sign is left to
  // fix. Each column is projected twice, which makes Q orthonormal to rounding (Giraud et al. 2005).
  const std::int64_t n = std::max(rows, columns), m = std::min(rows, columns);
  std::vector<double> q(static_cast<std::size_t>(n * m));
  for (double& x : q) x = random.normal();
  for (std::int64_t j = 0; j < m; ++j) {
    project_out(q, n, j);
    project_out(q, n, j);
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += q[j * n + i] * q[j * n + i];
    const double scale = 1.0 / std::sqrt(sum);
    for (std::int64_t i = 0; i < n; ++i) q[j * n + i] *= scale;
  }
  // q holds the m vectors one after the other: the matrix itself when rows ≤ columns.
  std::int64_t at = 0;
  return filled({rows, columns}, dtype, [&] {
    const std::int64_t r = at / columns, c = at % columns;
    ++at;
    return rows <= columns ? q[r * n + c] : q[c * n + r];
  });
}

}  // namespace attend::nn
