// DRAW's read and write without torch: against the paper's equations in long double, on every SIMD target, inside NaN bands.
//
// Faults that were planted in src/kernels/filterbank and seen to fail here: every channel's kept F_Y image in the first one's
// place; every filter divided by the first one's sum; sums of the second four filters in the place of the first; dF_Y, or dF_X, of
// a later channel set and not added; the factor of a product lost where it is added; exponents not relative to the nearest
// pixel; A for its transpose; the turned image read in its padding; ds not centred; Gaussians behind the last pixel; the spread of
// the filters without their places; write's intensity with the sign of read's, or of the last filter alone; pixels of later
// vectors taken for those of the first; a patch that is not scaled; the last row of the batch left out.
// Not seen: the limit of the exponential that loses a NaN (a filter of nothing but zeros is 0/0 anyway), and one scratch for all
// parts (a race, which did not show in a run on busy cores).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attend/base/random.h"
#include "attend/kernels/filterbank.h"
#include "support/guard.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

struct Case {
  std::int64_t batch, channels, height, width, filters;
  int offset;  // elements after a 64-byte boundary
};

// All sizes 1; one off the vector lengths 4, 8, 16 and the tile of 8 filters; taller than wide and wider than tall; DRAW's own.
const Case kCases[] = {
    {1, 1, 1, 1, 1, 0},   {2, 1, 3, 5, 2, 1},   {3, 2, 17, 15, 3, 3}, {1, 1, 16, 33, 7, 1},
    {2, 3, 32, 16, 8, 0}, {5, 1, 28, 28, 2, 0}, {5, 2, 28, 28, 5, 1}, {17, 1, 28, 28, 12, 0},
    {2, 1, 9, 31, 17, 5}, {33, 1, 7, 64, 9, 1},
};

/// Every array of a read and a write with the same windows; rows of images have gaps between them, filled with NaN.
template <class T>
struct Problem {
  explicit Problem(const Case& c)
      : shape{c.batch, c.channels, c.height, c.width, c.filters},
        row(c.width + 3),
        window(c.batch * 5, c.offset),
        image(c.batch * c.channels * c.height * row, c.offset),
        grad_image_in(image.size(), c.offset),
        patch(c.batch * c.channels * c.filters * c.filters, c.offset),
        grad_patch_in(patch.size(), c.offset),
        read(patch.size(), c.offset),
        written(c.batch * c.channels * c.height * c.width, c.offset),
        grad_image(written.size(), c.offset),
        grad_patch(patch.size(), c.offset),
        read_window(c.batch * 5, c.offset),
        write_window(c.batch * 5, c.offset),
        workspace(filterbank_workspace(shape), c.offset),
        read_kept(c.batch * filterbank_read_kept(shape), c.offset),
        write_kept(c.batch * filterbank_write_kept(shape), c.offset) {
    Random random(4, Purpose::kGenerate);
    for (std::int64_t i = 0; i < window.size(); ++i)
      window[i] = static_cast<T>(0.4 * random.normal());
    for (auto* a : {&image, &grad_image_in})
      for (std::int64_t i = 0; i < a->size(); ++i)
        if (i % row < c.width) (*a)[i] = static_cast<T>(random.normal());
    for (auto* a : {&patch, &grad_patch_in})
      for (std::int64_t i = 0; i < a->size(); ++i) (*a)[i] = static_cast<T>(random.normal());
  }

  void run(bool keep = false) {
    const std::int64_t channel = shape.height * row, batch = shape.channels * channel;
    FilterbankReadBackward<T> r;
    r.forward = {shape,   window.data(), image.data(), batch,
                 channel, row,           read.data(),  workspace.data()};
    r.grad_output = grad_patch_in.data(), r.grad_image = grad_image.data(),
    r.grad_window = read_window.data();
    FilterbankWriteBackward<T> w;
    w.forward = {shape, window.data(), patch.data(), written.data(), workspace.data()};
    w.grad_output = grad_image_in.data(), w.batch_stride = batch, w.channel_stride = channel,
    w.row_stride = row;
    w.grad_patch = grad_patch.data(), w.grad_window = write_window.data();
    if (keep) r.forward.kept = read_kept.data(), w.forward.kept = write_kept.data();
    filterbank_read(r.forward);
    filterbank_read_backward(r);
    filterbank_write(w.forward);
    filterbank_write_backward(w);
    for (auto* a :
         {&window, &image, &grad_image_in, &patch, &grad_patch_in, &read, &written, &grad_image,
          &grad_patch, &read_window, &write_window, &workspace, &read_kept, &write_kept})
      EXPECT_TRUE(a->intact()) << "wrote outside an array";
  }

