#pragma once
#include <ATen/core/Tensor.h>
#include <attend/base/random.h>

#include <cstdint>
#include <vector>

/// Keras' initialisers. Numbers are drawn from `random` in double, in row-major order of the shape
/// written here, and rounded to `dtype` (float or double): the same bits on every machine.
namespace attend::nn {

/// The seed of one part of a model, so that parts with streams of equal numbers draw other numbers.
inline std::uint64_t seed_of_part(std::uint64_t seed, std::uint64_t part) {
  return seed + part * 0x9e3779b97f4a7c15u;
}

using Shape = std::vector<std::int64_t>;

/// U(−limit, limit).
at::Tensor uniform(const Shape& shape, double limit, Random& random,
                   at::ScalarType dtype = at::kFloat);
/// N(0, deviation²).
at::Tensor normal(const Shape& shape, double deviation, Random& random,
                  at::ScalarType dtype = at::kFloat);
/// U(−l, l) with l = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16). Keras takes the
/// fans from the whole kernel: an LSTM's [I,4H] has fan_out 4H, not H.
at::Tensor glorot_uniform(const Shape& shape, std::int64_t fan_in, std::int64_t fan_out,
                          Random& random, at::ScalarType dtype = at::kFloat);
/// A random matrix with orthonormal rows (rows ≤ columns) or columns: Q of the QR of a normal
/// matrix, each column's sign that of R's diagonal, so that it is uniform over the orthogonal
/// matrices (Saxe et al. 2014; Mezzadri 2007). Keras' orthogonal on a recurrent kernel [H,4H] is
/// orthogonal(H, 4H) here; transpose it for this library's [4H,H]. O(rows · columns · min) time.
at::Tensor orthogonal(std::int64_t rows, std::int64_t columns, Random& random,
                      at::ScalarType dtype = at::kFloat);

}  // namespace attend::nn
