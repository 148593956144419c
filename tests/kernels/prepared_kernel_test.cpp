// Products with prepared weights beside float64 loops of the formula, in float and in int8: every SIMD target, with vpdpbusd and without,
// heights and widths around the tile, guard bands, threads, NaN.
// Faults planted and seen to fail here, one at a time: `adds` ignored; relu before the bias; the 128 of the inputs not taken off
// again; the scale of a tile's first row for all; tiles packed over each other, in float and in int8; steps of 128 instead of 127;
// NaN not told; rows behind the last written; the last inputs left out where 4 does not divide them; weights without their sign where
// vpdpbusd is not used; the last panel of a thread left out.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attend/base/random.h"
#include "attend/kernels/prepared.h"
#include "support/guard.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

using test::Guarded;

/// Memory at a 64-byte boundary between guard bands.
struct Lines {
  explicit Lines(std::int64_t bytes) : memory((bytes + 3) / 4) {}
  Guarded<float> memory;
};

struct Problem {
  Problem(std::int64_t rows, std::int64_t outputs, std::int64_t inputs, Precision precision)
      : x(rows * (inputs + 3), 1),
        weight(outputs * (inputs + 1), 1),
        bias(outputs, 1),
        y(rows * (outputs + 5), 1) {
    p.shape = {precision, outputs, inputs};
    p.rows = rows, p.x = x.data(), p.x_row = inputs + 3, p.y = y.data(), p.y_row = outputs + 5;
    p.bias = bias.data();
    Random random(static_cast<std::uint64_t>(rows * 1000003 + outputs * 1009 + inputs),
                  Purpose::kGenerate);
    const auto draw = [&] { return static_cast<float>(2 * random.uniform() - 1); };
    for (std::int64_t r = 0; r < rows; ++r)  // what lies between the rows stays NaN
      for (std::int64_t i = 0; i < inputs; ++i)
        x[r * p.x_row + i] = draw() * static_cast<float>(r + 1);
    for (std::int64_t o = 0; o < outputs; ++o)
      for (std::int64_t i = 0; i < inputs; ++i)
        weight[o * (inputs + 1) + i] = draw() / static_cast<float>(o % 7 + 1);
    for (std::int64_t o = 0; o < outputs; ++o) bias[o] = draw();
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t o = 0; o < outputs; ++o) y[r * p.y_row + o] = before(r, o);
  }

  static float before(std::int64_t r, std::int64_t o) {
    return static_cast<float>((r * 31 + o * 7) % 11) - 5;
  }

  void run() {
    Lines prepared(prepared_bytes(p.shape)), workspace(prepared_workspace(p));
    prepare_weights(p.shape, weight.data(), p.shape.inputs + 1, prepared.memory.data());
    ASSERT_TRUE(prepared.memory.intact());
    p.weights = prepared.memory.data(), p.workspace = workspace.memory.data();
    prepared_product(p);
    EXPECT_TRUE(prepared.memory.intact());
    EXPECT_TRUE(workspace.memory.intact());
    EXPECT_TRUE(y.intact());
  }

  static float step(const float* row, std::int64_t n) {
    float most = 0;
    for (std::int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(row[i]));
    return most / 127;
  }

  /// The product and the size of its error at most: rounding in float; in int8 the integers are exact.
  std::pair<double, double> product(std::int64_t r, std::int64_t o) const {
    const float *a = &x[r * p.x_row], *w = &weight[o * (p.shape.inputs + 1)];
    const double eps = std::numeric_limits<float>::epsilon();
    double sum = 0, size = 0;
    if (p.shape.precision == Precision::kFloat32) {
      for (std::int64_t i = 0; i < p.shape.inputs; ++i) {
        const double term = static_cast<double>(a[i]) * static_cast<double>(w[i]);
        sum += term, size += std::abs(term);
      }
      return {sum, static_cast<double>(p.shape.inputs + 2) * eps * size};
    }
    const float t = step(a, p.shape.inputs), s = step(w, p.shape.inputs);
    for (std::int64_t i = 0; i < p.shape.inputs && t > 0 && s > 0; ++i)
      sum += std::nearbyint(static_cast<double>(a[i] * (1 / t))) *
             std::nearbyint(static_cast<double>(w[i] / s));
    sum *= static_cast<double>(s) * static_cast<double>(t);
    return {sum, 4 * eps * std::abs(sum)};
  }

  void expect_right() const {
    for (std::int64_t r = 0; r < p.rows; ++r)
      for (std::int64_t o = 0; o < p.shape.outputs; ++o) {
        auto [wanted, error] = product(r, o);
        if (p.bias) wanted += static_cast<double>(bias[o]);
        if (p.finish == GemmFinish::kRelu) wanted = std::max(wanted, 0.0);
        if (p.adds) wanted += static_cast<double>(before(r, o));
        error += 4 * std::numeric_limits<float>::epsilon() * (std::abs(wanted) + 6);
        ASSERT_NEAR(static_cast<double>(y[r * p.y_row + o]), wanted, error)
            << "element " << r << ", " << o << " of " << p.rows << " x " << p.shape.outputs << " x "
            << p.shape.inputs;
      }
    for (std::int64_t r = 0; r + 1 < p.rows; ++r)
      for (std::int64_t o = p.shape.outputs; o < p.y_row; ++o)
        ASSERT_TRUE(std::isnan(y[r * p.y_row + o]));
  }

  Guarded<float> x, weight, bias, y;
  PreparedProduct p;
};

