// Local attention against Luong's equations (loops in double), its definition in ATen, and itself.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <limits>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "attend/ops/local.h"
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
  std::int64_t B, Lq, Lk, D, Dv, window;
  bool gaussian = true, additive = false, lengths = false, monotone = false;
  double logits = 1, scale = 1;
};

// Sizes of one; Lq ≠ Lk; D ≠ Dv; windows longer than the row and of one key; lengths one off blocks of 32 queries and 64 keys.
const std::vector<Case> kCases = {
    {"ones", 1, 1, 1, 1, 1, 1},
    {"small", 2, 5, 7, 3, 4, 2},
    {"local_m", 2, 33, 33, 8, 5, 3, false, false, false, true},
    {"one_off_blocks", 2, 33, 65, 17, 15, 6},
    {"blocks", 1, 32, 64, 16, 16, 8, true, false, false, true},
    {"below_blocks", 1, 31, 63, 20, 33, 9, true, false, false, true},
    {"long", 1, 130, 200, 16, 24, 20, true, false, true, true},
    {"whole_row", 2, 9, 11, 5, 6, 100},
    {"lengths", 4, 20, 40, 9, 7, 4, true, false, true},
    {"lengths_plain", 4, 20, 40, 9, 7, 4, false, false, true},
    {"additive", 2, 35, 70, 19, 6, 5, true, true, true},
    {"additive_plain", 1, 5, 6, 3, 2, 2, false, true},
    {"scaled", 2, 9, 12, 8, 8, 3, true, false, false, false, 1, 0.35},
    {"extreme", 1, 33, 65, 8, 8, 6, true, false, false, true,
     10},  // 300: gradients below the last digit of the definition itself
};

struct Inputs {
  Tensors leaves;  // query, key, value, centre, and score_weight where the case has one
  LocalOptions options;
};

Inputs inputs_of(const Case& c, at::ScalarType dtype = at::kDouble) {
  Inputs in{
      {random_tensor({c.B, c.Lq, c.D}, 1, 2 * c.logits, dtype),
       random_tensor({c.B, c.Lk, c.D}, 2, 2, dtype), random_tensor({c.B, c.Lk, c.Dv}, 3, 1, dtype)},
      {}};
  // Centres beyond both ends too: windows that are clipped, or miss the row.
  const double half = static_cast<double>(c.Lk) / 2;
  at::Tensor centre = random_tensor({c.B, c.Lq}, 4, half * 1.2) + half;
  if (c.monotone)
    centre = at::arange(c.Lq, at::TensorOptions(at::kDouble))
                 .mul(static_cast<double>(c.Lk) / static_cast<double>(c.Lq))
                 .expand({c.B, c.Lq}) +
             random_tensor({c.B, c.Lq}, 4, c.gaussian ? 0.4 : 0.0);
  in.leaves.push_back(centre.to(dtype));
  if (c.additive) in.leaves.push_back(random_tensor({c.D}, 5, 1, dtype));
  LocalOptions& o = in.options;
  o.window = c.window, o.gaussian = c.gaussian, o.need_weights = true;
  if (c.scale != 1) o.scale = c.scale;
  std::vector<std::int64_t> lengths;
  for (std::int64_t b = 0; b < c.B; ++b)
    lengths.push_back(b * c.Lk / std::max<std::int64_t>(1, c.B - 1));  // 0 … Lk
  if (c.lengths) o.key_lengths = at::tensor(lengths, at::kLong);
  return in;
}

using Local = decltype(&local);

AttentionResult call(Local f, const Tensors& leaves, LocalOptions o) {
  if (leaves.size() > 4) o.score_weight = leaves[4];
  return f(leaves[0], leaves[1], leaves[2], leaves[3], o);
}

/// Luong et al. 2015, equations 7 to 10, one number at a time.
test::Loops truth_of(const Case& c, const Inputs& in) {
  const auto at3 = [&](int n, int a, int b, int d) {
    return in.leaves[n]
        .const_data_ptr<double>()[(a * in.leaves[n].size(1) + b) * in.leaves[n].size(2) + d];
  };
  const auto centre = [&](int b, int i) {
    return in.leaves[3].const_data_ptr<double>()[b * c.Lq + i];
  };
  return test::attention_by_loops(
      c.B, 1, c.Lq, c.Lk, c.Dv,
      [&](int b, int, int i, int j) {
        const std::int64_t length =
            c.lengths ? in.options.key_lengths[b].item<std::int64_t>() : c.Lk;
        return j < length && std::abs(j - centre(b, i)) <= static_cast<double>(c.window);
      },
      [&](int b, int, int i, int j) {
        double s = 0;
        for (int d = 0; d < c.D; ++d)
          s += c.additive ? in.leaves[4].const_data_ptr<double>()[d] *
                                std::tanh(at3(0, b, i, d) + at3(1, b, j, d))
                          : at3(0, b, i, d) * at3(1, b, j, d);
        return c.scale * s;
      },
      [&](int b, int, int j, int d) { return at3(2, b, j, d); },
      [&](int b, int, int i, int j) {
        const double sigma = static_cast<double>(c.window) / 2, off = j - centre(b, i);
        return c.gaussian ? std::exp(-off * off / (2 * sigma * sigma)) : 1.0;
      });
}

