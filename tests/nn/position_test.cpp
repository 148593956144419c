// Positions: the paper's formulas one number at a time, offsets, both rotary layouts, gradients, messages.
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/nn/position.h"
#include "support/compare.h"
#include "support/gradcheck.h"

namespace attend::nn {
namespace {

using test::random_tensor;

TEST(Position, SinusoidalIsThePapersFormula) {
  const at::Tensor table = sinusoidal_positions(5, 7, 3, at::kDouble);
  for (std::int64_t p = 0; p < 5; ++p)
    for (std::int64_t i = 0; 2 * i < 7; ++i) {
      const double angle =
          static_cast<double>(p + 3) / std::pow(10000.0, 2.0 * static_cast<double>(i) / 7.0);
      EXPECT_NEAR(table[p][2 * i].item<double>(), std::sin(angle), 1e-14);
      if (2 * i + 1 < 7) {
        EXPECT_NEAR(table[p][2 * i + 1].item<double>(), std::cos(angle), 1e-14);
      }
    }
}

TEST(Position, SinusoidalModuleAddsAndFollowsTheOffset) {
  SinusoidalPosition position;
  const at::Tensor x = random_tensor({2, 6, 8}, 1, 1, at::kFloat);
  const at::Tensor all = position->forward(x);
  EXPECT_TRUE(at::equal(all, x + sinusoidal_positions(6, 8)));
  EXPECT_TRUE(at::equal(position->forward(x.narrow(1, 4, 2), 4), all.narrow(1, 4, 2)));
  EXPECT_TRUE(at::equal(position->forward(x.to(at::kDouble)),
                        x.to(at::kDouble) + sinusoidal_positions(6, 8, 0, at::kDouble)));
}

TEST(Position, LearnedAddsItsRows) {
  LearnedPosition position(LearnedPositionOptions(6, 4).seed(5));
  const at::Tensor x = random_tensor({2, 3, 4}, 1, 1, at::kFloat);
  EXPECT_TRUE(at::equal(position->forward(x, 2), x + position->weight.narrow(0, 2, 3)));
  EXPECT_EQ(position->named_parameters().keys(), std::vector<std::string>{"weight"});
  try {
    position->forward(x, 4);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("offset + L at most 6; L=3, C=4, offset=4"),
              std::string::npos)
        << e.what();
  }
}

TEST(Position, RotaryTurnsEachPairByItsAngle) {
  const std::int64_t D = 6, L = 4, offset = 7;
  const at::Tensor x = random_tensor({2, 3, L, D}, 2);
  for (const Rotary layout : {Rotary::kInterleaved, Rotary::kHalves}) {
    const at::Tensor y = rotate(x, layout, offset, 100);
    for (std::int64_t p = 0; p < L; ++p)
      for (std::int64_t i = 0; i < D / 2; ++i) {
        const double angle =
            static_cast<double>(p + offset) * std::pow(100.0, -2.0 * static_cast<double>(i) / D);
        const std::int64_t a = layout == Rotary::kHalves ? i : 2 * i,
                           b = layout == Rotary::kHalves ? i + D / 2 : 2 * i + 1;
        const double xa = x[1][2][p][a].item<double>(), xb = x[1][2][p][b].item<double>();
        EXPECT_NEAR(y[1][2][p][a].item<double>(), xa * std::cos(angle) - xb * std::sin(angle),
                    1e-12);
        EXPECT_NEAR(y[1][2][p][b].item<double>(), xa * std::sin(angle) + xb * std::cos(angle),
                    1e-12);
      }
  }
}

TEST(Position, RotaryProductsDependOnTheDistanceAlone) {
  const at::Tensor q = random_tensor({1, 1, 1, 8}, 3), k = random_tensor({1, 1, 1, 8}, 4);
  for (const Rotary layout : {Rotary::kInterleaved, Rotary::kHalves}) {
    const auto product = [&](std::int64_t i, std::int64_t j) {
      return (rotate(q, layout, i) * rotate(k, layout, j)).sum().item<double>();
    };
    EXPECT_NEAR(product(5, 2), product(105, 102), 1e-11);
    EXPECT_GT(std::abs(product(5, 2) - product(5, 3)), 1e-6);
  }
}

TEST(Position, RotaryGradient) {
  for (const Rotary layout : {Rotary::kInterleaved, Rotary::kHalves})
    test::expect_gradients(
        [&](const std::vector<at::Tensor>& in) {
          return std::vector<at::Tensor>{rotate(in[0], layout, 2)};
        },
        {{"x", random_tensor({1, 2, 3, 4}, 5)}});
}

TEST(Position, RefusesWhatHasNoMeaning) {
  EXPECT_THROW(rotate(at::zeros({1, 1, 2, 5}), Rotary::kHalves), Error);
  EXPECT_THROW(rotate(at::zeros({1, 1, 2, 4}), Rotary::kHalves, -1), Error);
  EXPECT_THROW(rotate(at::zeros({1, 1, 2, 4}), Rotary::kHalves, 0, 0.0), Error);
  EXPECT_THROW(sinusoidal_positions(-1, 4), Error);
  EXPECT_THROW(SinusoidalPosition()->forward(at::zeros({2, 4})), Error);
  EXPECT_THROW(LearnedPosition(0, 4), Error);
}

}  // namespace
}  // namespace attend::nn
