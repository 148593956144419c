// Additive attention against the paper's equation (loops in double) and its composition.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attend/base/error.h"
#include "attend/ops/additive.h"
#include "attend/ops/dispatch.h"
#include "ops/attention_equations.h"
#include "support/compare.h"
#include "support/everywhere.h"
#include "support/gradcheck.h"
#include "support/targets.h"

namespace attend {
namespace {

using test::random_tensor;
using test::same_bits;
using Tensors = std::vector<at::Tensor>;

struct Case {
  const char* name;
  std::int64_t B, Lq, Lk, A, Dv;
  bool causal = false;
  Alignment alignment = Alignment::kLast;
  std::int64_t left = -1, right = -1;
  bool query_lengths = false, key_lengths = false, mask = false, bias = false;
  double size = 2;  // of queries and keys
};

// Sizes of one; Lq ≠ Lk; A ≠ Dv; one off vectors and tiles; Lq Lk > (Lq + Lk) A, where backward makes the weights again.
const std::vector<Case> kCases = {
    {"ones", 1, 1, 1, 1, 1},
    {"small", 2, 5, 7, 3, 4},
    {"step", 3, 1, 30, 64, 48},
    {"one_off", 2, 9, 13, 33, 17},
    {"many_pairs", 2, 33, 29, 5, 6},
    {"causal", 2, 12, 12, 8, 8, true},
    {"causal_last", 1, 5, 30, 8, 8, true},
    {"causal_first", 1, 5, 30, 8, 8, true, Alignment::kFirst},
    {"causal_more_queries", 1, 30, 5, 4, 4, true},
    {"window", 1, 20, 20, 8, 8, false, Alignment::kLast, 3, 2},
    {"window_beyond", 1, 4, 4, 4, 4, false, Alignment::kLast, 1000, 1000},
    {"lengths", 3, 17, 26, 8, 5, false, Alignment::kLast, -1, -1, true, true},
    {"mask", 2, 14, 17, 8, 8, false, Alignment::kLast, -1, -1, false, false, true},
    {"bias", 2, 9, 16, 8, 8, false, Alignment::kLast, -1, -1, false, false, false, true},
    {"everything", 3, 15, 19, 9, 7, true, Alignment::kLast, 12, -1, true, true, true, true},
    {"extreme", 1, 13, 15, 8, 8, false, Alignment::kLast, -1, -1, false, false, false, false, 1e3},
    {"tiny", 2, 6, 9, 40, 8, false, Alignment::kLast, -1, -1, false, false, false, false, 0.5},
};

struct Inputs {
  at::Tensor query, key, value, score_weight;
  AttentionOptions options;
};

Inputs inputs_of(const Case& c, at::ScalarType dtype = at::kDouble) {
  Inputs in{random_tensor({c.B, c.Lq, c.A}, 1, c.size, dtype),
            random_tensor({c.B, c.Lk, c.A}, 2, c.size, dtype),
            random_tensor({c.B, c.Lk, c.Dv}, 3, 1, dtype),
            random_tensor({c.A}, 4, 1, dtype),
            {}};
  AttentionOptions& o = in.options;
  o.causal = c.causal, o.alignment = c.alignment, o.window_left = c.left, o.window_right = c.right;
  o.need_weights = true;
  // Every row of the batch its own length, the first one zero: a row that sees nothing.
  const std::int64_t rows = std::max<std::int64_t>(1, c.B - 1);
  std::vector<std::int64_t> queries, keys;
  for (std::int64_t b = 0; b < c.B; ++b)
    queries.push_back(b * (c.Lq - 1) / rows), keys.push_back((c.B - 1 - b) * (c.Lk - 1) / rows);
  if (c.query_lengths) o.query_lengths = at::tensor(queries, at::kLong);
  if (c.key_lengths) o.key_lengths = at::tensor(keys, at::kLong);
  if (c.mask) {
    o.mask = random_tensor({c.Lq, c.Lk}, 5).gt(-0.3);
    o.mask.select(0, 0).fill_(false);         // a query that sees no key
    o.mask.select(1, c.Lk / 2).fill_(false);  // a key that no query sees
  }
  if (c.bias) o.bias = random_tensor({c.Lq, c.Lk}, 6, 2, dtype);
  return in;
}

/// Output, weights and the gradients of query, key, value, score_weight and, where there is one, bias.
Tensors everything(const Inputs& in, bool fused, at::ScalarType dtype,
                   bool loss_on_weights = false) {
  const auto leaf = [&](const at::Tensor& t) {
    return t.detach().to(dtype).clone().set_requires_grad(true);
  };
  Tensors leaves{leaf(in.query), leaf(in.key), leaf(in.value), leaf(in.score_weight)};
  AttentionOptions o = in.options;
  if (o.bias.defined()) leaves.push_back(o.bias = leaf(o.bias));
  const auto [output, weights] =
      fused ? additive(leaves[0], leaves[1], leaves[2], leaves[3], o)
            : compose::additive(leaves[0], leaves[1], leaves[2], leaves[3], o);
  Tensors from{output}, cotangents{random_tensor(output.sizes(), 9, 1, dtype)};
  if (loss_on_weights)
    from.push_back(weights), cotangents.push_back(random_tensor(weights.sizes(), 10, 1, dtype));
  const auto grads = torch::autograd::grad(from, leaves, cotangents);
  Tensors all{output.detach(), weights.detach()};
  all.insert(all.end(), grads.begin(), grads.end());
  return all;
}

TEST(Additive, FollowsTheEquation) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c);
    const double *q = in.query.const_data_ptr<double>(), *k = in.key.const_data_ptr<double>();
    const double *v = in.value.const_data_ptr<double>(),
                 *w = in.score_weight.const_data_ptr<double>();
    const auto truth = test::attention_by_loops(
        c.B, 1, c.Lq, c.Lk, c.Dv,
        [&](int b, int h, int i, int j) {
          return test::may_attend(in.options, b, h, i, j, c.Lq, c.Lk);
        },
        [&](int b, int, int i, int j) {
          double score = 0;
          for (std::int64_t a = 0; a < c.A; ++a)
            score += w[a] * std::tanh(q[(b * c.Lq + i) * c.A + a] + k[(b * c.Lk + j) * c.A + a]);
          return score + (in.options.bias.defined() ? in.options.bias[i][j].item<double>() : 0.0);
        },
        [&](int b, int, int j, int d) { return v[(b * c.Lk + j) * c.Dv + d]; });
    for (const bool fused : {true, false}) {
      const auto all = everything(in, fused, at::kDouble);
      EXPECT_LT(test::relative_error(all[0].flatten(), at::tensor(truth.output, at::kDouble)),
                1e-13);
      EXPECT_LT(test::relative_error(all[1].flatten(), at::tensor(truth.weights, at::kDouble)),
                1e-13);
    }
  }
}

