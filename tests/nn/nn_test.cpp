// Initialisers, dropout masks, embedding and the recurrent stack. The GRU is held against torch::nn::GRU, the modules
// against the functions.
// Mutations killed (planted, and seen to fail): nine Philox rounds; threshold for 1 − p; scale 1 − p; streams of layers,
// directions or sites shared; last partial block of a mask repeated; gradient of a repeated id lost; penalty's gradient
// halved or missing; GRU gates r and z swapped, mask on the state carried over, reverse started in the padding, NaN in the
// padding let into the gradient; orthogonal without projection; cross-entropy without max-subtraction, without the
// mean in its gradient, without the penalty's gradient.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/gru.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/base/threads.h"
#include "attend/nn/dropout.h"
#include "attend/nn/embedding.h"
#include "attend/nn/init.h"
#include "attend/nn/loss.h"
#include "attend/nn/recurrent.h"
#include "attend/ops/gru.h"
#include "support/compare.h"
#include "support/gradcheck.h"

namespace attend::nn {
namespace {

using test::expect_gradients;
using test::random_tensor;
using testing::HasSubstr;

std::string usage_message(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return e.what();
  }
  return "accepted";
}

TEST(Init, OrthogonalInBothShapesAndUniformOverSigns) {
  for (const auto& [rows, columns] : {std::pair{5, 20}, {20, 5}, {7, 7}, {1, 4}, {64, 256}}) {
    Random random(3, Purpose::kInit);
    const at::Tensor q = orthogonal(rows, columns, random, at::kDouble);
    EXPECT_EQ(q.sizes(), (std::vector<std::int64_t>{rows, columns}));
    const at::Tensor gram = rows <= columns ? at::matmul(q, q.t()) : at::matmul(q.t(), q);
    const at::Tensor eye = at::eye(std::min(rows, columns), q.options());
    EXPECT_LT((gram - eye).abs().max().item().toDouble(), 1e-12) << rows << "x" << columns;
    if (rows * columns >= 100) {  // every sign is as likely as the other
      EXPECT_NEAR((q > 0).to(at::kDouble).mean().item().toDouble(), 0.5, 0.15);
    }
  }
}

TEST(Init, DrawsFollowRandomInRowMajorOrder) {
  Random a(5, Purpose::kInit, 2), b(5, Purpose::kInit, 2);
  const at::Tensor x = uniform({2, 3}, 0.05, a, at::kDouble);
  for (std::int64_t i = 0; i < 6; ++i)
    EXPECT_EQ(x.reshape({-1})[i].item().toDouble(), 0.05 * (2 * b.uniform() - 1));
  const at::Tensor n = normal({4}, 2.0, a, at::kDouble);
  for (std::int64_t i = 0; i < 4; ++i) EXPECT_EQ(n[i].item().toDouble(), 2.0 * b.normal());
  const at::Tensor g = glorot_uniform({400, 32}, 32, 400, a);
  EXPECT_LE(g.abs().max().item().toDouble(), std::sqrt(6.0 / 432));
  EXPECT_THAT(usage_message([&] { uniform({2}, 1, a, at::kHalf); }), HasSubstr("float or double"));
}

TEST(Dropout, MaskIsTheDocumentedStream) {
  const double rate = 0.3;
  for (const auto& [rows, columns] :
       {std::pair{1, 1}, {3, 5}, {7, 9}, {100, 33}, {1, 64}, {1, 127}, {400, 100}}) {
    const Pass pass{true, 0x123456789ABCDEFull, 77};
    const at::Tensor mask =
        dropout_mask(rows, columns, rate, pass, {3, true, DropoutSite::kRecurrent});
    Random random(pass.seed, Purpose::kDropout, 77ull << 15 | 3 << 3 | 1 << 2 | 1);
    const float* m = mask.const_data_ptr<float>();
    for (std::int64_t i = 0; i < mask.numel(); ++i)
      ASSERT_EQ(m[i], random.bits() < rate * 0x1p32 ? 0.0f : static_cast<float>(1 / 0.7))
          << rows << " " << i;
    EXPECT_TRUE(at::equal(mask.to(at::kDouble) > 0,
                          dropout_mask(rows, columns, rate, pass,
                                       {3, true, DropoutSite::kRecurrent}, at::kDouble) > 0));
  }
}

TEST(Dropout, ShareMeanAndIndependence) {
  const Pass pass{true, 9, 1};
  for (const double rate : {0.0, 0.2, 0.5, 0.9}) {
    const at::Tensor m = dropout_mask(500, 200, rate, pass, {});
    EXPECT_NEAR((m == 0).to(at::kDouble).mean().item().toDouble(), rate, 0.005);
    EXPECT_NEAR(m.to(at::kDouble).mean().item().toDouble(), 1, 0.015);
  }
  const at::Tensor base = dropout_mask(100, 100, 0.5, pass, {});
  const auto agreement = [&](const Pass& p, const DropoutStream& s) {
    return (dropout_mask(100, 100, 0.5, p, s) == base).to(at::kDouble).mean().item().toDouble();
  };
  EXPECT_EQ(agreement(pass, {}), 1);
  EXPECT_NEAR(agreement({true, 9, 2}, {}), 0.5, 0.03);
  EXPECT_NEAR(agreement({true, 10, 1}, {}), 0.5, 0.03);
  EXPECT_NEAR(agreement(pass, {1, false, DropoutSite::kInput}), 0.5, 0.03);
  EXPECT_NEAR(agreement(pass, {0, true, DropoutSite::kInput}), 0.5, 0.03);
  EXPECT_NEAR(agreement(pass, {0, false, DropoutSite::kRecurrent}), 0.5, 0.03);
  EXPECT_THAT(usage_message([&] { dropout_mask(1, 1, 1.0, pass, {}); }), HasSubstr("[0, 1)"));
  EXPECT_THAT(usage_message([&] { dropout_mask(1, 1, std::nan(""), pass, {}); }),
              HasSubstr("[0, 1)"));
  EXPECT_EQ(dropout_mask(0, 5, 0.5, pass, {}).numel(), 0);
  const at::Tensor all = dropout_mask(1, 1000, std::nextafter(1.0, 0.0), pass, {});
  EXPECT_EQ((all != 0).sum().item().toLong(), 0);  // the threshold doesn't wrap around
}

TEST(Embed, ValuesPenaltyAndGradients) {
  const at::Tensor ids =
      at::tensor(std::vector<std::int64_t>{0, 3, 3, 1, 3, 0}, at::kLong).reshape({2, 3});
  const at::Tensor table = random_tensor({5, 19}, 4);
  const auto [out, penalty] = embed(table, ids, 0.01);
  EXPECT_TRUE(at::equal(out, table.index_select(0, ids.reshape({-1})).reshape({2, 3, 19})));
  EXPECT_NEAR(penalty.item().toDouble(), 0.01 * (table * table).sum().item().toDouble(), 1e-12);
  EXPECT_EQ(std::get<1>(embed(table, ids)).item().toDouble(), 0);
  for (const double l2 : {0.0, 0.3})
    expect_gradients(
        [&](const std::vector<at::Tensor>& in) {
          const auto [o, p] = embed(in[0], ids, l2);
          return std::vector<at::Tensor>{o, p};
        },
        {{"table", table}});
  expect_gradients(
      [&](const std::vector<at::Tensor>& in) {  // only the penalty is used
        return std::vector<at::Tensor>{std::get<1>(embed(in[0], ids, 0.3))};
      },
      {{"table", table}});
  const at::Tensor big = random_tensor({9000, 7}, 5, 1, at::kFloat);
  EXPECT_NEAR(std::get<1>(embed(big, ids, 1)).item().toDouble(),
              big.to(at::kDouble).pow(2).sum().item().toDouble(), 0.01);
  EXPECT_THAT(usage_message([&] { embed(table.t(), ids); }), HasSubstr("contiguous"));
}

TEST(CrossEntropy, IsTorchsWithThePenaltyAndItsGradients) {
  for (const std::int64_t classes : {1, 2, 5}) {
    const at::Tensor logits = random_tensor({6, classes}, 3, 8), penalty = random_tensor({}, 4);
    const at::Tensor labels =
        at::tensor(std::vector<std::int64_t>{0, 1, 1, 0, classes == 5 ? 4 : 1, 0}, at::kLong);
    const at::Tensor want = classes == 1 ? at::binary_cross_entropy_with_logits(
                                               logits.squeeze(1), labels.to(at::kDouble))
                                         : at::cross_entropy_loss(logits, labels);
    EXPECT_NEAR(cross_entropy(logits, labels).item().toDouble(), want.item().toDouble(), 1e-12);
    EXPECT_NEAR(cross_entropy(logits, labels, penalty).item().toDouble(),
                (want + penalty).item().toDouble(), 1e-12);
    expect_gradients(
        [&](const std::vector<at::Tensor>& in) {
          return std::vector<at::Tensor>{cross_entropy(in[0], labels, in[1])};
        },
        {{"logits", logits}, {"penalty", penalty}});
  }
}

TEST(CrossEntropy, ExtremesStayFiniteAndBadLabelsAreNamed) {
  const at::Tensor labels = at::tensor(std::vector<std::int64_t>{0, 1}, at::kLong);
  const at::Tensor far = at::tensor(std::vector<float>{1e30f, -1e30f}).reshape({2, 1});
  EXPECT_FLOAT_EQ(cross_entropy(far, labels).item().toFloat(), 1e30f);
  const at::Tensor wide = at::tensor(std::vector<float>{1e4f, -1e4f, 0, 1e4f}).reshape({2, 2});
  EXPECT_EQ(cross_entropy(wide, labels).item().toFloat(), 0.0f);
  EXPECT_EQ(cross_entropy(wide.slice(0, 0, 0), labels.slice(0, 0, 0)).item().toFloat(), 0.0f);
  const at::Tensor nan = at::tensor(std::vector<float>{std::nanf(""), 0}).reshape({2, 1});
  EXPECT_TRUE(std::isnan(cross_entropy(nan, labels).item().toFloat()));  // training must notice
  try {
    cross_entropy(wide, at::tensor(std::vector<std::int64_t>{0, 2}, at::kLong));
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(e.what(), HasSubstr("label 2 in row 1 is outside [0, 2)"));
  }
  EXPECT_THAT(usage_message([&] { cross_entropy(wide, labels.to(at::kFloat)); }),
              HasSubstr("labels must be [B] int64"));
  EXPECT_THAT(usage_message([&] { cross_entropy(wide[0], labels); }), HasSubstr("[B,K]"));
}

TEST(Embed, SameBitsForEveryNumberOfThreads) {
  Random random(3, Purpose::kGenerate);
  std::vector<std::int64_t> list(2000);
  for (auto& id : list) id = static_cast<std::int64_t>(random.below(3001));
  const at::Tensor ids = at::tensor(list, at::kLong).reshape({40, 50});
  const at::Tensor table = random_tensor({3001, 37}, 5, 1, at::kFloat);
  const at::Tensor cotangent = random_tensor({40, 50, 37}, 6, 1, at::kFloat);
  const auto run = [&](int count) {
    set_threads(count);
    const at::Tensor leaf = table.clone().set_requires_grad(true);
    const auto [out, penalty] = embed(leaf, ids, 0.01);
    ((out * cotangent).sum() + penalty).backward();
    return std::vector<at::Tensor>{out.detach(), penalty.detach(), leaf.grad()};
  };
  const std::vector<at::Tensor> one = run(1);
  for (const int count : {2, 3, 7}) {
    const std::vector<at::Tensor> more = run(count);
    for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], more[i])) << count;
  }
  set_threads(0);
  const at::Tensor want =
      (0.02 * table).index_add(0, ids.reshape({-1}), cotangent.reshape({-1, 37}));
  EXPECT_LT(test::relative_error(one[2], want), 1e-6);
}

