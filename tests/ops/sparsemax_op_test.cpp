// Sparsemax attention against its definition as a projection (τ by bisection in double), its composition, and itself.
//
// Mutations planted one at a time and caught: scale left out, and left out of the gradient; the threshold after one pass; the
// support begun at scores above -0.5; the mask ignored; key heads of the first group for all; the gradient without the mean
// over the support; the gradient through weights left out; dv without the weight; the output of a row that sees nothing not
// cleared; a task that begins one row late.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <limits>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "attend/ops/sparsemax.h"
#include "ops/attention_equations.h"
#include "support/compare.h"
#include "support/everywhere.h"
#include "support/gradcheck.h"

namespace attend {
namespace {

using test::random_tensor;
using test::same_bits;
using Tensors = std::vector<at::Tensor>;

struct Case {
  const char* name;
  std::int64_t B, H, Hkv, Lq, Lk, D, Dv;
  bool causal = false, lengths = false, mask = false;
  std::int64_t left = -1, right = -1;
  double logits = 1;  // multiplies the queries: from all keys in the support to one
  Alignment alignment = Alignment::kLast;
};

// Sizes of one; Lq ≠ Lk; groups with Hkv ≥ 2; D ≠ Dv; one off the vectors; supports of one key, of some and of all.
const std::vector<Case> kCases = {
    {"ones", 1, 1, 1, 1, 1, 1, 1},
    {"small", 2, 2, 2, 5, 7, 3, 4},
    {"groups", 2, 6, 2, 9, 11, 8, 5},
    {"wide", 1, 2, 1, 33, 65, 17, 15},
    {"long", 1, 1, 1, 70, 140, 16, 24},
    {"all_in_support", 2, 2, 2, 6, 9, 4, 4, false, false, false, -1, -1, 0.01},
    {"one_in_support", 2, 2, 2, 6, 9, 4, 4, false, false, false, -1, -1, 30},
    {"causal", 2, 2, 1, 40, 40, 8, 8, true},
    {"causal_first", 1, 2, 2, 5, 30, 8, 8, true, false, false, -1, -1, 1, Alignment::kFirst},
    {"more_queries", 1, 1, 1, 30, 5, 4, 4, true},
    {"window", 1, 2, 2, 50, 50, 8, 8, false, false, false, 3, 2},
    {"lengths", 3, 2, 2, 17, 26, 8, 5, false, true},
    {"mask", 2, 2, 2, 14, 27, 8, 8, false, false, true},
    {"everything", 3, 4, 2, 15, 29, 9, 7, true, true, true, 12},
};

struct Inputs {
  Tensors leaves;  // query, key, value
  AttentionOptions options;
};

Inputs inputs_of(const Case& c, at::ScalarType dtype = at::kDouble) {
  Inputs in{{random_tensor({c.B, c.H, c.Lq, c.D}, 1, 2 * c.logits, dtype),
             random_tensor({c.B, c.Hkv, c.Lk, c.D}, 2, 2, dtype),
             random_tensor({c.B, c.Hkv, c.Lk, c.Dv}, 3, 1, dtype)},
            {}};
  AttentionOptions& o = in.options;
  o.causal = c.causal, o.alignment = c.alignment, o.need_weights = true;
  o.window_left = c.left, o.window_right = c.right;
  std::vector<std::int64_t> some;
  for (std::int64_t b = 0; b < c.B; ++b) some.push_back(b);
  if (c.lengths) {  // 0 … all
    const at::Tensor share = at::tensor(some, at::kLong);
    o.query_lengths = (share * c.Lq).div(std::max<std::int64_t>(1, c.B - 1), "floor");
    o.key_lengths = (share * c.Lk).div(std::max<std::int64_t>(1, c.B - 1), "floor");
  }
  if (c.mask) {
    o.mask = random_tensor({c.B, c.H, c.Lq, c.Lk}, 4).gt(-0.2);
    o.mask.select(2, 1).fill_(false);  // a query that sees nothing
  }
  return in;
}

using Op = decltype(&sparsemax);

AttentionResult call(Op f, const Tensors& x, const AttentionOptions& o) {
  return f(x[0], x[1], x[2], o);
}

/// w_j = max(0, s_j − τ) where the sum is 1: the only such τ, found by halving.
test::Loops truth_of(const Case& c, const Inputs& in) {
  test::Loops out{std::vector<double>(c.B * c.H * c.Lq * c.Dv),
                  std::vector<double>(c.B * c.H * c.Lq * c.Lk)};
  const auto number = [&](int n, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t d) {
    const at::Tensor& t = in.leaves[n];
    return t.const_data_ptr<double>()[((b * t.size(1) + h) * t.size(2) + i) * t.size(3) + d];
  };
  for (std::int64_t b = 0; b < c.B; ++b)
    for (std::int64_t h = 0; h < c.H; ++h)
      for (std::int64_t i = 0; i < c.Lq; ++i) {
        const std::int64_t kv = h / (c.H / c.Hkv), row = (b * c.H + h) * c.Lq + i;
        std::vector<double> s(c.Lk, -INFINITY);
        double largest = -INFINITY;
        for (std::int64_t j = 0; j < c.Lk; ++j) {
          if (!test::may_attend(in.options, b, h, i, j, c.Lq, c.Lk)) continue;
          s[j] = 0;
          for (std::int64_t d = 0; d < c.D; ++d)
            s[j] += number(0, b, h, i, d) * number(1, b, kv, j, d);
          largest = std::max(largest, s[j] /= std::sqrt(static_cast<double>(c.D)));
        }
        if (largest == -INFINITY) continue;
        double low = -1, high = 0;  // of τ − largest
        for (int step = 0; step < 60; ++step) {
          const double middle = (low + high) / 2;
          double sum = 0;
          for (const double x : s) sum += std::max(0.0, x - largest - middle);
          (sum > 1 ? low : high) = middle;
        }
        for (std::int64_t j = 0; j < c.Lk; ++j) {
          const double w = std::max(0.0, s[j] - largest - (low + high) / 2);
          out.weights[row * c.Lk + j] = w;
          for (std::int64_t d = 0; d < c.Dv; ++d)
            out.output[row * c.Dv + d] += w * number(2, b, kv, j, d);
        }
      }
  return out;
}

TEST(Sparsemax, IsTheProjectionOnTheSimplex) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c);
    const auto truth = truth_of(c, in);
    for (const Op f : {&sparsemax, &compose::sparsemax}) {
      const auto [output, weights] = call(f, in.leaves, in.options);
      EXPECT_LT(test::relative_error(output, at::tensor(truth.output).view({c.B, c.H, c.Lq, c.Dv})),
                1e-13);
      EXPECT_LT(
          test::relative_error(weights, at::tensor(truth.weights).view({c.B, c.H, c.Lq, c.Lk})),
          1e-13);
    }
  }
}