TEST(Additive, FloatIsAsGoodAsTheComposition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c, at::kFloat);
    const auto composed = everything(in, false, at::kFloat),
               truth = everything(in, false, at::kDouble);
    const auto ours = everything(in, true, at::kFloat);
    EXPECT_EQ(last_dispatch().path, Path::kFused);
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_TRUE(test::as_good_as(ours[i], composed[i], truth[i])) << i;
  }
}

TEST(Additive, DoubleAgreesWithTheComposition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c);
    for (const bool loss_on_weights : {false, true}) {
      const auto ours = everything(in, true, at::kDouble, loss_on_weights);
      const auto composed = everything(in, false, at::kDouble, loss_on_weights);
      for (std::size_t i = 0; i < ours.size(); ++i)
        EXPECT_LT(test::relative_error(ours[i], composed[i]), 2e-13) << i;
    }
  }
}

TEST(Additive, GradientsAgreeWithFiniteDifferences) {
  for (const char* name : {"small", "causal", "everything"}) {
    SCOPED_TRACE(name);
    Case c = *std::find_if(kCases.begin(), kCases.end(),
                           [&](const Case& x) { return x.name == std::string(name); });
    c.B = std::min<std::int64_t>(c.B, 2), c.Lq = std::min<std::int64_t>(c.Lq, 5),
    c.Lk = std::min<std::int64_t>(c.Lk, 6);
    const Inputs in = inputs_of(c);
    test::expect_gradients(
        [&](const Tensors& x) {
          AttentionOptions o = in.options;
          o.bias = x[4];
          const auto [output, weights] = additive(x[0], x[1], x[2], x[3], o);
          return Tensors{output, weights};
        },
        {{"query", in.query},
         {"key", in.key},
         {"value", in.value},
         {"score_weight", in.score_weight},
         {"bias", random_tensor({c.B, 1, c.Lk}, 6)}});
  }
}