  std::vector<std::vector<T>> results() const {
    return {read.values(),    grad_image.values(), read_window.values(),
            written.values(), grad_patch.values(), write_window.values()};
  }

  FilterbankShape shape;
  std::int64_t row;
  test::Guarded<T> window, image, grad_image_in, patch, grad_patch_in, read, written, grad_image,
      grad_patch, read_window, write_window, workspace, read_kept, write_kept;
};

using Real = long double;

/// Equations 22 to 26 as the paper has them, counting pixels and filters from 1, in R's arithmetic; [N][size]. The smallest
/// distance is subtracted from all, which the quotient does not feel, so that float finds no 0/0 either.
template <class R>
std::vector<R> bank(const FilterbankShape& s, const R* window, int axis) {
  const std::int64_t size = axis == 0 ? s.width : s.height, n = s.filters;
  const R g = R(size + 1) / 2 * (window[axis] + 1), variance = std::exp(window[2]);
  const R stride =
      n == 1 ? R(0) : R(std::max(s.width, s.height) - 1) / R(n - 1) * std::exp(window[3]);
  std::vector<R> f(n * size);
  for (std::int64_t i = 0; i < n; ++i) {
    const R mean = g + (R(i + 1) - R(n) / 2 - R(0.5)) * stride;
    const auto distance = [&](std::int64_t a) { return (R(a + 1) - mean) * (R(a + 1) - mean); };
    R least = distance(0), sum = 0;
    for (std::int64_t a = 0; a < size; ++a) least = std::min(least, distance(a));
    for (std::int64_t a = 0; a < size; ++a)
      sum += f[i * size + a] = std::exp(-(distance(a) - least) / (2 * variance));
    for (std::int64_t a = 0; a < size; ++a) f[i * size + a] /= sum;
  }
  return f;
}

/// What a row of the batch gives, in R's arithmetic.
template <class R>
struct RowResult {
  std::vector<R> read, written, grad_image, grad_patch;  // equations 27 and 29, and their gradients
  R read_sum = 0, written_sum = 0;                       // Σ cotangent · output
};

template <class R, class T>
RowResult<R> by_the_equations(const Problem<T>& q, std::int64_t b, const R* window) {
  const FilterbankShape& s = q.shape;
  const std::vector<R> rows = bank(s, window, 1), columns = bank(s, window, 0);
  const R intensity = std::exp(window[4]);
  const std::size_t side = s.channels * s.filters * s.filters,
                    area = s.channels * s.height * s.width;
  RowResult<R> r{std::vector<R>(side), std::vector<R>(area), std::vector<R>(area),
                 std::vector<R>(side)};
  for (std::int64_t c = 0; c < s.channels; ++c)
    for (std::int64_t i = 0; i < s.filters; ++i)
      for (std::int64_t j = 0; j < s.filters; ++j)
        for (std::int64_t y = 0; y < s.height; ++y)
          for (std::int64_t x = 0; x < s.width; ++x) {
            const R f = rows[i * s.height + y] * columns[j * s.width + x];
            const std::int64_t patch = (c * s.filters + i) * s.filters + j,
                               image = (c * s.height + y) * s.width + x;
            const std::int64_t in_patch = b * static_cast<std::int64_t>(side) + patch;
            const std::int64_t in_image = ((b * s.channels + c) * s.height + y) * q.row + x;
            r.read[patch] += intensity * f * q.image[in_image];
            r.written[image] += f / intensity * q.patch[in_patch];
            r.grad_image[image] += intensity * f * q.grad_patch_in[in_patch];
            r.grad_patch[patch] += f / intensity * q.grad_image_in[in_image];
            r.read_sum += q.grad_patch_in[in_patch] * intensity * f * q.image[in_image];
            r.written_sum += q.grad_image_in[in_image] * f / intensity * q.patch[in_patch];
          }
  return r;
}

template <class A>
Real relative_error(const A* a, const std::vector<Real>& truth) {
  Real off = 0, norm = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    off += (a[i] - truth[i]) * (a[i] - truth[i]);
    norm += truth[i] * truth[i];
  }
  return norm > 0 ? std::sqrt(off / norm) : std::sqrt(off);
}