TEST(Sparsemax, SupportsAreOfEverySize) {  // else the cases above would prove little
  const auto share = [](std::size_t n) {
    const Inputs in = inputs_of(kCases[n]);
    return std::get<1>(call(&sparsemax, in.leaves, in.options))
        .gt(0)
        .to(at::kDouble)
        .mean()
        .item<double>();
  };
  EXPECT_EQ(share(5), 1.0);      // all
  EXPECT_LT(share(6), 1.5 / 9);  // one or two
  EXPECT_GT(share(4), 2.0 / 140);
  EXPECT_LT(share(4), 0.3);
}

/// Output, weights and all gradients of one call; the loss reads the weights too where `through_weights`.
Tensors everything(Op f, const Inputs& in, at::ScalarType dtype, bool through_weights = true) {
  Tensors leaves;
  for (const at::Tensor& t : in.leaves)
    leaves.push_back(t.detach().to(dtype).clone().set_requires_grad(true));
  const auto [output, weights] = call(f, leaves, in.options);
  Tensors outputs{output}, cotangents{random_tensor(output.sizes(), 9, 1, dtype)};
  if (through_weights)
    outputs.push_back(weights), cotangents.push_back(random_tensor(weights.sizes(), 10, 1, dtype));
  Tensors all = torch::autograd::grad(outputs, leaves, cotangents);
  all.push_back(output.detach()), all.push_back(weights.detach());
  return all;
}

TEST(Sparsemax, IsAsGoodAsTheDefinition) {
  for (const Case& c : kCases)
    for (const bool through_weights : {false, true}) {
      SCOPED_TRACE(std::string(c.name) + (through_weights ? " through weights" : ""));
      const Inputs in = inputs_of(c, at::kFloat);
      const auto truth = everything(&compose::sparsemax, in, at::kDouble, through_weights);
      const auto composed = everything(&compose::sparsemax, in, at::kFloat, through_weights);
      const auto ours = everything(&sparsemax, in, at::kFloat, through_weights);
      EXPECT_EQ(last_dispatch().path, Path::kFused);
      EXPECT_EQ(last_dispatch().op, std::string("attend::sparsemax_backward"));
      const auto in_double = everything(&sparsemax, in, at::kDouble, through_weights);
      for (std::size_t i = 0; i < ours.size(); ++i) {
        EXPECT_TRUE(test::as_good_as(ours[i], composed[i], truth[i])) << i;
        EXPECT_TRUE(test::as_good_as(in_double[i], composed[i], truth[i])) << i;
      }
    }
}