TEST(Additive, PreparedKeysGiveTheSameBitsAtEveryStep) {
  const Inputs in = inputs_of(
      {"prepared", 3, 6, 19, 40, 24, false, Alignment::kLast, -1, -1, false, true}, at::kFloat);
  const auto leaf = [](const at::Tensor& t) { return t.detach().clone().set_requires_grad(true); };
  const at::Tensor q = leaf(in.query), k = leaf(in.key), v = leaf(in.value),
                   w = leaf(in.score_weight);
  const AdditiveKeys keys = prepare_additive_keys(k);
  EXPECT_FALSE(keys.prepared.requires_grad());
  Tensors steps;
  for (std::int64_t i = 0; i < 6; ++i) {
    const auto [context, weights] = additive(q.narrow(1, i, 1), keys, v, w, in.options);
    EXPECT_TRUE(same_bits(context, std::get<0>(additive(q.narrow(1, i, 1), k, v, w, in.options))));
    steps.push_back(context);
  }
  const auto [together, weights] = additive(q, k, v, w, in.options);
  const at::Tensor cotangent = random_tensor(together.sizes(), 9, 1, at::kFloat);
  const auto by_step = torch::autograd::grad({at::cat(steps, 1)}, {q, k, v, w}, {cotangent});
  const auto at_once = torch::autograd::grad({together}, {q, k, v, w}, {cotangent});
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_LT(test::relative_error(by_step[i], at_once[i]), 2e-6) << i;
}

TEST(Additive, ValuesThatNeedNoGradientChangeNoOther) {
  const at::Tensor k = random_tensor({3, 7, 20}, 2, 1, at::kFloat).set_requires_grad(true),
                   q = random_tensor({3, 1, 20}, 3, 1, at::kFloat).set_requires_grad(true),
                   w = random_tensor({20}, 4, 1, at::kFloat).set_requires_grad(true),
                   v = random_tensor({3, 7, 9}, 5, 1, at::kFloat);
  const at::Tensor trained = v.clone().set_requires_grad(true);
  const at::Tensor cotangent = random_tensor({3, 1, 9}, 6, 1, at::kFloat);
  const auto with = torch::autograd::grad({std::get<0>(additive(q, k, trained, w))},
                                          {q, k, w, trained}, {cotangent}),
             without =
                 torch::autograd::grad({std::get<0>(additive(q, k, v, w))}, {q, k, w}, {cotangent});
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(at::equal(with[i], without[i])) << i;
}

TEST(Additive, EveryTargetAndThreadCountAgrees) {
  const Case c = {"all", 3, 15, 19, 35, 7, true, Alignment::kLast, 12, -1, true, true, true, true};
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const Inputs in = inputs_of(c, dtype);
    const auto truth = everything(in, false, at::kDouble),
               composed = everything(in, false, at::kFloat);
    test::expect_agreement_everywhere(
        [&] { return everything(in, true, dtype); }, composed, truth,
        [] { EXPECT_EQ(last_dispatch().op, std::string("attend::additive_backward")); });
  }
}

TEST(Additive, StridedIsContiguousBitForBit) {
  const Inputs in = inputs_of({"strided", 2, 9, 10, 16, 12}, at::kFloat);
  const auto by_time = [](const at::Tensor& t) {
    return t.transpose(0, 1).contiguous().transpose(0, 1);
  };
  const auto by_column = [](const at::Tensor& t) {
    return t.transpose(1, 2).contiguous().transpose(1, 2);
  };
  const at::Tensor plain = std::get<0>(additive(in.query, in.key, in.value, in.score_weight));
  EXPECT_TRUE(same_bits(plain, std::get<0>(additive(by_time(in.query), by_time(in.key),
                                                    by_time(in.value), in.score_weight))));
  EXPECT_TRUE(same_bits(plain, std::get<0>(additive(by_column(in.query), by_column(in.key),
                                                    by_column(in.value), in.score_weight))));
}