TEST(Local, FollowsLuongsEquations) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c);
    const auto truth = truth_of(c, in);
    for (const Local f : {&local, &compose::local}) {
      const auto [output, weights] = call(f, in.leaves, in.options);
      EXPECT_LT(test::relative_error(output, at::tensor(truth.output).view({c.B, c.Lq, c.Dv})),
                2e-13);
      EXPECT_LT(test::relative_error(weights, at::tensor(truth.weights).view({c.B, c.Lq, c.Lk})),
                2e-13);
    }
  }
}

/// Output, weights and all gradients of one call; the loss reads the weights too where `through_weights`.
Tensors everything(Local f, const Inputs& in, at::ScalarType dtype, bool through_weights = true) {
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

TEST(Local, IsAsGoodAsTheDefinition) {
  for (const Case& c : kCases) {
    for (const bool through_weights : {false, true}) {
      SCOPED_TRACE(std::string(c.name) + (through_weights ? " through weights" : ""));
      const Inputs in = inputs_of(c, at::kFloat);
      const auto truth = everything(&compose::local, in, at::kDouble, through_weights);
      const auto composed = everything(&compose::local, in, at::kFloat, through_weights);
      const auto ours = everything(&local, in, at::kFloat, through_weights);
      EXPECT_EQ(last_dispatch().path, Path::kFused);
      EXPECT_EQ(last_dispatch().op, std::string("attend::local_backward"));
      for (std::size_t i = 0; i < ours.size(); ++i)
        EXPECT_TRUE(test::as_good_as(ours[i], composed[i], truth[i])) << i;
      const auto in_double = everything(&local, in, at::kDouble, through_weights);
      for (std::size_t i = 0; i < ours.size(); ++i)
        EXPECT_TRUE(test::as_good_as(in_double[i], composed[i], truth[i])) << i;
    }
  }
}

TEST(Local, GradientsAgreeWithFiniteDifferences) {
  for (const Case& c :
       {Case{"dot", 2, 4, 7, 3, 2, 2}, Case{"additive", 2, 4, 7, 3, 2, 2, true, true, true},
        Case{"plain", 1, 4, 6, 3, 2, 2, false}}) {
    SCOPED_TRACE(c.name);
    Inputs in = inputs_of(c);
    in.leaves[3] =
        in.leaves[3].round() + 0.3;  // no key stands on an edge of a window, where w jumps
    std::vector<test::Named> named{{"query", in.leaves[0]},
                                   {"key", in.leaves[1]},
                                   {"value", in.leaves[2]},
                                   {"centre", in.leaves[3]}};
    if (c.additive) named.push_back({"score_weight", in.leaves[4]});
    test::expect_gradients(
        [&](const Tensors& x) {
          const auto [output, weights] = call(&local, x, in.options);
          return Tensors{output, weights};
        },
        named);
  }
}

// local-p as a whole: the gradient reaches the parameters that predict the centre.
TEST(Local, GradientRunsThroughThePredictedCentre) {
  const Inputs in = inputs_of({"p", 2, 3, 9, 4, 3, 2});
  const at::Tensor lengths = at::tensor({9, 5}, at::kLong);
  test::expect_gradients(
      [&](const Tensors& x) {
        LocalOptions o;
        o.window = 2, o.key_lengths = lengths;
        return Tensors{std::get<0>(local(in.leaves[0], in.leaves[1], in.leaves[2],
                                         predicted_centre(x[0], x[1], x[2], 9, lengths), o))};
      },
      {{"hidden", random_tensor({2, 3, 4}, 21)},
       {"weight", random_tensor({5, 4}, 22)},
       {"score_weight", random_tensor({5}, 23)}});
}

TEST(Local, PredictedCentreIsAShareOfTheRow) {  // equation 9, by loops
  const at::Tensor h = random_tensor({2, 3, 4}, 1), w = random_tensor({5, 4}, 2),
                   v = random_tensor({5}, 3);
  const at::Tensor centre = predicted_centre(h, w, v, 10, at::tensor({10, 6}, at::kLong));
  for (int b = 0; b < 2; ++b)
    for (int i = 0; i < 3; ++i) {
      double score = 0;
      for (int a = 0; a < 5; ++a) {
        double x = 0;
        for (int d = 0; d < 4; ++d) x += w[a][d].item<double>() * h[b][i][d].item<double>();
        score += v[a].item<double>() * std::tanh(x);
      }
      EXPECT_NEAR(centre[b][i].item<double>(), (b == 0 ? 10 : 6) / (1 + std::exp(-score)), 1e-13);
    }
}

TEST(Local, WindowIsClippedAtBothEndsAndHoldsItsEdges) {
  const at::Tensor q = at::ones({1, 5, 2}, at::kDouble), k = at::ones({1, 10, 2}, at::kDouble);
  LocalOptions o;
  o.window = 2, o.gaussian = false, o.need_weights = true;
  const at::Tensor centre = at::tensor({0.0, 9.0, 4.0, 4.5, -3.0}, at::kDouble).view({1, 5});
  const auto [output, weights] = local(q, k, at::ones({1, 10, 1}, at::kDouble), centre, o);
  const std::vector<std::vector<int>> seen = {
      {0, 1, 2}, {7, 8, 9}, {2, 3, 4, 5, 6}, {3, 4, 5, 6}, {}};
  for (int i = 0; i < 5; ++i) {
    for (int j = 0; j < 10; ++j) {
      const bool inside = std::find(seen[i].begin(), seen[i].end(), j) != seen[i].end();
      EXPECT_DOUBLE_EQ(weights[0][i][j].item<double>(),
                       inside ? 1.0 / static_cast<double>(seen[i].size()) : 0.0)
          << i << ' ' << j;
    }
    EXPECT_DOUBLE_EQ(output[0][i][0].item<double>(), seen[i].empty() ? 0.0 : 1.0);
  }
}

TEST(Local, TheGaussianIsNotRenormalised) {
  const at::Tensor q = at::ones({1, 1, 1}, at::kDouble), k = at::ones({1, 3, 1}, at::kDouble);
  LocalOptions o;
  o.window = 2;
  const at::Tensor out =
      std::get<0>(local(q, k, at::ones({1, 3, 1}, at::kDouble), at::ones({1, 1}, at::kDouble), o));
  EXPECT_NEAR(out.item<double>(), (1 + 2 * std::exp(-0.5)) / 3, 1e-15);  // σ = 1
}

TEST(Local, EveryTargetAndThreadCountAgrees) {
  for (const Case& c : {Case{"dot", 3, 70, 130, 37, 21, 9, true, false, true},
                        Case{"additive", 2, 35, 70, 19, 6, 5, true, true, true}})
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      const Inputs in = inputs_of(c, dtype);
      const auto truth = everything(&compose::local, in, at::kDouble),
                 composed = everything(&compose::local, in, at::kFloat);
      test::expect_agreement_everywhere([&] { return everything(&local, in, dtype); }, composed,
                                        truth);
    }
}

