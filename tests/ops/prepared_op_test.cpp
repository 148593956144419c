// Linear maps prepared for decoding beside linear and the definition of their int8 in plain ATen; what a search does to scores beside
// libtorch's own.
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "attend/ops/dispatch.h"
#include "attend/ops/linear.h"
#include "attend/ops/prepared_linear.h"
#include "attend/ops/scores.h"
#include "support/compare.h"
#include "support/message_of.h"
#include "support/targets.h"

namespace attend {
namespace {

using test::random_tensor;

TEST(PreparedLinear, InFloatIsAsGoodAsTheDefinition) {
  test::for_each_target([] {
    for (const Activation activation :
         {Activation::kNone, Activation::kRelu, Activation::kGelu, Activation::kGeluTanh})
      for (const bool has_bias : {true, false}) {
        const at::Tensor x = random_tensor({3, 5, 33}, 1, 1, at::kFloat),
                         w = random_tensor({70, 33}, 2, 1, at::kFloat),
                         b = has_bias ? random_tensor({70}, 3, 1, at::kFloat) : at::Tensor();
        const auto wide = [](const at::Tensor& t) { return t.defined() ? t.to(at::kDouble) : t; };
        EXPECT_TRUE(test::as_good_as(PreparedLinear(w, b)(x, activation),
                                     compose::linear(x, w, b, activation),
                                     compose::linear(wide(x), wide(w), wide(b), activation)));
      }
  });
}

TEST(PreparedLinear, InInt8IsItsDefinition) {
  test::for_each_target([] {
    for (const std::int64_t rows : {1, 7})
      for (const bool has_bias : {true, false}) {
        const at::Tensor x = random_tensor({rows, 45}, 1, 3, at::kFloat),
                         w = random_tensor({70, 45}, 2, 1, at::kFloat),
                         b = has_bias ? random_tensor({70}, 3, 1, at::kFloat) : at::Tensor();
        const at::Tensor ours = PreparedLinear(w, b, Precision::kInt8)(x),
                         definition = compose::int8_linear(x, w, b);
        EXPECT_LT(test::relative_error(ours, definition), 4 * test::epsilon_of(at::kFloat));
        const double off = test::relative_error(ours, compose::linear(x, w, b));
        EXPECT_TRUE(off > 1e-4 && off < 0.02) << off;  // 8 bits, not 24 and not 4
      }
  });
}

TEST(PreparedLinear, AnyShapeAndStride) {
  const at::Tensor w = random_tensor({9, 6}, 2, 1, at::kFloat);
  for (const Precision precision : {Precision::kFloat32, Precision::kInt8}) {
    const PreparedLinear map(w.t().contiguous().t(), {}, precision);
    const at::Tensor x = random_tensor({6, 4, 2}, 1, 1, at::kFloat).permute({2, 1, 0});
    EXPECT_TRUE(test::same_bits(map(x), map(x.contiguous())));
    EXPECT_EQ(map(x).sizes(), at::IntArrayRef({2, 4, 9}));
    EXPECT_TRUE(test::same_bits(map(x[0][1]), map(x)[0][1]));
    EXPECT_EQ(map(x.narrow(0, 0, 0)).sizes(), at::IntArrayRef({0, 4, 9}));
    EXPECT_EQ(map.inputs(), 6);
    EXPECT_EQ(map.outputs(), 9);
  }
}

TEST(PreparedLinear, AddsToWhatIsThereAndKeepsItsWeights) {
  at::Tensor w = random_tensor({9, 6}, 2, 1, at::kFloat);
  const at::Tensor x = random_tensor({4, 6}, 1, 1, at::kFloat),
                   before = random_tensor({4, 9}, 3, 1, at::kFloat);
  const PreparedLinear map(w, {});
  const at::Tensor y = map(x), sum = before.clone();
  w.zero_();
  map.add_to(sum, x);
  EXPECT_TRUE(test::same_bits(sum, before + y));
}

TEST(PreparedLinear, SaysWhatIsWrong) {
  const auto of = [](std::int64_t rows, std::int64_t width) {
    return random_tensor({rows, width}, 1, 1, at::kFloat);
  };
  EXPECT_EQ(test::message_of([&] { PreparedLinear()(of(1, 2)); }),
            "attend::PreparedLinear: it holds no weights");
  EXPECT_EQ(test::message_of([&] { PreparedLinear(of(3, 2).to(at::kDouble), {}); }),
            "attend::PreparedLinear: weight must be float on the CPU");
  EXPECT_EQ(test::message_of([&] { PreparedLinear(of(3, 2), {})(of(4, 3)); }),
            "attend::PreparedLinear: input must be […,2]");
  EXPECT_EQ(test::message_of([&] { PreparedLinear(of(3, 2), {}).add_to(of(4, 3), of(5, 2)); }),
            "attend::PreparedLinear: add_to takes dense input [N,I] and output [N,O]");
  EXPECT_EQ(test::message_of([&] {
              PreparedLinear(at::zeros({1, 65537}), {}, Precision::kInt8);
            }),
            "attend::PreparedLinear: weight has I=65537, more than int8 sums hold: at most 65536");
}

TEST(Scores, LogSoftmaxIsAsGoodAsLibtorchs) {
  test::for_each_target([] {
    const at::Tensor x = random_tensor({5, 1003}, 4, 20, at::kFloat), ours = x.clone();
    log_softmax_in_place(ours);
    EXPECT_TRUE(
        test::as_good_as(ours, at::log_softmax(x, 1), at::log_softmax(x.to(at::kDouble), 1)));
  });
}

TEST(Scores, BestOfRowsIsTopk) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const at::Tensor x = random_tensor({7, 301}, 4, 20, type);
    for (const std::int64_t k : {1, 5, 300}) {
      const auto [value, index] = best_of_rows(x, k);
      const auto [wanted, places] = at::topk(x, k);
      EXPECT_TRUE(at::equal(value, wanted));
      EXPECT_TRUE(at::equal(index, places));
    }
  }
}

TEST(Scores, SayWhatIsWrong) {
  EXPECT_EQ(test::message_of([] {
              best_of_rows(at::zeros({2, 3}), 0);
            }),
            "attend::best_of_rows: k is 0; give 1 or more");
  EXPECT_EQ(test::message_of([] {
              best_of_rows(at::zeros({2, 0}), 1);
            }),
            "attend::best_of_rows: scores must be dense [N,V] with V of at least 1");
  EXPECT_EQ(test::message_of([] {
              log_softmax_in_place(at::zeros({3, 2}).t());
            }),
            "attend::log_softmax_in_place: scores must be dense [N,V] with V of at least 1");
  EXPECT_EQ(test::message_of([] {
              log_softmax_in_place(at::zeros({3, 2}, at::kDouble));
            }),
            "attend::log_softmax_in_place: scores must be float");
}

}  // namespace
}  // namespace attend
