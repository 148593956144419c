#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace attend::nn {

/// Which of a seed's streams of noise each row takes: row r that of number first + r.
struct NoiseRows {
  std::uint64_t seed = 0, first = 0;
  std::int64_t count = 0;
};

/// Standard normal numbers [steps,count,width] (Box & Muller 1958). Element (t,r,i) is a pure function of seed, stream first + r
/// and t · width + i, so a row's noise depends neither on the rows beside it nor on the number of threads. Made in float, so
/// that both dtypes hold the same numbers, at most 6.7 in size. About 10 ns an element and core.
at::Tensor normal_noise(const NoiseRows& rows, std::int64_t steps, std::int64_t width,
                        at::ScalarType dtype = at::kFloat);

}  // namespace attend::nn
