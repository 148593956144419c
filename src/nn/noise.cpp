#include "attend/nn/noise.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/base/threads.h"

namespace attend::nn {
namespace {

/// Apart from the streams that data sets are generated with, which count from 0.
constexpr std::uint64_t kNoiseStreams = std::uint64_t{1} << 63;

/// Four numbers from one block of random bits: cosine and sine of two pairs.
void four_normals(Random& random, float (&out)[4]) {
  constexpr float kTurn = 6.28318530717958647692f;
  for (int pair = 0; pair < 2; ++pair) {
    const float u = (static_cast<float>(random.bits()) + 1) * 0x1p-32f;  // in (0, 1]
    const float angle = kTurn * static_cast<float>(random.bits()) * 0x1p-32f;
    const float radius = std::sqrt(-2 * std::log(u));
    out[2 * pair] = radius * std::cos(angle), out[2 * pair + 1] = radius * std::sin(angle);
  }
}

/// The numbers of one row, `stride` apart from step to step.
template <class T>
void fill_row(const NoiseRows& rows, std::int64_t row, std::int64_t steps, std::int64_t width,
              T* out) {
  Random random(rows.seed, Purpose::kGenerate,
                kNoiseStreams | (rows.first + static_cast<std::uint64_t>(row)));
  float four[4] = {};
  int left = 0;
  for (std::int64_t t = 0; t < steps; ++t) {
    T* const step = out + (t * rows.count + row) * width;
    for (std::int64_t i = 0; i < width; ++i) {
      if (left == 0) four_normals(random, four), left = 4;
      step[i] = static_cast<T>(four[4 - left--]);
    }
  }
}

}  // namespace

at::Tensor normal_noise(const NoiseRows& rows, std::int64_t steps, std::int64_t width,
                        at::ScalarType dtype) {
  if (dtype != at::kFloat && dtype != at::kDouble)
    fail_usage("attend::nn::normal_noise: dtype must be float or double");
  const at::Tensor out = at::empty({steps, rows.count, width}, at::TensorOptions().dtype(dtype));
  const auto n = static_cast<int>(std::min<std::int64_t>(threads(), rows.count));
  parallel_run(n, [&](int part) {
    for (std::int64_t r = rows.count * part / n; r < rows.count * (part + 1) / n; ++r) {
      if (dtype == at::kFloat)
        fill_row(rows, r, steps, width, out.mutable_data_ptr<float>());
      else
        fill_row(rows, r, steps, width, out.mutable_data_ptr<double>());
    }
  });
  return out;
}

}  // namespace attend::nn