TEST(Local, StridedIsContiguousBitForBit) {
  Inputs in = inputs_of({"strided", 2, 33, 40, 16, 12, 5}, at::kFloat);
  const auto plain = everything(&local, in, at::kFloat);
  for (const bool by_column : {false, true}) {
    Tensors views;
    for (std::size_t i = 0; i < 3; ++i) {
      const at::Tensor& t = in.leaves[i];
      views.push_back(by_column ? t.transpose(1, 2).contiguous().transpose(1, 2)
                                : t.transpose(0, 1).contiguous().transpose(0, 1));
    }
    views.push_back(in.leaves[3]);
    EXPECT_TRUE(same_bits(std::get<0>(call(&local, views, in.options)), plain[4]));
  }
}

TEST(Local, WhatNobodySeesIsNeverTouched) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Inputs in = inputs_of({"nan", 1, 40, 100, 8, 6, 4, true, false, false, true}, at::kFloat);
  in.leaves[3] = in.leaves[3] * 0.5;     // centres in 0 … 50: keys from 56 on are in no window
  in.leaves[3].select(1, 7).fill_(-50);  // a query whose window misses the row
  const auto clean = everything(&local, in, at::kFloat);
  in.leaves[1].narrow(1, 56, 44).fill_(nan), in.leaves[2].narrow(1, 56, 44).fill_(nan),
      in.leaves[0].select(1, 7).fill_(nan);
  for (const Local f : {&local, &compose::local}) {
    const auto dirty = everything(f, in, at::kFloat);
    for (std::size_t i = 0; i < clean.size(); ++i) {
      EXPECT_FALSE(dirty[i].isnan().any().item<bool>()) << i;
      if (f == &local) {
        EXPECT_TRUE(same_bits(clean[i], dirty[i])) << i;
      }
    }
  }
  EXPECT_EQ(clean[4].select(1, 7).abs().sum().item<float>(), 0);
  EXPECT_EQ(clean[0].select(1, 7).abs().sum().item<float>(), 0);
}