/// torch's own GRU, from the same weights.
std::tuple<at::Tensor, at::Tensor> torch_gru(const at::Tensor& x,
                                             const std::vector<at::Tensor>& weights,
                                             std::int64_t layers, bool bidirectional) {
  const at::Tensor h0 =
      at::zeros({layers * (bidirectional ? 2 : 1), x.size(0), weights[1].size(1)}, x.options());
  return at::gru(x, h0, weights, true, layers, 0.0, false, bidirectional, true);
}

TEST(Gru, IsTorchsGruStackedAndBidirectional) {
  for (const std::int64_t layers : {1, 3})
    for (const bool bidirectional : {false, true}) {
      RecurrentOptions o;
      o.cell = Cell::kGru;
      o.input = 5;
      o.hidden = 4;
      o.layers = layers;
      o.bidirectional = bidirectional;
      auto weights = recurrent_weights(o, 8, at::kDouble);
      std::vector<at::Tensor> flat;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        weights[i].bias = random_tensor({12}, 100 + i);
        weights[i].bias_hh = random_tensor({12}, 200 + i);
        flat.insert(flat.end(), {weights[i].weight_ih, weights[i].weight_hh, weights[i].bias,
                                 weights[i].bias_hh});
      }
      const at::Tensor x = random_tensor({3, 6, 5}, 1);
      const RecurrentOutput ours = recurrent(x, {}, weights, o, Pass{});
      const auto [output, h_n] = torch_gru(x, flat, layers, bidirectional);
      EXPECT_LT((ours.output - output).abs().max().item().toDouble(), 1e-12);
      ASSERT_EQ(static_cast<std::int64_t>(ours.h_n.size()), h_n.size(0));
      for (std::size_t i = 0; i < ours.h_n.size(); ++i)
        EXPECT_LT((ours.h_n[i] - h_n[static_cast<std::int64_t>(i)]).abs().max().item().toDouble(),
                  1e-12);
    }
}

