// Products of bfloat16: linear and vocabulary_loss under a ProductPrecisionGuard against the float64 definition on the factors that
// were rounded, to the rounding of what comes out; who is concerned by a guard; that weights and gradients stay float32.
//
// Planted faults that these tests kill:
//   gradients of rows that count are written to the first rows; a mean's gradients are a sum's; relu's mask is left out; a guard
//   that ends leaves its precision behind; the target's share of the gradient ignores smoothing
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "attend/ops/dispatch.h"
#include "attend/ops/linear.h"
#include "attend/ops/precision.h"
#include "attend/ops/vocabulary_loss.h"
#include "support/compare.h"

namespace attend {
namespace {

constexpr double kHalfUlp = 1.0 / 256;  // bfloat16 keeps 8 bits

at::Tensor rounded_leaf(at::IntArrayRef sizes, std::uint64_t seed) {
  return test::random_tensor(sizes, seed, 1, at::kFloat).to(at::kBFloat16).to(at::kFloat);
}
at::Tensor in_double(const at::Tensor& t) {
  return t.detach().to(at::kDouble).set_requires_grad(true);
}

/// Every element of a product that was rounded once, of rounded factors.
void expect_rounded(const at::Tensor& ours, const at::Tensor& truth, double more = 0) {
  ASSERT_EQ(ours.sizes(), truth.sizes());
  ASSERT_EQ(ours.scalar_type(), at::kFloat);
  const at::Tensor t = truth.detach();
  const at::Tensor off = (ours.detach().to(at::kDouble) - t).abs();
  EXPECT_LE((off - kHalfUlp * t.abs() - 1e-5 - more).max().item<double>(), 0);
}

TEST(BFloat16, LinearRoundsFactorsAndResultAlone) {
  const at::Tensor x = rounded_leaf({3, 32, 24}, 1).set_requires_grad(true),
                   w = rounded_leaf({40, 24}, 2).set_requires_grad(true),
                   b = rounded_leaf({40}, 3).set_requires_grad(true);
  const at::Tensor xd = in_double(x), wd = in_double(w), bd = in_double(b);
  for (const Activation a : {Activation::kNone, Activation::kRelu}) {
    at::Tensor out;
    {
      const ProductPrecisionGuard guard(ProductPrecision::kBFloat16);
      out = attend::linear(x, w, b, a);
      EXPECT_EQ(std::string(last_dispatch().reason), "its products are of bfloat16");
    }
    const at::Tensor truth = compose::linear(xd, wd, bd, a);
    expect_rounded(out, truth, kHalfUlp * 8);  // the bias comes after rounding
    EXPECT_GT(test::relative_error(out, truth), 1e-4);
    const at::Tensor g = rounded_leaf(out.sizes(), 4);
    const auto ours = torch::autograd::grad({out}, {x, w, b}, {g});
    // Where relu's rounded result is 0 the gradient is: the same mask for both.
    const at::Tensor kept = a == Activation::kRelu ? g * out.detach().gt(0) : g;
    const auto wanted =
        torch::autograd::grad({compose::linear(xd, wd, bd)}, {xd, wd, bd}, {kept.to(at::kDouble)});
    for (std::size_t i = 0; i < 3; ++i) expect_rounded(ours[i], wanted[i]);
  }
}

TEST(BFloat16, VocabularyLossHoldsItsSumsInFloat) {
  for (const Reduction reduction : {Reduction::kMean, Reduction::kSum})
    for (const double smoothing : {0.0, 0.1})
      for (const std::int64_t rows : {64, 1100}) {  // one block and three
        const at::Tensor x = rounded_leaf({rows, 24}, 1).set_requires_grad(true),
                         w = rounded_leaf({50, 24}, 2).set_requires_grad(true),
                         b = rounded_leaf({50}, 3).set_requires_grad(true);
        at::Tensor y = (test::random_tensor({rows}, 5, 1).abs() * 50).to(at::kLong).clamp(0, 49);
        y[3].fill_(-100);
        x.data()[3].fill_(std::numeric_limits<float>::quiet_NaN());  // not read
        const VocabularyLossOptions options{smoothing, -100, reduction};
        at::Tensor loss;
        {
          const ProductPrecisionGuard guard(ProductPrecision::kBFloat16);
          loss = vocabulary_loss(x, w, b, y, options);
        }
        const auto ours = torch::autograd::grad({loss * 2}, {x, w, b});
        const at::Tensor xd = in_double(x), wd = in_double(w), bd = in_double(b);
        const at::Tensor truth = compose::vocabulary_loss(xd, wd, bd, y, options);
        const auto wanted = torch::autograd::grad({truth * 2}, {xd, wd, bd});
        EXPECT_NEAR(loss.item<double>(), truth.item<double>(), 2e-3 * truth.item<double>());
        for (std::size_t i = 0; i < 3; ++i) {
          EXPECT_EQ(ours[i].scalar_type(), at::kFloat);
          EXPECT_LT(test::relative_error(ours[i], wanted[i]), 3 * kHalfUlp) << i;
        }
        EXPECT_EQ(ours[0][3].abs().sum().item<double>(), 0);
      }
}

TEST(BFloat16, NoRowThatCounts) {
  const at::Tensor x = rounded_leaf({60, 8}, 1).set_requires_grad(true),
                   w = rounded_leaf({5, 8}, 2);
  const at::Tensor y = at::tensor(std::vector<std::int64_t>(60, -100), at::kLong);
  const ProductPrecisionGuard guard(ProductPrecision::kBFloat16);
  const at::Tensor loss = vocabulary_loss(x, w, {}, y);
  EXPECT_EQ(loss.item<double>(), 0);
  EXPECT_EQ(torch::autograd::grad({loss}, {x})[0].abs().sum().item<double>(), 0);
}

TEST(BFloat16, AGuardConcernsFloatTensorsWhereItStands) {
  const at::Tensor x = rounded_leaf({64, 8}, 1), w = rounded_leaf({5, 8}, 2);
  const at::Tensor plain = attend::linear(x, w);
  {
    const ProductPrecisionGuard outer(ProductPrecision::kBFloat16);
    {
      const ProductPrecisionGuard inner(ProductPrecision::kFloat32);
      EXPECT_TRUE(at::equal(attend::linear(x, w), plain));
    }
    EXPECT_EQ(product_precision(), ProductPrecision::kBFloat16);
    EXPECT_FALSE(at::equal(attend::linear(x, w), plain));
    const at::Tensor xd = x.to(at::kDouble), wd = w.to(at::kDouble);
    EXPECT_LT(test::relative_error(attend::linear(xd, wd), at::linear(xd, wd)), 1e-15);
  }
  EXPECT_TRUE(at::equal(attend::linear(x, w), plain));
}

}  // namespace
}  // namespace attend