TEST(Sparsemax, GradientsAgreeWithFiniteDifferences) {
  for (const Case& c :
       {Case{"plain", 2, 2, 2, 4, 7, 3, 2}, Case{"all", 2, 4, 2, 4, 7, 3, 2, true, true, true}}) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c);
    test::expect_gradients(
        [&](const Tensors& x) {
          const auto [output, weights] = call(&sparsemax, x, in.options);
          return Tensors{output, weights};
        },
        {{"query", in.leaves[0]}, {"key", in.leaves[1]}, {"value", in.leaves[2]}});
  }
}

TEST(Sparsemax, BiasAndDropoutRunTheDefinition) {
  Inputs in = inputs_of({"bias", 2, 2, 2, 4, 7, 3, 2});
  AttentionOptions o = in.options;
  const at::Tensor bias = random_tensor({2, 4, 7}, 5);
  test::expect_gradients(
      [&](const Tensors& x) {
        o.bias = x[3];
        return Tensors{std::get<0>(call(&sparsemax, x, o))};
      },
      {{"query", in.leaves[0]}, {"key", in.leaves[1]}, {"value", in.leaves[2]}, {"bias", bias}});
  EXPECT_EQ(last_dispatch().reason, std::string("there is a bias"));
  o = in.options, o.dropout = 0.5, o.seed = 3;
  const auto [output, weights] = call(&sparsemax, in.leaves, o);
  EXPECT_EQ(last_dispatch().reason, std::string("there is dropout"));
  EXPECT_TRUE(same_bits(output, std::get<0>(call(&sparsemax, in.leaves, o))));
  const auto [whole, same] = call(&sparsemax, in.leaves, in.options);
  EXPECT_TRUE(test::relative_error(weights, same) < 1e-14);  // weights are those before dropout
  EXPECT_GT(test::relative_error(output, whole), 0.1);
}

TEST(Sparsemax, SecondDerivativesGoThroughTheDefinition) {
  const Inputs in = inputs_of({"second", 1, 2, 1, 3, 5, 2, 2});
  const auto penalty = [&](Op f) {
    Tensors leaves;
    for (const at::Tensor& t : in.leaves) leaves.push_back(t.clone().set_requires_grad(true));
    const at::Tensor loss = std::get<0>(call(f, leaves, in.options)).pow(2).sum();
    const auto first = torch::autograd::grad({loss}, leaves, {}, true, /*create_graph=*/true);
    return torch::autograd::grad({first[0].pow(2).sum() + first[1].pow(2).sum()}, leaves);
  };
  const auto ours = penalty(&sparsemax), composed = penalty(&compose::sparsemax);
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_LT(test::relative_error(ours[i], composed[i]), 1e-12) << i;
}

TEST(Sparsemax, EveryTargetAndThreadCountAgrees) {
  const Case c{"all", 3, 4, 2, 21, 67, 19, 21, true, true, true};
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const Inputs in = inputs_of(c, dtype);
    const auto truth = everything(&compose::sparsemax, in, at::kDouble),
               composed = everything(&compose::sparsemax, in, at::kFloat);
    test::expect_agreement_everywhere([&] { return everything(&sparsemax, in, dtype); }, composed,
                                      truth);
  }
}

TEST(Sparsemax, StridedIsContiguousBitForBit) {
  const Inputs in = inputs_of({"strided", 2, 2, 2, 13, 20, 8, 6}, at::kFloat);
  const auto plain = call(&sparsemax, in.leaves, in.options);
  for (const auto& [a, b] : {std::pair{1, 2}, {2, 3}, {0, 1}}) {
    Tensors views;
    for (const at::Tensor& t : in.leaves)
      views.push_back(t.transpose(a, b).contiguous().transpose(a, b));
    EXPECT_TRUE(same_bits(std::get<0>(call(&sparsemax, views, in.options)), std::get<0>(plain)));
  }
  AttentionOptions o = in.options;
  const at::Tensor mask = random_tensor({13, 20}, 4).gt(0);
  o.mask = mask;
  const auto broadcast = call(&sparsemax, in.leaves, o);
  o.mask = mask.expand({2, 2, 13, 20}).contiguous();
  EXPECT_TRUE(same_bits(std::get<1>(call(&sparsemax, in.leaves, o)), std::get<1>(broadcast)));
}

