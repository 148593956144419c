// The matrix product beside float64 loops: every SIMD target, all four ways to transpose, sizes around the tile and the
// stretch, guard bands, threads, NaN.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attend/base/random.h"
#include "attend/kernels/gemm.h"
#include "support/guard.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

using test::Guarded;

template <class T>
struct Problem {
  Problem(std::int64_t m, std::int64_t n, std::int64_t k, bool a_flat, bool b_flat, int offset = 1)
      : a((m + 1) * (k + 1), offset),
        b((n + 1) * (k + 1), offset),
        c(m * (n + 3), offset),
        bias(n, offset) {
    p.rows = m, p.columns = n, p.depth = k;
    p.a = a.data(), p.a_row = a_flat ? k + 1 : 1, p.a_depth = a_flat ? 1 : m + 1;
    p.b = b.data(), p.b_depth = b_flat ? n + 1 : 1, p.b_column = b_flat ? 1 : k + 1;
    p.c = c.data(), p.c_row = n + 3;
    p.bias = bias.data();
    Random random(static_cast<std::uint64_t>(m * 1000003 + n * 1009 + k), Purpose::kGenerate);
    const auto draw = [&] { return static_cast<T>(2 * random.uniform() - 1); };
    for (std::int64_t i = 0; i < m; ++i)  // what lies between the lines stays NaN
      for (std::int64_t j = 0; j < k; ++j) a[i * p.a_row + j * p.a_depth] = draw();
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < k; ++j) b[j * p.b_depth + i * p.b_column] = draw();
    for (std::int64_t i = 0; i < n; ++i) bias[i] = draw();
  }

  void run() {
    const std::int64_t size = gemm_workspace(p);
    Guarded<T> workspace(size);
    p.workspace = workspace.data();
    gemm(p);
    EXPECT_TRUE(workspace.intact());
    EXPECT_TRUE(c.intact());
  }

  /// Compares with the formula: |error| ≤ (K + 2) eps Σ |a b|, the bound of any order of adding up.
  void expect_right() const {
    for (std::int64_t i = 0; i < p.rows; ++i)
      for (std::int64_t j = 0; j < p.columns; ++j) {
        double sum = p.bias ? static_cast<double>(bias[j]) : 0, size = std::abs(sum);
        for (std::int64_t k = 0; k < p.depth; ++k) {
          const double term = static_cast<double>(a[i * p.a_row + k * p.a_depth]) *
                              static_cast<double>(b[k * p.b_depth + j * p.b_column]);
          sum += term;
          size += std::abs(term);
        }
        if (p.finish == GemmFinish::kRelu) sum = std::max(sum, 0.0);
        const double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
        ASSERT_NEAR(static_cast<double>(c[i * p.c_row + j]), sum,
                    static_cast<double>(p.depth + 2) * eps * size + 1e-300)
            << "element " << i << ", " << j << " of " << p.rows << " x " << p.columns << " x "
            << p.depth;
      }
  }
  void expect_gaps_untouched() const {
    for (std::int64_t i = 0; i + 1 < p.rows; ++i)
      for (std::int64_t j = p.columns; j < p.c_row; ++j)
        ASSERT_TRUE(std::isnan(c[i * p.c_row + j]));
  }

  Guarded<T> a, b, c, bias;
  Gemm<T> p;
};

template <class T>
class GemmKernel : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GemmKernel, Types);

TYPED_TEST(GemmKernel, IsTheFormulaOnEveryTarget) {
  test::for_each_target([] {
    for (const std::int64_t m : {1, 5, 6, 7, 13, 14, 15, 29})
      for (const std::int64_t n : {1, 3, 8, 15, 16, 17, 31, 32, 33, 65})
        for (const bool a_flat : {true, false})
          for (const bool b_flat : {true, false}) {
            Problem<TypeParam> problem(m, n, 1 + (m * 7 + n) % 40, a_flat, b_flat);
            if ((m + n) % 2 == 0) problem.p.bias = nullptr;
            if (m % 2 == 0) problem.p.finish = GemmFinish::kRelu;
            problem.run();
            problem.expect_right();
            problem.expect_gaps_untouched();
          }
  });
}

TYPED_TEST(GemmKernel, StretchesOfTheDepthAndTasksOfRows) {
  for (const std::int64_t k : {511, 512, 513, 1025})
    for (const std::int64_t m : {111, 113, 230}) {
      Problem<TypeParam> problem(m, 33, k, true, false);
      problem.p.finish = GemmFinish::kRelu;
      problem.run();
      problem.expect_right();
    }
}

TYPED_TEST(GemmKernel, NothingToAddOrNowhereToPutIt) {
  Problem<TypeParam> empty(3, 5, 0, true, true);
  empty.p.finish = GemmFinish::kRelu;
  empty.run();
  empty.expect_right();
  Problem<TypeParam> no_rows(0, 5, 4, true, true), no_columns(5, 0, 4, true, true);
  no_rows.run();
  no_columns.run();
}

TYPED_TEST(GemmKernel, SameBitsForAnyNumberOfThreads) {
  Problem<TypeParam> one(300, 200, 700, true, false);
  {
    const test::WithThreads threads(1);
    one.run();
  }
  for (const int n : {2, 3}) {
    const test::WithThreads threads(n);
    Problem<TypeParam> many(300, 200, 700, true, false);
    many.run();
    for (std::int64_t i = 0; i < 300; ++i)
      ASSERT_EQ(
          std::memcmp(&many.c[i * many.p.c_row], &one.c[i * one.p.c_row], 200 * sizeof(TypeParam)),
          0);
  }
}

TYPED_TEST(GemmKernel, NaNStaysInItsRowAndColumn) {
  test::for_each_target([] {
    Problem<TypeParam> problem(20, 40, 9, true, true);
    problem.p.finish = GemmFinish::kRelu;
    const TypeParam nan = std::numeric_limits<TypeParam>::quiet_NaN();
    problem.a[17 * problem.p.a_row + 3] = nan;
    problem.b[2 * problem.p.b_depth + 35] = nan;
    problem.run();
    for (std::int64_t i = 0; i < 20; ++i)
      for (std::int64_t j = 0; j < 40; ++j)
        ASSERT_EQ(std::isnan(problem.c[i * problem.p.c_row + j]), i == 17 || j == 35)
            << i << ", " << j;
  });
}

}  // namespace
}  // namespace attend::kernels