/// vpdpbusd switched off for the life of the object.
struct WithoutDot {
  WithoutDot() { allow_int8_dot(false); }
  ~WithoutDot() { allow_int8_dot(true); }
};

class PreparedKernel : public ::testing::TestWithParam<Precision> {};
INSTANTIATE_TEST_SUITE_P(Both, PreparedKernel,
                         ::testing::Values(Precision::kFloat32, Precision::kInt8),
                         [](const auto& precision) {
                           return precision.param == Precision::kInt8 ? "int8" : "float32";
                         });

void all_shapes(Precision precision) {
  for (const std::int64_t rows : {1, 2, 3, 4, 5, 6, 7, 11, 13, 15, 29})
    for (const std::int64_t outputs : {1, 4, 15, 16, 17, 31, 63, 64, 65, 130}) {
      Problem problem(rows, outputs, 1 + (rows * 7 + outputs) % 67, precision);
      if ((rows + outputs) % 2 == 0) problem.p.bias = nullptr;
      if (rows % 2 == 0) problem.p.finish = GemmFinish::kRelu;
      problem.p.adds = outputs % 3 == 0;
      problem.run();
      problem.expect_right();
    }
}

TEST_P(PreparedKernel, IsTheFormulaOnEveryTarget) {
  test::for_each_target([] { all_shapes(GetParam()); });
  const WithoutDot off;
  test::for_each_target([] {
    all_shapes(GetParam());
    EXPECT_FALSE(used_int8_dot());
  });
}

TEST(PreparedKernelInt8, UsesTheInstructionWhereTheProcessorHasIt) {
  Problem problem(3, 20, 30, Precision::kInt8);
  problem.run();
  EXPECT_EQ(used_int8_dot(), __builtin_cpu_supports("avx512vnni") != 0);
}

TEST_P(PreparedKernel, LargestSumsFit) {
  for (const bool dot : {true, false}) {
    allow_int8_dot(dot);
    Problem problem(2, 5, GetParam() == Precision::kInt8 ? kMostInt8Inputs : 3000, GetParam());
    for (std::int64_t i = 0; i < problem.p.shape.inputs; ++i)
      problem.x[i] = 1, problem.weight[i] = 1;
    problem.run();
    problem.expect_right();
  }
  allow_int8_dot(true);
}

TEST_P(PreparedKernel, NothingToAddOrNowhereToPutIt) {
  Problem no_inputs(3, 5, 0, GetParam()), no_rows(0, 5, 4, GetParam()),
      no_outputs(5, 0, 4, GetParam());
  no_inputs.run();
  no_inputs.expect_right();
  no_rows.run();
  no_outputs.run();
}

TEST_P(PreparedKernel, SameBitsForAnyNumberOfThreadsAndRows) {
  Problem one(70, 1000, 300, GetParam());
  {
    const test::WithThreads threads(1);
    one.run();
  }
  for (const int n : {2, 3}) {
    const test::WithThreads threads(n);
    Problem many(70, 1000, 300, GetParam());
    many.run();
    ASSERT_EQ(many.y.values().size(), one.y.values().size());
    ASSERT_EQ(std::memcmp(many.y.data(), one.y.data(), sizeof(float) * 70 * 1005), 0);
  }
  for (const std::int64_t row : {0, 5, 69}) {
    Problem alone(70, 1000, 300, GetParam());
    alone.p.x += row * alone.p.x_row, alone.p.y += row * alone.p.y_row, alone.p.rows = 1;
    alone.run();
    ASSERT_EQ(std::memcmp(alone.p.y, &one.y[row * one.p.y_row], 1000 * sizeof(float)), 0);
  }
}

TEST_P(PreparedKernel, NaNAndInfinityStayInTheirRowAndColumn) {
  test::for_each_target([] {
    for (const float odd :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Problem problem(9, 40, 21, GetParam());
      problem.x[7 * problem.p.x_row + 20] = odd;
      problem.weight[35 * 22 + 3] = odd;
      problem.run();
      for (std::int64_t r = 0; r < 9; ++r)
        for (std::int64_t o = 0; o < 40; ++o)
          ASSERT_EQ(std::isfinite(problem.y[r * problem.p.y_row + o]), r != 7 && o != 35)
              << r << ", " << o;
    }
  });
}

TEST(PreparedKernelInt8, RowsOfZerosAndOfTinyNumbersGiveBias) {
  test::for_each_target([] {
    Problem problem(3, 20, 33, Precision::kInt8);
    for (std::int64_t i = 0; i < 33; ++i) {
      problem.x[i] = 0, problem.x[problem.p.x_row + i] = std::numeric_limits<float>::denorm_min();
      problem.weight[4 * 34 + i] = 0;
    }
    problem.run();
    for (std::int64_t o = 0; o < 20; ++o)
      for (std::int64_t r = 0; r < 2; ++r)
        EXPECT_EQ(problem.y[r * problem.p.y_row + o], problem.bias[o]);
    EXPECT_EQ(problem.y[2 * problem.p.y_row + 4], problem.bias[4]);
  });
}

}  // namespace
}  // namespace attend::kernels