TEST(Additive, AConstantValueComesBackAndTheOrderOfKeysDoesNotMatter) {
  for (const double size : {1.0, 100.0}) {
    const Inputs in = inputs_of({"constant", 1, 9, 21, 8, 8, true, Alignment::kLast, -1, -1, false,
                                 false, false, false, size});
    const at::Tensor out = std::get<0>(
        additive(in.query, in.key, at::full_like(in.value, 3.5), in.score_weight, in.options));
    EXPECT_LT(test::relative_error(out, at::full_like(out, 3.5)), 1e-15);
    const at::Tensor back = at::arange(20, -1, -1, at::kLong);
    EXPECT_LT(
        test::relative_error(std::get<0>(additive(in.query, in.key.index_select(1, back),
                                                  in.value.index_select(1, back), in.score_weight)),
                             std::get<0>(additive(in.query, in.key, in.value, in.score_weight))),
        1e-14);
  }
}

TEST(Additive, WhatNobodySeesIsNeverTouched) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const bool dense : {false, true}) {
    SCOPED_TRACE(dense ? "dense mask" : "lengths");
    Inputs in = inputs_of({"nan", 2, 15, 30, 8, 8}, at::kFloat);
    AttentionOptions& o = in.options;
    if (dense) {
      o.mask = at::ones({2, 15, 30}, at::kBool);
      o.mask.narrow(2, 20, 10).fill_(false), o.mask.narrow(1, 11, 4).fill_(false);
    } else {
      o.key_lengths = at::full({2}, 20, at::kLong), o.query_lengths = at::full({2}, 11, at::kLong);
    }
    const auto clean = everything(in, true, at::kFloat);
    in.key.narrow(1, 20, 10).fill_(nan), in.value.narrow(1, 20, 10).fill_(nan),
        in.query.narrow(1, 11, 4).fill_(nan);
    for (const bool fused : {true, false}) {
      const auto dirty = everything(in, fused, at::kFloat);
      for (std::size_t i = 0; i < clean.size(); ++i) {
        EXPECT_FALSE(dirty[i].isnan().any().item<bool>()) << i;
        if (!fused) continue;
        EXPECT_TRUE(same_bits(clean[i], dirty[i])) << i;
      }
    }
  }
}

TEST(Additive, ANaNThatIsSeenIsNotHidden) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    Inputs in = inputs_of({"seen", 2, 5, 6, 9, 3}, dtype);
    in.key.select(0, 1).select(0, 2).fill_(std::nan(""));
    test::for_each_target([&] {
      const at::Tensor out = std::get<0>(additive(in.query, in.key, in.value, in.score_weight));
      EXPECT_FALSE(out[0].isnan().any().item<bool>());
      EXPECT_TRUE(out[1].isnan().all().item<bool>());
    });
  }
}

TEST(Additive, AQueryWithoutKeysIsZeroWithZeroGradient) {
  Inputs in = inputs_of({"empty", 2, 4, 6, 3, 3}, at::kFloat);
  in.options.key_lengths = at::tensor({0, 3}, at::kLong);
  for (const bool fused : {true, false}) {
    const auto all = everything(in, fused, at::kFloat);
    for (const std::size_t i : {0, 1, 2, 3, 4})
      EXPECT_EQ(all[i][0].abs().sum().item<double>(), 0) << i;
    for (const std::size_t i : {0, 1, 2, 3, 4})
      EXPECT_GT(all[i][1].abs().sum().item<double>(), 0) << i;
  }
}

TEST(Additive, CausalHidesTheFuture) {
  const Inputs in = inputs_of({"future", 1, 20, 20, 8, 8, true}, at::kFloat);
  const at::Tensor before =
      std::get<0>(additive(in.query, in.key, in.value, in.score_weight, in.options));
  in.key.select(1, 11).add_(1), in.value.select(1, 11).add_(1);
  const at::Tensor after =
      std::get<0>(additive(in.query, in.key, in.value, in.score_weight, in.options));
  EXPECT_TRUE(same_bits(before.narrow(1, 0, 11), after.narrow(1, 0, 11)));
  EXPECT_FALSE(at::equal(before.select(1, 11), after.select(1, 11)));
}

TEST(Additive, DropoutIsTheSameOnEveryPath) {
  Inputs in = inputs_of({"dropout", 2, 20, 25, 8, 8});
  in.options.dropout = 0.3, in.options.seed = 12345678901234;
  const auto fused = everything(in, true, at::kDouble, true),
             composed = everything(in, false, at::kDouble, true);
  for (std::size_t i = 0; i < fused.size(); ++i)
    EXPECT_LT(test::relative_error(fused[i], composed[i]), 2e-13) << i;
}