TEST(Gru, LengthsCutEveryRowAndIgnoreWhatFollows) {
  RecurrentOptions o;
  o.cell = Cell::kGru;
  o.input = 3;
  o.hidden = 2;
  o.bidirectional = true;
  const auto weights = recurrent_weights(o, 8, at::kDouble);
  at::Tensor x = random_tensor({4, 5, 3}, 1);
  const std::vector<std::int64_t> lengths{5, 0, 2, 1};
  for (std::int64_t r = 0; r < 4; ++r)
    x.select(0, r)
        .slice(0, lengths[static_cast<std::size_t>(r)])
        .fill_(std::numeric_limits<double>::quiet_NaN());
  const RecurrentOutput out = recurrent(x, at::tensor(lengths, at::kLong), weights, o, Pass{});
  for (std::int64_t r = 0; r < 4; ++r) {
    const std::int64_t n = lengths[static_cast<std::size_t>(r)];
    EXPECT_EQ(out.output.select(0, r).slice(0, n).abs().sum().item().toDouble(), 0) << r;
    if (n == 0) {
      EXPECT_EQ(out.h_n[1][r].abs().sum().item().toDouble(), 0);
      continue;
    }
    const RecurrentOutput alone =
        recurrent(x.narrow(0, r, 1).narrow(1, 0, n), {}, weights, o, Pass{});
    EXPECT_LT(
        (out.output.narrow(0, r, 1).narrow(1, 0, n) - alone.output).abs().max().item().toDouble(),
        1e-14);
    EXPECT_LT((last_state(out, o)[r] - last_state(alone, o)[0]).abs().max().item().toDouble(),
              1e-14);
  }
}