TEST(Sparsemax, WhatNobodySeesIsNeverTouched) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Op f : {&sparsemax, &compose::sparsemax}) {
    Inputs in = inputs_of({"nan", 2, 2, 2, 9, 20, 8, 6}, at::kFloat);
    in.options.mask = at::ones({2, 2, 9, 20}, at::kBool);
    in.options.mask.select(3, 5).fill_(false), in.options.mask.select(2, 3).fill_(false);
    in.options.key_lengths = at::full({2}, 17, at::kLong);
    const auto clean = everything(f, in, at::kFloat);
    in.leaves[0].select(2, 3).fill_(nan);
    for (const int leaf : {1, 2})
      in.leaves[leaf].select(2, 5).fill_(nan), in.leaves[leaf].narrow(2, 17, 3).fill_(nan);
    const auto dirty = everything(f, in, at::kFloat);
    for (std::size_t i = 0; i < clean.size(); ++i) EXPECT_TRUE(same_bits(clean[i], dirty[i])) << i;
    EXPECT_EQ(clean[3].select(2, 3).abs().sum().item<float>(), 0);
    EXPECT_EQ(clean[0].select(2, 3).abs().sum().item<float>(), 0);
  }
}

TEST(Sparsemax, ANanThatIsSeenShows) {
  Inputs in = inputs_of({"nan", 1, 1, 1, 3, 40, 4, 4});
  in.leaves[1].select(2, 33).fill_(std::numeric_limits<double>::quiet_NaN());
  in.options.causal = true, in.options.alignment = Alignment::kFirst;
  EXPECT_FALSE(std::get<0>(call(&sparsemax, in.leaves, in.options)).isnan().any().item<bool>());
  in.options.causal = false;
  EXPECT_TRUE(std::get<0>(call(&sparsemax, in.leaves, in.options)).isnan().all().item<bool>());
}

TEST(Sparsemax, AddingToAllScoresChangesNothingAndAConstantValueComesBack) {
  Inputs in = inputs_of({"shift", 1, 1, 1, 6, 30, 5, 4});
  in.leaves[2].fill_(3.5);
  const auto [output, weights] = call(&sparsemax, in.leaves, in.options);
  EXPECT_LT(test::relative_error(output, at::full_like(output, 3.5)), 1e-15);
  in.leaves[1] += random_tensor({1, 1, 1, 5}, 8);  // a constant of each query's scores
  EXPECT_LT(test::relative_error(std::get<1>(call(&sparsemax, in.leaves, in.options)), weights),
            1e-13);
}

TEST(Sparsemax, EmptySizes) {
  for (const auto& [b, lq, lk] : {std::tuple{0, 3, 4}, {2, 0, 4}, {2, 3, 0}}) {
    const Case c{"empty", b, 2, 2, lq, lk, 3, 5};
    Inputs in = inputs_of(c);
    const auto all = everything(&sparsemax, in, at::kDouble);
    EXPECT_EQ(all[3].sizes(), (at::IntArrayRef{b, 2, lq, 5}));
    EXPECT_EQ(all[3].abs().sum().item<double>(), 0);
    EXPECT_EQ(all[0].abs().sum().item<double>(), 0);
  }
}

TEST(Sparsemax, RefusesWithAReason) {
  const Inputs in = inputs_of({"bad", 2, 4, 2, 3, 5, 6, 7});
  const auto refused = [&](Tensors x, const AttentionOptions& o, const std::string& part) {
    try {
      call(&sparsemax, x, o);
      ADD_FAILURE() << "accepted: " << part;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  const at::Tensor q = in.leaves[0], k = in.leaves[1], v = in.leaves[2];
  refused({q, k.narrow(3, 0, 5), v}, {}, "attend::sparsemax: key has D=5");
  refused({q, k, v.narrow(2, 0, 4)}, {}, "attend::sparsemax: value has Lk=4");
  refused({q.narrow(1, 0, 3), k, v}, {},
          "query has H=3 heads, which is not a multiple of key's Hkv=2");
  refused({q[0], k, v}, {}, "query");
  refused({at::Tensor(), k, v}, {}, "query");
  refused({q, k.to(at::kFloat), v}, {}, "key");
  AttentionOptions o;
  o.window_left = -2;
  refused({q, k, v}, o, "attend::sparsemax: window_left is -2");
  o = {}, o.key_lengths = at::full({2}, 6, at::kLong);
  refused({q, k, v}, o, "key_lengths");
  o = {}, o.mask = at::ones({3, 5}, at::kLong);
  refused({q, k, v}, o, "mask");
  o = {}, o.scale = std::numeric_limits<double>::quiet_NaN();
  refused({q, k, v}, o, "scale");
}

}  // namespace
}  // namespace attend