/// One batch row: values at most twice as wrong as the equations themselves in T, plus 4 eps. The window's gradient against
/// central differences of the equations in long double.
template <class T>
void check_row(const Problem<T>& q, std::int64_t b) {
  constexpr Real kEps = std::numeric_limits<T>::epsilon();
  Real window[5];
  std::copy_n(q.window.data() + b * 5, 5, window);
  const auto truth = by_the_equations<Real>(q, b, window);
  const auto theirs = by_the_equations<T>(q, b, q.window.data() + b * 5);
  const auto check = [&](const char* what, const test::Guarded<T>& ours, const std::vector<T>& in_t,
                         const std::vector<Real>& exact) {
    const Real error =
        relative_error(ours.data() + b * static_cast<std::int64_t>(exact.size()), exact);
    EXPECT_LE(error, 2 * relative_error(in_t.data(), exact) + 4 * kEps) << what;
  };
  check("read", q.read, theirs.read, truth.read);
  check("write", q.written, theirs.written, truth.written);
  check("image gradient of read", q.grad_image, theirs.grad_image, truth.grad_image);
  check("patch gradient of write", q.grad_patch, theirs.grad_patch, truth.grad_patch);
  std::vector<Real> read_gradient(5), write_gradient(5);
  for (int i = 0; i < 5; ++i) {
    const Real at = window[i], step = 2e-8L;
    window[i] = at + step;
    const auto up = by_the_equations<Real>(q, b, window);
    window[i] = at - step;
    const auto down = by_the_equations<Real>(q, b, window);
    window[i] = at;
    read_gradient[i] = (up.read_sum - down.read_sum) / (2 * step);
    write_gradient[i] = (up.written_sum - down.written_sum) / (2 * step);
  }
  // The filters' own error in T, several times over, and that of the differences: step² · 32³ (a centre moves by half an image)
  // and 1e-19/step.
  const Real filters = std::max(relative_error(theirs.grad_image.data(), truth.grad_image),
                                relative_error(theirs.grad_patch.data(), truth.grad_patch));
  const Real tolerance = 8 * filters + 64 * kEps + 1e-10L;
  EXPECT_LE(relative_error(q.read_window.data() + b * 5, read_gradient), tolerance)
      << "window gradient of read";
  EXPECT_LE(relative_error(q.write_window.data() + b * 5, write_gradient), tolerance)
      << "window gradient of write";
}

template <class T>
void check_all_cases() {
  test::for_each_target([&] {
    for (const Case& c : kCases) {
      SCOPED_TRACE(::testing::Message() << "B " << c.batch << " C " << c.channels << " " << c.height
                                        << " x " << c.width << " N " << c.filters);
      Problem<T> q(c);
      q.run();
      for (const std::int64_t b : {std::int64_t{0}, c.batch / 2, c.batch - 1}) check_row(q, b);
    }
  });
}

TEST(FilterbankKernel, FloatFollowsTheEquationsOnEveryTarget) { check_all_cases<float>(); }
TEST(FilterbankKernel, DoubleFollowsTheEquationsOnEveryTarget) { check_all_cases<double>(); }

TEST(FilterbankKernel, TheSameBitsOnAnyNumberOfThreads) {
  std::vector<std::vector<float>> first;
  for (const int n : {1, 2, 3, 2}) {
    const test::WithThreads with(n);
    Problem<float> q({100, 2, 28, 28, 5, 0});
    q.run();
    if (first.empty()) first = q.results();
    EXPECT_EQ(q.results(), first) << n << " threads";
  }
}

TEST(FilterbankKernel, WhatForwardKeepsChangesNoBitOnAnyTarget) {
  test::for_each_target([&] {
    for (const Case& c : kCases) {
      Problem<float> made(c), kept(c);
      made.run();
      kept.run(/*keep=*/true);
      EXPECT_EQ(kept.results(), made.results()) << "N " << c.filters << ", C " << c.channels;
    }
  });
}

TEST(FilterbankKernel, ExtremeWindowsGiveNumbersOnEveryTarget) {
  test::for_each_target([&] {
    const float huge = std::numeric_limits<float>::max();
    for (int which = 0; which < 5; ++which)
      for (const float value : {-huge, -1e5f, -100.0f, -40.0f, 40.0f, 100.0f, 1e5f, huge}) {
        Problem<float> q({2, 1, 28, 20, 3, 0});
        for (int i = 0; i < 2; ++i) q.window[5 * i + which] = value;
        q.run();
        for (const auto& array : q.results())
          for (const float x : array)
            ASSERT_TRUE(std::isfinite(x)) << "number " << which << " = " << value;
      }
  });
}

TEST(FilterbankKernel, NaNShowsInItsRowOnEveryTarget) {
  test::for_each_target([&] {
    for (int which = 0; which < 5; ++which) {
      Problem<float> q({3, 1, 9, 7, 3, 0});
      q.window[5 + which] = std::numeric_limits<float>::quiet_NaN();
      q.run();
      for (std::int64_t i = 0; i < q.read.size(); ++i)
        EXPECT_EQ(std::isnan(q.read[i]), i / 9 == 1) << which;
    }
  });
}

}  // namespace
}  // namespace attend::kernels