TEST(Gru, GradientsWithMasksLengthsAndReverse) {
  const at::Tensor lengths = at::tensor(std::vector<std::int64_t>{4, 2, 0}, at::kLong);
  const at::Tensor input_mask = random_tensor({3, 2}, 6), recurrent_mask = random_tensor({3, 2}, 7);
  for (const bool reverse : {false, true})
    expect_gradients(
        [&](const std::vector<at::Tensor>& in) {
          const auto [o, h] = gru(in[0], in[1], in[2], in[3], in[4],
                                  {in[5], lengths, input_mask, recurrent_mask, reverse});
          return std::vector<at::Tensor>{o, h};
        },
        {{"input", random_tensor({3, 4, 2}, 1)},
         {"weight_ih", random_tensor({6, 2}, 2)},
         {"weight_hh", random_tensor({6, 2}, 3)},
         {"bias_ih", random_tensor({6}, 4)},
         {"bias_hh", random_tensor({6}, 5)},
         {"h0", random_tensor({3, 2}, 8)}});
}

TEST(Gru, NanInThePaddingReachesNoGradient) {
  const at::Tensor lengths = at::tensor(std::vector<std::int64_t>{3, 1}, at::kLong);
  const auto gradients = [&](double padding) {
    at::Tensor x = random_tensor({2, 3, 2}, 1);
    x.select(0, 1).slice(0, 1).fill_(padding);
    std::vector<at::Tensor> leaves{x, random_tensor({6, 2}, 2), random_tensor({6, 2}, 3)};
    for (at::Tensor& leaf : leaves) leaf.set_requires_grad(true);
    GruOptions o;
    o.lengths = lengths;
    const auto [output, h] = gru(leaves[0], leaves[1], leaves[2], {}, {}, o);
    (output.sum() + h.sum()).backward();
    return std::vector<at::Tensor>{leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
  };
  const auto zero = gradients(0), nan = gradients(std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < zero.size(); ++i) EXPECT_TRUE(at::equal(zero[i], nan[i])) << i;
}

TEST(Gru, ChecksNameTheArgument) {
  const at::Tensor x = random_tensor({2, 3, 4}, 1), wi = random_tensor({6, 4}, 2),
                   wh = random_tensor({6, 2}, 3);
  const auto message = [&](const std::function<void()>& act) { return usage_message(act); };
  EXPECT_THAT(message([&] {
                gru(x, random_tensor({6, 5}, 1), wh);
              }),
              HasSubstr("attend::gru: weight_ih"));
  EXPECT_THAT(message([&] { gru(x, wi, random_tensor({7, 2}, 1)); }), HasSubstr("weight_hh"));
  EXPECT_THAT(message([&] { gru(x[0], wi, wh); }), HasSubstr("input"));
  EXPECT_THAT(message([&] { gru(x, wi, wh, random_tensor({6}, 1)); }),
              HasSubstr("both bias_ih and bias_hh"));
  GruOptions o;
  o.lengths = at::tensor(std::vector<std::int64_t>{1, 4}, at::kLong);
  EXPECT_THAT(message([&] { gru(x, wi, wh, {}, {}, o); }), HasSubstr("lengths"));
}

TEST(Recurrent, EveryLayerAndDirectionHasItsOwnMasks) {
  RecurrentOptions o;
  o.input = 4;
  o.hidden = 3;
  o.layers = 2;
  o.bidirectional = true;
  o.dropout = 0.5;
  o.recurrent_dropout = 0.5;
  const auto weights = recurrent_weights(o, 8, at::kDouble);
  const at::Tensor x = random_tensor({6, 5, 4}, 1);
  const Pass pass{true, 3, 4};
  GivenMasks masks;
  for (std::int64_t layer = 0; layer < 2; ++layer)
    for (const bool reverse : {false, true}) {
      masks.input.push_back(dropout_mask(6, layer == 0 ? 4 : 6, 0.5, pass,
                                         {layer, reverse, DropoutSite::kInput}, at::kDouble));
      masks.recurrent.push_back(
          dropout_mask(6, 3, 0.5, pass, {layer, reverse, DropoutSite::kRecurrent}, at::kDouble));
    }
  Pass given{true, 0, 0};
  given.masks = &masks;
  EXPECT_TRUE(at::equal(recurrent(x, {}, weights, o, pass).output,
                        recurrent(x, {}, weights, o, given).output));
  given.masks = nullptr;
  EXPECT_FALSE(at::equal(recurrent(x, {}, weights, o, pass).output,
                         recurrent(x, {}, weights, o, given).output));
  EXPECT_THAT(usage_message([&] {
                recurrent(random_tensor({1, 2, 3}, 1), {}, weights, o, pass);
              }),
              HasSubstr("I = 4"));
}

}  // namespace
}  // namespace attend::nn