TEST(Local, ANanCentreIsNotHidden) {
  Inputs in = inputs_of({"centre", 1, 3, 9, 4, 4, 2});
  in.leaves[3].select(1, 1).fill_(std::numeric_limits<double>::quiet_NaN());
  for (const Local f : {&local, &compose::local}) {
    const at::Tensor out = std::get<0>(call(f, in.leaves, in.options));
    EXPECT_TRUE(out.select(1, 1).isnan().all().item<bool>());
    EXPECT_FALSE(out.select(1, 0).isnan().any().item<bool>());
  }
  in.leaves[3].select(1, 1).fill_(std::numeric_limits<double>::infinity());
  EXPECT_EQ(
      std::get<0>(call(&local, in.leaves, in.options)).select(1, 1).abs().sum().item<double>(), 0);
}

TEST(Local, AConstantValueComesBackWithoutGaussian) {
  for (const double logits : {1.0, 100.0}) {
    Inputs in =
        inputs_of({"constant", 2, 40, 40, 8, 8, 6, false, false, false, true, logits}, at::kFloat);
    in.leaves[2].fill_(3.5);
    const at::Tensor out = std::get<0>(call(&local, in.leaves, in.options));
    EXPECT_LT(test::relative_error(out, at::full_like(out, 3.5)), 1e-6);
  }
}

TEST(Local, EmptySizesAndHugeWindows) {
  const auto run = [](std::int64_t B, std::int64_t Lq, std::int64_t Lk, std::int64_t D) {
    LocalOptions o;
    o.window = std::numeric_limits<std::int64_t>::max(), o.gaussian = false;
    return std::get<0>(local(at::ones({B, Lq, D}), at::ones({B, Lk, D}), at::ones({B, Lk, 2}),
                             at::ones({B, Lq}), o));
  };
  EXPECT_EQ(run(0, 3, 4, 5).sizes(), at::IntArrayRef({0, 3, 2}));
  EXPECT_EQ(run(1, 0, 4, 5).sizes(), at::IntArrayRef({1, 0, 2}));
  EXPECT_EQ(run(1, 3, 0, 5).abs().sum().item<float>(), 0);
  EXPECT_FLOAT_EQ(run(1, 3, 4, 0).mean().item<float>(), 1);
}

void expect_refused(const Tensors& t, const LocalOptions& o, const std::string& message) {
  try {
    local(t[0], t[1], t[2], t[3], o);
    FAIL() << "not refused: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), message);
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  }
}

TEST(Local, EveryCheckSaysWhatIsWrong) {
  const at::Tensor q = at::ones({2, 3, 8}), k = at::ones({2, 5, 8}), v = at::ones({2, 5, 6}),
                   c = at::ones({2, 3});
  const auto with = [](auto set) {
    LocalOptions o;
    set(o);
    return o;
  };
  expect_refused({q, at::ones({2, 5, 9}), v, c}, {},
                 "attend::local: key has D=9 (shape [2, 5, 9]) but query set D=8");
  expect_refused({q, k, at::ones({2, 4, 6}), c}, {},
                 "attend::local: value has Lk=4 (shape [2, 4, 6]) but key set Lk=5");
  expect_refused({q, k, v, at::ones({2, 4})}, {},
                 "attend::local: centre has Lq=4 (shape [2, 4]) but query set Lq=3");
  expect_refused({q, k, v, {}}, {}, "attend::local: centre is undefined but must be [B, Lq]");
  expect_refused({q, k, v, c.to(at::kDouble)}, {},
                 "attend::local: centre has dtype Double but query has Float");
  expect_refused({q, k, v, c}, with([](auto& o) { o.window = 0; }),
                 "attend::local: window is 0 but must be at least 1");
  expect_refused({q, k, v, c}, with([](auto& o) { o.scale = std::nan(""); }),
                 "attend::local: scale is nan but must be finite");
  expect_refused({q, k, v, c}, with([](auto& o) { o.score_weight = at::ones({3}); }),
                 "attend::local: score_weight has D=3 (shape [3]) but query set D=8");
  expect_refused({q, k, v, c}, with([](auto& o) { o.key_lengths = at::full({2}, -1, at::kLong); }),
                 "attend::local: key_lengths[0] is -1 but must be in [0, Lk=5]");
}

}  // namespace
}  // namespace attend
