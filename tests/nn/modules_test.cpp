// The torch-style modules: names, shapes, dropout steps, clone and dtype, and the same numbers as the functions.
// Aimed at, not planted: dropout in evaluation; step not counted; clone that shares parameters; h_n without direction order.
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <sstream>

#include "attend/base/error.h"
#include "attend/nn/attention_pool.h"
#include "attend/nn/gru.h"
#include "attend/nn/lstm.h"
#include "support/compare.h"

namespace attend::nn {
namespace {

using test::random_tensor;

template <class Module>
std::vector<std::string> names_of(const Module& m) {
  std::vector<std::string> names;
  for (const auto& item : m->named_parameters()) names.push_back(item.key());
  return names;
}

TEST(Modules, LstmHasTorchsNamesAndShapes) {
  LSTM lstm(LSTMOptions(3, 4).num_layers(2).bidirectional(true));
  EXPECT_EQ(names_of(lstm).size(), 12u);
  EXPECT_EQ(names_of(lstm)[3], "weight_ih_l0_reverse");
  EXPECT_EQ(lstm->named_parameters()["weight_ih_l1"].sizes(), (std::vector<std::int64_t>{16, 8}));
  const auto [output, state] = lstm->forward(random_tensor({2, 5, 3}, 1, 1, at::kFloat));
  const auto& [h, c] = state;
  EXPECT_EQ(output.sizes(), (std::vector<std::int64_t>{2, 5, 8}));
  EXPECT_EQ(h.sizes(), (std::vector<std::int64_t>{4, 2, 4}));
  EXPECT_EQ(c.sizes(), (std::vector<std::int64_t>{4, 2, 4}));
  EXPECT_TRUE(
      at::equal(h[2], output.select(1, 4).narrow(1, 0, 4)));  // top layer forward: last step
  EXPECT_TRUE(at::equal(h[3], output.select(1, 0).narrow(1, 4, 4)));  // backward: first step
  std::ostringstream text;
  text << *lstm;
  EXPECT_NE(text.str().find("hidden_size=4"), std::string::npos);
}

TEST(Modules, DropoutFollowsModeSeedAndStep) {
  LSTM lstm(LSTMOptions(3, 4).dropout(0.5).recurrent_dropout(0.5).seed(3));
  const at::Tensor x = random_tensor({4, 5, 3}, 1, 1, at::kFloat);
  const auto run = [&] { return std::get<0>(lstm->forward(x)); };
  const at::Tensor first = run(), second = run();
  EXPECT_FALSE(at::equal(first, second));
  EXPECT_EQ(lstm->step, 2);
  lstm->step = 0;
  EXPECT_TRUE(at::equal(first, run()));
  lstm->eval();
  EXPECT_TRUE(at::equal(run(), run()));
  EXPECT_EQ(lstm->step, 1);
}

TEST(Modules, CloneAndDtype) {
  GRU gru(GRUOptions(3, 4).bidirectional(true));
  gru->eval();
  const at::Tensor x = random_tensor({2, 5, 3}, 1, 1, at::kFloat);
  const auto copy = std::dynamic_pointer_cast<GRUImpl>(gru->clone());
  const auto [before, h_n] = gru->forward(x);
  EXPECT_EQ(h_n.sizes(), (std::vector<std::int64_t>{2, 2, 4}));
  EXPECT_TRUE(at::equal(before, std::get<0>(copy->forward(x))));
  {
    const at::NoGradGuard no_grad;
    gru->named_parameters()["weight_ih_l0"].zero_();
  }
  EXPECT_TRUE(at::equal(before, std::get<0>(copy->forward(x))));
  EXPECT_FALSE(at::equal(before, std::get<0>(gru->forward(x))));
  copy->to(at::kDouble);
  const at::Tensor wide = std::get<0>(copy->forward(x.to(at::kDouble)));
  EXPECT_LT((wide - before.to(at::kDouble)).abs().max().item().toDouble(), 1e-6);
}

TEST(Modules, AttentionPoolTakesShorterInputs) {
  AttentionPool pool(4, 6);
  EXPECT_EQ(names_of(pool), (std::vector<std::string>{"weight", "bias"}));
  const auto [out, weights] = pool->forward(random_tensor({2, 5, 4}, 1, 1, at::kFloat),
                                            at::tensor(std::vector<std::int64_t>{5, 2}, at::kLong));
  EXPECT_EQ(out.sizes(), (std::vector<std::int64_t>{2, 4}));
  EXPECT_EQ(weights[1].slice(0, 2).sum().item().toDouble(), 0);
  EXPECT_THROW(pool->forward(random_tensor({2, 7, 4}, 1, 1, at::kFloat)), Error);
  EXPECT_THROW(LSTM(LSTMOptions(3, 0)), Error);
  EXPECT_THROW(GRU(GRUOptions(3, 4).dropout(1.0)), Error);
}

}  // namespace
}  // namespace attend::nn