TEST(Additive, EmptySizes) {
  const auto of = [](std::int64_t B, std::int64_t Lq, std::int64_t Lk, std::int64_t A,
                     std::int64_t Dv) {
    AttentionOptions o;
    o.need_weights = true;
    return additive(at::ones({B, Lq, A}), at::ones({B, Lk, A}), at::ones({B, Lk, Dv}),
                    at::ones({A}), o);
  };
  EXPECT_EQ(std::get<0>(of(0, 3, 4, 5, 6)).sizes(), at::IntArrayRef({0, 3, 6}));
  EXPECT_EQ(std::get<0>(of(2, 0, 4, 5, 6)).sizes(), at::IntArrayRef({2, 0, 6}));
  EXPECT_EQ(std::get<0>(of(2, 3, 0, 5, 6)).abs().sum().item<double>(), 0);
  EXPECT_FLOAT_EQ(std::get<1>(of(2, 3, 4, 0, 6))[0][0][0].item<float>(),
                  0.25f);  // no width: all scores 0
  EXPECT_EQ(std::get<0>(of(2, 3, 4, 5, 0)).sizes(), at::IntArrayRef({2, 3, 0}));
}

template <class F>
void expect_refused(const std::string& message, F call) {
  try {
    call();
    FAIL() << "not refused: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), message);
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  }
}

TEST(Additive, EveryCheckSaysWhatIsWrong) {
  const at::Tensor q = at::ones({2, 3, 8}), k = at::ones({2, 5, 8}), v = at::ones({2, 5, 6}),
                   w = at::ones({8});
  const auto refused = [&](const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const at::Tensor& weight, const std::string& message) {
    expect_refused("attend::additive: " + message, [&] { additive(query, key, value, weight); });
  };
  refused(q, at::ones({2, 5, 7}), v, w, "key has A=7 (shape [2, 5, 7]) but query set A=8");
  refused(q, k, at::ones({2, 4, 6}), w, "value has Lk=4 (shape [2, 4, 6]) but key set Lk=5");
  refused(q, at::ones({3, 5, 8}), v, w, "key has B=3 (shape [3, 5, 8]) but query set B=2");
  refused(q, k, v, at::ones({9}), "score_weight has A=9 (shape [9]) but query set A=8");
  const auto wants_gradient = [](at::Tensor t) { return t.set_requires_grad(true); };
  refused(wants_gradient(at::ones({2, 8})), k, v, w,
          "query must be [B, Lq, A] but has shape [2, 8]");
  refused(wants_gradient(q.clone()), at::ones({2, 8}), v, w,
          "key must be [B, Lk, A] but has shape [2, 8]");
  refused(q.to(at::kLong), k, v, w, "query has dtype Long but must be floating point");
  refused(q, k.to(at::kDouble), v, w, "key has dtype Double but query has Float");
  refused(at::Tensor(), k, v, w, "query is undefined but must be [B, Lq, A]");
  const auto with = [&](const std::string& message, auto set) {
    AttentionOptions o;
    set(o);
    expect_refused("attend::additive: " + message, [&] { additive(q, k, v, w, o); });
  };
  with("mask has dtype Float but must be bool, true = may attend; give scores to add as bias",
       [](auto& o) {
         o.mask = at::ones({3, 5});
       });
  with("mask has shape [3, 4], which does not broadcast to the scores' [2, 3, 5]", [](auto& o) {
    o.mask = at::ones({3, 4}, at::kBool);
  });
  with("bias has dtype Bool but must be floating point; give a boolean mask as mask", [](auto& o) {
    o.bias = at::ones({3, 5}, at::kBool);
  });
  with("key_lengths[0] is 6 but must be in [0, Lk=5]",
       [](auto& o) { o.key_lengths = at::full({2}, 6, at::kLong); });
  with("window_left is -2 but must be at least -1", [](auto& o) { o.window_left = -2; });
  with("scale is nan but must be finite", [](auto& o) { o.scale = std::nan(""); });
  with("dropout is 1.000000 but must be in [0, 1)", [](auto& o) { o.dropout = 1; });
  expect_refused(
      "attend::additive: prepared must be what additive_prepare makes of key, contiguous rows of "
      "32, not of 8",
      [&] {
        additive(q, AdditiveKeys{k, k}, v, w);
      });
  expect_refused("attend::prepare_additive_keys: key is undefined but must be [B, Lk, A]",
                 [&] { prepare_additive_keys(at::Tensor()); });
}

}  // namespace
}  // namespace attend
