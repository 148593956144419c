// Scaled dot-product attention against the equations (loops in double), its composition, and PyTorch.
//
// Planted in the kernels one at a time, and each seen to fail here (without the tests of every target): forward: the old sums not
// faded; the maximum of a block forgotten; a partly hidden tile not hidden; kept weights not scaled after dropout; the returned
// weights not normalised; every block taken for the first. Backward: delta not subtracted.
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <limits>

#include "attend/base/error.h"
#include "attend/ops/attention.h"
#include "attend/ops/dispatch.h"
#include "kernels/sdpa/bfloat16_dot.h"
#include "ops/arena.h"
#include "ops/attention_equations.h"
#include "support/compare.h"
#include "support/everywhere.h"
#include "support/gradcheck.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend {
namespace {

using test::random_tensor;
using test::same_bits;

struct Case {
  const char* name;
  std::int64_t B, H, Hkv, Lq, Lk, D, Dv;
  bool causal = false;
  Alignment alignment = Alignment::kLast;
  std::int64_t left = -1, right = -1;
  bool query_lengths = false, key_lengths = false, mask = false, bias = false;
  double logits = 1;  // multiplies the queries: extreme scores
};

// Sizes of one; Lq ≠ Lk; groups with Hkv ≥ 2; D ≠ Dv; lengths one off a block of 32, 64 and 128 queries or 64 keys.
const std::vector<Case> kCases = {
    {"ones", 1, 1, 1, 1, 1, 1, 1},
    {"small", 2, 2, 2, 5, 7, 3, 4},
    {"groups", 2, 6, 2, 9, 11, 8, 8},
    {"multi_query", 1, 4, 1, 3, 70, 5, 2},
    {"one_off_blocks", 1, 1, 1, 33, 65, 17, 15},
    {"block", 1, 2, 2, 32, 64, 16, 16},
    {"below_block", 1, 2, 1, 31, 63, 20, 33},
    {"long", 1, 1, 1, 520, 515, 16, 24},
    {"causal", 2, 2, 2, 40, 40, 8, 8, true},
    {"causal_last", 1, 2, 1, 5, 70, 8, 8, true},
    {"causal_first", 1, 2, 1, 5, 70, 8, 8, true, Alignment::kFirst},
    {"causal_more_queries", 1, 1, 1, 70, 5, 4, 4, true},
    {"window", 1, 2, 2, 50, 50, 8, 8, false, Alignment::kLast, 3, 2},
    {"window_causal", 1, 1, 1, 140, 150, 8, 8, true, Alignment::kLast, 9},
    {"window_beyond", 1, 1, 1, 4, 4, 4, 4, false, Alignment::kLast, 1000, 1000},
    {"lengths", 3, 2, 2, 37, 66, 8, 5, false, Alignment::kLast, -1, -1, true, true},
    {"lengths_causal", 3, 2, 1, 66, 66, 8, 8, true, Alignment::kLast, -1, -1, true, true},
    {"mask", 2, 2, 2, 34, 67, 8, 8, false, Alignment::kLast, -1, -1, false, false, true},
    {"mask_lengths_window", 3, 2, 1, 34, 67, 8, 8, false, Alignment::kLast, 20, 5, true, true,
     true},
    {"bias", 2, 2, 2, 9, 66, 8, 8, false, Alignment::kLast, -1, -1, false, false, false, true},
    {"everything", 3, 4, 2, 35, 69, 9, 7, true, Alignment::kLast, 30, -1, true, true, true, true},
    {"extreme", 1, 2, 2, 33, 65, 8, 8, false, Alignment::kLast, -1, -1, false, false, false, false,
     1e3},
    {"extreme_causal", 1, 2, 2, 33, 33, 8, 8, true, Alignment::kLast, -1, -1, false, false, false,
     false, 1e3},
};

struct Inputs {
  at::Tensor query, key, value;
  AttentionOptions options;
};

Inputs inputs_of(const Case& c, at::ScalarType dtype = at::kDouble) {
  Inputs in{random_tensor({c.B, c.H, c.Lq, c.D}, 1, 2 * c.logits, dtype),
            random_tensor({c.B, c.Hkv, c.Lk, c.D}, 2, 2, dtype),
            random_tensor({c.B, c.Hkv, c.Lk, c.Dv}, 3, 1, dtype),
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
    o.mask = random_tensor({c.B, 1, c.Lq, c.Lk}, 4).gt(-0.3);
    o.mask.select(2, 0).fill_(false);         // a query that sees no key
    o.mask.select(3, c.Lk / 2).fill_(false);  // a key that no query sees
  }
  if (c.bias) o.bias = random_tensor({c.H, c.Lq, c.Lk}, 5, 2, dtype);
  return in;
}

test::Loops truth_of(const Case& c, const Inputs& in) {
  const at::Tensor q = in.query.to(at::kDouble).contiguous(),
                   k = in.key.to(at::kDouble).contiguous();
  const at::Tensor v = in.value.to(at::kDouble).contiguous();
  const double *qp = q.const_data_ptr<double>(), *kp = k.const_data_ptr<double>(),
               *vp = v.const_data_ptr<double>();
  const at::Tensor bias =
      in.options.bias.defined() ? in.options.bias.to(at::kDouble) : at::Tensor();
  const std::int64_t group = c.H / c.Hkv;
  return test::attention_by_loops(
      c.B, c.H, c.Lq, c.Lk, c.Dv,
      [&](int b, int h, int i, int j) {
        return test::may_attend(in.options, b, h, i, j, c.Lq, c.Lk);
      },
      [&](int b, int h, int i, int j) {
        double dot = 0;
        for (std::int64_t d = 0; d < c.D; ++d)
          dot += qp[((b * c.H + h) * c.Lq + i) * c.D + d] *
                 kp[((b * c.Hkv + h / group) * c.Lk + j) * c.D + d];
        return dot / std::sqrt(static_cast<double>(c.D)) +
               (bias.defined() ? bias[h][i][j].item<double>() : 0.0);
      },
      [&](int b, int h, int j, int d) {
        return vp[((b * c.Hkv + h / group) * c.Lk + j) * c.Dv + d];
      });
}

at::Tensor tensor_of(const std::vector<double>& values, at::IntArrayRef shape) {
  return at::tensor(values, at::kDouble).view(shape);
}

TEST(Sdpa, FollowsTheEquations) {
  for (const Case& c : kCases) {
    if (c.Lq * c.Lk > 40000) continue;  // the loops read tensors element by element
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c);
    const auto truth = truth_of(c, in);
    for (const bool fused : {true, false}) {
      const auto [output, weights] = fused ? sdpa(in.query, in.key, in.value, in.options)
                                           : compose::sdpa(in.query, in.key, in.value, in.options);
      EXPECT_LT(test::relative_error(output, tensor_of(truth.output, {c.B, c.H, c.Lq, c.Dv})),
                1e-13);
      EXPECT_LT(test::relative_error(weights, tensor_of(truth.weights, {c.B, c.H, c.Lq, c.Lk})),
                1e-13);
    }
  }
}

/// Output, weights and the three gradients of one call.
std::vector<at::Tensor> everything(const Inputs& in, bool fused, at::ScalarType dtype) {
  const auto leaf = [&](const at::Tensor& t) {
    return t.detach().to(dtype).clone().set_requires_grad(true);
  };
  const at::Tensor q = leaf(in.query), k = leaf(in.key), v = leaf(in.value);
  AttentionOptions o = in.options;
  if (o.bias.defined()) o.bias = o.bias.to(dtype);
  o.need_weights = true;
  const auto [output, weights] = fused ? sdpa(q, k, v, o) : compose::sdpa(q, k, v, o);
  const at::Tensor cotangent = random_tensor(output.sizes(), 9, 1, dtype);
  const auto grads = torch::autograd::grad({output}, {q, k, v}, {cotangent});
  std::vector<at::Tensor> all{output.detach(), weights.detach()};
  all.insert(all.end(), grads.begin(), grads.end());
  return all;
}

std::vector<at::Tensor> pytorch_gradients(const Inputs& in, bool causal) {
  const auto leaf = [](const at::Tensor& t) { return t.detach().clone().set_requires_grad(true); };
  const at::Tensor q = leaf(in.query), k = leaf(in.key), v = leaf(in.value);
  const at::Tensor output = at::scaled_dot_product_attention(q, k, v, {}, 0.0, causal);
  return torch::autograd::grad({output}, {q, k, v},
                               {random_tensor(output.sizes(), 9, 1, at::kFloat)});
}

TEST(Sdpa, FloatIsAsGoodAsTheComposition) {
  const char* names[] = {"output", "weights", "grad query", "grad key", "grad value"};
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c, at::kFloat);
    const auto composed = everything(in, false, at::kFloat),
               truth = everything(in, false, at::kDouble);
    const auto ours = everything(in, true, at::kFloat);
    EXPECT_EQ(last_dispatch().path, Path::kFused);
    // With one-hot weights the gradients are differences of nearly equal numbers, <dO, v> − <dO, O>. A kernel that doesn't keep
    // the weights has only the rounded output for the second; there PyTorch's fused kernel is the measure.
    const auto measure = c.logits > 1
                             ? pytorch_gradients(in, c.causal)
                             : std::vector<at::Tensor>{composed.begin() + 2, composed.end()};
    for (std::size_t i = 0; i < 2; ++i)
      EXPECT_TRUE(test::as_good_as(ours[i], composed[i], truth[i])) << names[i];
    for (std::size_t i = 2; i < 5; ++i)
      EXPECT_TRUE(test::as_good_as(ours[i], measure[i - 2], truth[i])) << names[i];
  }
}

// In double the composition is no better truth than we are: both round, and must agree to a few hundred roundings.
TEST(Sdpa, DoubleAgreesWithTheComposition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c);
    const auto ours = everything(in, true, at::kDouble),
               composed = everything(in, false, at::kDouble);
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_LT(test::relative_error(ours[i], composed[i]), c.logits > 1 ? 1e-9 : 1e-13) << i;
  }
}

TEST(Sdpa, GradientsAgreeWithFiniteDifferences) {
  for (const char* name : {"small", "groups", "lengths_causal", "everything"}) {
    SCOPED_TRACE(name);
    Case c = *std::find_if(kCases.begin(), kCases.end(),
                           [&](const Case& x) { return x.name == std::string(name); });
    c.B = std::min<std::int64_t>(c.B, 2), c.Lq = std::min<std::int64_t>(c.Lq, 6),
    c.Lk = std::min<std::int64_t>(c.Lk, 7);
    const Inputs in = inputs_of(c);
    AttentionOptions o = in.options;
    o.need_weights = false;
    test::expect_gradients(
        [&](const std::vector<at::Tensor>& x) {
          return std::vector<at::Tensor>{std::get<0>(sdpa(x[0], x[1], x[2], o))};
        },
        {{"query", in.query}, {"key", in.key}, {"value", in.value}});
    o.need_weights = true;  // a loss on the weights as well
    test::expect_gradients(
        [&](const std::vector<at::Tensor>& x) {
          const auto [output, weights] = sdpa(x[0], x[1], x[2], o);
          return std::vector<at::Tensor>{output, weights};
        },
        {{"query", in.query}, {"key", in.key}, {"value", in.value}});
  }
}

/// Every way in which a bias broadcasts to [B,H,Lq,Lk].
std::vector<std::vector<std::int64_t>> bias_shapes(const Case& c) {
  return {{c.B, c.H, c.Lq, c.Lk},
          {1, 1, c.Lq, c.Lk},
          {c.B, 1, c.Lq, c.Lk},
          {c.H, c.Lq, c.Lk},
          {c.Lq, c.Lk},
          {c.B, 1, 1, c.Lk},
          {c.H, 1, c.Lk},
          {c.Lk},
          {c.H, c.Lq, 1},
          {c.B, c.H, 1, 1},
          {}};
}

TEST(Sdpa, BiasHasAGradient) {
  const Case c = {"bias", 2, 4, 2, 4, 5, 3, 3};
  const Inputs in = inputs_of(c);
  for (const auto& shape : bias_shapes(c)) {
    SCOPED_TRACE(testing::PrintToString(shape));
    test::expect_gradients(
        [&](const std::vector<at::Tensor>& x) {
          AttentionOptions o;
          o.bias = x[1], o.scale = 0.3, o.key_lengths = at::tensor({3, 5}, at::kLong);
          return std::vector<at::Tensor>{std::get<0>(sdpa(x[0], in.key, in.value, o))};
        },
        {{"query", in.query}, {"bias", random_tensor(shape, 6)}});
    EXPECT_EQ(last_dispatch().path, Path::kFused);
  }
}

/// The gradients of query, key, value and bias.
std::vector<at::Tensor> with_bias_gradient(const Inputs& in, const at::Tensor& bias, bool fused,
                                           at::ScalarType dtype) {
  const auto leaf = [&](const at::Tensor& t) {
    return t.detach().to(dtype).clone().set_requires_grad(true);
  };
  const at::Tensor q = leaf(in.query), k = leaf(in.key), v = leaf(in.value), b = leaf(bias);
  AttentionOptions o = in.options;
  o.bias = b, o.need_weights = false;
  const at::Tensor output = std::get<0>(fused ? sdpa(q, k, v, o) : compose::sdpa(q, k, v, o));
  const auto all =
      torch::autograd::grad({output}, {q, k, v, b}, {random_tensor(output.sizes(), 9, 1, dtype)});
  if (fused) {
    EXPECT_EQ(last_dispatch().op, std::string("attend::sdpa_backward"));
    EXPECT_EQ(last_dispatch().path, Path::kFused) << last_dispatch().reason;
  }
  return all;
}

// Shapes with more than one chunk of keys, each kind of visibility, and dropout.
const std::vector<Case> kBiasCases = {
    {"plain", 2, 4, 2, 35, 140, 8, 5},
    {"few_heads", 1, 2, 1, 130, 300, 8, 8, true},
    {"everything", 3, 4, 2, 35, 69, 9, 7, true, Alignment::kLast, 30, -1, true, true, true},
    {"lengths", 3, 2, 2, 37, 66, 8, 5, false, Alignment::kLast, -1, -1, true, true},
};

TEST(Sdpa, GradientOfTheBiasIsTheCompositions) {
  for (const Case& c : kBiasCases)
    for (const double dropout : {0.0, 0.3})
      for (const auto& shape : bias_shapes(c)) {
        SCOPED_TRACE(c.name + std::string(" ") + testing::PrintToString(shape));
        Inputs in = inputs_of(c);
        in.options.dropout = dropout;
        const at::Tensor bias = random_tensor(shape, 6, 2);
        const auto ours = with_bias_gradient(in, bias, true, at::kDouble),
                   truth = with_bias_gradient(in, bias, false, at::kDouble);
        EXPECT_EQ(ours[3].sizes(), bias.sizes());
        // A sum over all keys of a query is 0 but for rounding, so the gradient is measured against the size of its terms.
        const double size =
            with_bias_gradient(in, bias.expand({c.B, c.H, c.Lq, c.Lk}), false, at::kDouble)[3]
                .norm()
                .item<double>();
        EXPECT_LT((ours[3] - truth[3]).norm().item<double>(), 1e-12 * size);
        for (std::size_t i = 0; i < 3; ++i)
          EXPECT_LT(test::relative_error(ours[i], truth[i]), 1e-13) << i;
      }
}

TEST(Sdpa, GradientOfTheBiasOnEveryTargetAndThreadCount) {
  for (const Case& c : kBiasCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c, at::kFloat);
    for (const auto& shape : {std::vector<std::int64_t>{1, 1, c.Lq, c.Lk},
                              {c.H, c.Lq, c.Lk},
                              {c.B, 1, 1, c.Lk},
                              {c.H, c.Lq, 1}}) {
      const at::Tensor bias = random_tensor(shape, 6, 2, at::kFloat);
      const auto composed = with_bias_gradient(in, bias, false, at::kFloat),
                 truth = with_bias_gradient(in, bias, false, at::kDouble);
      const std::size_t measured =
          shape.back() == 1 ? 3 : 4;  // sums over all keys are nothing but rounding
      test::for_each_target([&] {
        const auto ours = with_bias_gradient(in, bias, true, at::kFloat);
        for (std::size_t i = 0; i < measured; ++i)
          EXPECT_TRUE(test::as_good_as(ours[i], composed[i], truth[i])) << i;
      });
      std::vector<at::Tensor> once;
      for (const int threads : {1, 2, 3, 7}) {
        const test::WithThreads with(threads);
        const auto all = with_bias_gradient(in, bias, true, at::kFloat);
        if (once.empty()) once = all;
        for (std::size_t i = 0; i < all.size(); ++i)
          EXPECT_TRUE(same_bits(once[i], all[i])) << threads << " threads, " << i;
      }
    }
  }
}

TEST(Sdpa, BiasOfAHiddenKeyHasNoGradient) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const bool dense : {false, true}) {
    Inputs in = inputs_of({"hidden", 2, 2, 2, 35, 70, 8, 8, true}, at::kFloat);
    in.options.key_lengths = at::tensor({50, 0}, at::kLong);
    if (dense)
      in.options.mask = at::ones({35, 70}, at::kBool),
      in.options.mask.narrow(1, 10, 5).fill_(false);
    at::Tensor bias = random_tensor({2, 2, 35, 70}, 6, 2, at::kFloat);
    in.key.narrow(2, 50, 20).fill_(nan), in.value.narrow(2, 50, 20).fill_(nan);
    bias.narrow(3, 50, 20).fill_(nan), in.key[1].fill_(nan), in.value[1].fill_(nan);
    const at::Tensor grad = with_bias_gradient(in, bias, true, at::kFloat)[3];
    for (std::int64_t b = 0; b < 2; ++b)
      for (std::int64_t i = 0; i < 35; ++i)
        for (std::int64_t j = 0; j < 70; ++j) {
          const bool seen = test::may_attend(in.options, b, 0, i, j, 35, 70);
          const double found = grad[b][1][i][j].item<double>();
          EXPECT_TRUE(seen ? found != 0 : found == 0)
              << found << " at " << b << ' ' << i << ' ' << j;
        }
  }
}

// Queries that see nothing, by a dense mask and by each fact: the cotangent of their output is NaN, and so it stays with them.
TEST(Sdpa, TheCotangentOfABlindQueryIsNotTouched) {
  Inputs in = inputs_of({"blind", 1, 2, 1, 35, 20, 8, 6}, at::kFloat);
  in.options.bias = random_tensor({35, 20}, 6, 1, at::kFloat).set_requires_grad(true);
  std::vector<AttentionOptions> all(4, in.options);
  all[0].mask = at::ones({35, 20}, at::kBool), all[0].mask.slice(0, 0, 35, 4).fill_(false);
  all[1].query_lengths = at::tensor({17}, at::kLong), all[1].causal = true;
  all[2].causal = true;  // the last query sees the last key: the first fifteen see none
  all[3].key_lengths = at::tensor({0}, at::kLong);
  for (std::size_t n = 0; n < all.size(); ++n)
    for (const bool fused : {true, false}) {
      SCOPED_TRACE(std::to_string(n) + (fused ? " fused" : " composed"));
      const at::Tensor q = in.query.clone().set_requires_grad(true),
                       k = in.key.clone().set_requires_grad(true),
                       v = in.value.clone().set_requires_grad(true);
      all[n].need_weights = true;
      const auto [output, weights] = fused ? sdpa(q, k, v, all[n]) : compose::sdpa(q, k, v, all[n]);
      const at::Tensor blind = weights.sum({-1}, true).eq(0);
      ASSERT_TRUE(blind.any().item<bool>());
      const at::Tensor cotangent = random_tensor(output.sizes(), 9, 1, at::kFloat);
      const auto gradients = [&](double there) {
        return torch::autograd::grad({output}, {q, k, v, all[n].bias},
                                     {cotangent.masked_fill(blind, there)}, true);
      };
      const auto clean = gradients(0), dirty = gradients(std::nan(""));
      for (std::size_t i = 0; i < clean.size(); ++i) {
        EXPECT_FALSE(dirty[i].isnan().any().item<bool>()) << i;
        EXPECT_TRUE(same_bits(clean[i], dirty[i])) << i;
      }
      EXPECT_EQ(dirty[0].masked_select(blind).abs().sum().item<double>(), 0);
    }
}

TEST(Sdpa, AgreesWithPyTorch) {
  const Inputs in = inputs_of({"torch", 2, 4, 4, 33, 33, 16, 16}, at::kDouble);
  for (const bool causal : {false, true}) {
    AttentionOptions o;
    o.causal = causal;
    const at::Tensor theirs =
        at::scaled_dot_product_attention(in.query, in.key, in.value, {}, 0.0, causal);
    EXPECT_LT(test::relative_error(std::get<0>(sdpa(in.query, in.key, in.value, o)), theirs),
              1e-13);
  }
  // PyTorch's is_causal stands at the first key; ours does so when asked.
  const Inputs wide = inputs_of({"wide", 1, 2, 2, 5, 9, 8, 8});
  AttentionOptions first;
  first.causal = true, first.alignment = Alignment::kFirst;
  const at::Tensor theirs =
      at::scaled_dot_product_attention(wide.query, wide.key, wide.value, {}, 0.0, true);
  EXPECT_LT(
      test::relative_error(std::get<0>(sdpa(wide.query, wide.key, wide.value, first)), theirs),
      1e-13);
  AttentionOptions last = first;
  last.alignment = Alignment::kLast;
  EXPECT_GT(test::relative_error(std::get<0>(sdpa(wide.query, wide.key, wide.value, last)), theirs),
            1e-3);
}

TEST(Sdpa, EveryTargetAndThreadCountAgrees) {
  const Case c = {"all", 3,  4,    2,    35,    69,  9, 7, true, Alignment::kLast,
                  30,    -1, true, true, false, true};
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const Inputs in = inputs_of(c, dtype);
    const auto truth = everything(in, false, at::kDouble),
               composed = everything(in, false, at::kFloat);
    test::expect_agreement_everywhere([&] { return everything(in, true, dtype); }, composed, truth,
                                      [] {
                                        EXPECT_EQ(last_dispatch().path, Path::kFused);
                                        EXPECT_EQ(last_dispatch().op,
                                                  std::string("attend::sdpa_backward"));
                                      });
  }
}

TEST(Sdpa, StridedIsContiguousBitForBit) {
  const Inputs in = inputs_of({"strided", 2, 3, 3, 33, 40, 16, 12}, at::kFloat);
  const auto as_blhd = [](const at::Tensor& t) {
    return t.transpose(1, 2).contiguous().transpose(1, 2);
  };  // [B,L,H,D] memory
  const auto by_column = [](const at::Tensor& t) {
    return t.transpose(2, 3).contiguous().transpose(2, 3);
  };
  const at::Tensor plain = std::get<0>(sdpa(in.query, in.key, in.value));
  EXPECT_TRUE(
      same_bits(plain, std::get<0>(sdpa(as_blhd(in.query), as_blhd(in.key), as_blhd(in.value)))));
  EXPECT_TRUE(same_bits(
      plain, std::get<0>(sdpa(by_column(in.query), by_column(in.key), by_column(in.value)))));
}

TEST(Sdpa, AConstantValueComesBackUnchanged) {
  for (const double logits : {1.0, 100.0}) {
    const Inputs in = inputs_of({"constant", 1, 2, 2, 33, 65, 8, 8, true, Alignment::kLast, -1, -1,
                                 false, false, false, false, logits},
                                at::kFloat);
    const at::Tensor out = std::get<0>(sdpa(in.query, in.key, at::full_like(in.value, 3.5)));
    EXPECT_LT(test::relative_error(out, at::full_like(out, 3.5)), 1e-6);
  }
}

TEST(Sdpa, OrderOfKeysDoesNotMatter) {
  const Inputs in = inputs_of({"order", 1, 2, 2, 9, 66, 8, 8});
  const at::Tensor back = at::arange(65, -1, -1, at::kLong);
  const at::Tensor there = std::get<0>(sdpa(in.query, in.key, in.value));
  EXPECT_LT(test::relative_error(std::get<0>(sdpa(in.query, in.key.index_select(2, back),
                                                  in.value.index_select(2, back))),
                                 there),
            1e-14);
}

TEST(Sdpa, WhatNobodySeesIsNeverTouched) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const bool dense : {false, true}) {
    SCOPED_TRACE(dense ? "dense mask" : "lengths");
    Inputs in = inputs_of({"nan", 2, 2, 2, 35, 70, 8, 8}, at::kFloat);
    AttentionOptions& o = in.options;
    if (dense) {
      o.mask = at::ones({2, 1, 35, 70}, at::kBool);
      o.mask.narrow(3, 50, 20).fill_(false);
      o.mask.narrow(2, 30, 5).fill_(false);
    } else {
      o.key_lengths = at::full({2}, 50, at::kLong), o.query_lengths = at::full({2}, 30, at::kLong);
    }
    const auto clean = everything(in, true, at::kFloat);
    in.key.narrow(2, 50, 20).fill_(nan), in.value.narrow(2, 50, 20).fill_(nan),
        in.query.narrow(2, 30, 5).fill_(nan);
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

TEST(Sdpa, AQueryWithoutKeysIsZeroWithZeroGradient) {
  Inputs in = inputs_of({"empty", 2, 1, 1, 4, 6, 3, 3}, at::kFloat);
  in.options.key_lengths = at::tensor({0, 3}, at::kLong);
  for (const bool fused : {true, false}) {
    const auto all = everything(in, fused, at::kFloat);
    for (const std::size_t i : {0, 1, 2, 3, 4})
      EXPECT_EQ(all[i][0].abs().sum().item<double>(), 0) << i;
    for (const std::size_t i : {0, 2, 3, 4})
      EXPECT_GT(all[i][1].abs().sum().item<double>(), 0) << i;
  }
}

TEST(Sdpa, CausalHidesTheFuture) {
  const Inputs in = inputs_of({"future", 1, 1, 1, 70, 70, 8, 8}, at::kFloat);
  AttentionOptions o;
  o.causal = true;
  const at::Tensor before = std::get<0>(sdpa(in.query, in.key, in.value, o));
  in.key.select(2, 40).add_(1), in.value.select(2, 40).add_(1);
  const at::Tensor after = std::get<0>(sdpa(in.query, in.key, in.value, o));
  EXPECT_TRUE(same_bits(before.narrow(2, 0, 40), after.narrow(2, 0, 40)));
  EXPECT_FALSE(at::equal(before.select(2, 40), after.select(2, 40)));
}

TEST(Sdpa, DropoutIsTheSameOnEveryPathAndFair) {
  Inputs in = inputs_of({"dropout", 2, 2, 1, 40, 70, 8, 8});
  in.options.dropout = 0.3, in.options.seed = 12345678901234;
  const auto fused = everything(in, true, at::kDouble),
             composed = everything(in, false, at::kDouble);
  for (std::size_t i = 0; i < fused.size(); ++i)
    EXPECT_LT(test::relative_error(fused[i], composed[i]), 1e-13) << i;
  // The identity as value shows the dropped weights themselves.
  Inputs eye = inputs_of({"eye", 1, 1, 1, 200, 64, 8, 64});
  eye.value = at::eye(64, at::kDouble).view({1, 1, 64, 64});
  eye.options.dropout = 0.3, eye.options.seed = 7;
  const auto [dropped, weights] = sdpa(eye.query, eye.key, eye.value, eye.options);
  const at::Tensor kept = dropped.ne(0);
  EXPECT_NEAR(kept.to(at::kDouble).mean().item<double>(), 0.7, 4 * std::sqrt(0.21 / (200 * 64)));
  EXPECT_LT(test::relative_error(dropped, at::where(kept, weights / 0.7, at::zeros_like(weights))),
            2e-5);  // p in steps of 2⁻¹⁶
  eye.options.seed = 8;
  EXPECT_FALSE(
      at::equal(kept, std::get<0>(sdpa(eye.query, eye.key, eye.value, eye.options)).ne(0)));
}

// A call that returns weights must not wait for fresh pages: their memory waits in the pool for the next call, and not before
// the last reference to them has gone.
TEST(Sdpa, WeightsComeFromThePool) {
  const Inputs in = inputs_of({"pool", 1, 4, 4, 300, 500, 4, 4}, at::kFloat);
  std::int64_t before = 0;
  {
    const at::Tensor weights = std::get<1>(sdpa(in.query, in.key, in.value, in.options)),
                     copy = weights.clone();
    sdpa(in.query.neg(), in.key, in.value, in.options);
    EXPECT_TRUE(same_bits(weights, copy));
    before = pooled_bytes();
  }
  EXPECT_GE(pooled_bytes(), before + 4 * 300 * 500 * 4);
}

TEST(Sdpa, EmptySizes) {
  const auto shape_of = [](std::int64_t B, std::int64_t H, std::int64_t Lq, std::int64_t Lk,
                           std::int64_t D) {
    const auto z = [](std::initializer_list<std::int64_t> s) { return at::ones(s, at::kFloat); };
    AttentionOptions o;
    o.need_weights = true;
    return sdpa(z({B, H, Lq, D}), z({B, H, Lk, D}), z({B, H, Lk, D}), o);
  };
  EXPECT_EQ(std::get<0>(shape_of(0, 2, 3, 4, 5)).sizes(), at::IntArrayRef({0, 2, 3, 5}));
  EXPECT_EQ(std::get<0>(shape_of(1, 2, 0, 4, 5)).sizes(), at::IntArrayRef({1, 2, 0, 5}));
  EXPECT_EQ(std::get<0>(shape_of(1, 2, 3, 0, 5)).abs().sum().item<double>(), 0);
  const auto [output, weights] = shape_of(1, 2, 3, 4, 0);  // no width: all scores 0
  EXPECT_EQ(output.sizes(), at::IntArrayRef({1, 2, 3, 0}));
  EXPECT_FLOAT_EQ(weights[0][0][0][0].item<float>(), 0.25f);
}

// The kernel's own test has the bound of each rounding; here the definition run in bfloat16, which rounds every step, is the measure.
TEST(Sdpa, Bfloat16IsNoWorseThanTheComposition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c, at::kBFloat16);
    const auto composed = everything(in, false, at::kBFloat16),
               truth = everything(in, false, at::kDouble);
    for (const bool pairs : {true, false}) {
      kernels::allow_bfloat16_dot(pairs);
      const auto ours = everything(in, true, at::kBFloat16);
      kernels::allow_bfloat16_dot(true);
      EXPECT_EQ(last_dispatch().path, Path::kFused);
      for (std::size_t i = 0; i < ours.size(); ++i) {
        EXPECT_EQ(ours[i].scalar_type(), at::kBFloat16);
        // One-hot weights: the gradients of scores, <dO, v> − <dO, O>, are smaller than the rounding of the output, and noise
        // for everyone (relative errors here: composition 1.0, PyTorch 0.6, ours 1.3).
        if (c.logits > 1 && (i == 2 || i == 3)) continue;
        const double limit = test::relative_error(composed[i], truth[i]);
        // Its own rounding at the end is what the best result has: 2⁻⁸ at most.
        EXPECT_LE(test::relative_error(ours[i], truth[i]), std::max(limit, 0x1p-8)) << i;
      }
    }
  }
}

TEST(Sdpa, Bfloat16SaysHowItIsComputed) {
  const Inputs in = inputs_of({"bf16", 2, 4, 2, 9, 11, 8, 8}, at::kBFloat16);
  const bool pairs = kernels::has_bfloat16_dot();
  const auto run = [&](const AttentionOptions& o) {
    const auto [output, weights] = sdpa(in.query, in.key, in.value, o);
    EXPECT_EQ(output.scalar_type(), at::kBFloat16);
    EXPECT_EQ(weights.scalar_type(), at::kBFloat16);
    EXPECT_EQ(last_dispatch().path, Path::kFused);
    return std::make_tuple(output, weights, std::string(last_dispatch().reason));
  };
  EXPECT_EQ(std::get<2>(run(in.options)),
            pairs ? "bfloat16 products, summed in float" : "bfloat16 is computed in float");
  kernels::allow_bfloat16_dot(false);
  const auto [output, weights, reason] = run(in.options);
  kernels::allow_bfloat16_dot(true);
  EXPECT_EQ(reason, "bfloat16 is computed in float");
  const Inputs wide{in.query.to(at::kFloat), in.key.to(at::kFloat), in.value.to(at::kFloat),
                    in.options};
  const auto [want, want_weights] = sdpa(wide.query, wide.key, wide.value, wide.options);
  EXPECT_EQ(last_dispatch().reason, std::string());
  EXPECT_TRUE(same_bits(output, want.to(at::kBFloat16)));  // rounded once
  EXPECT_TRUE(same_bits(weights, want_weights.to(at::kBFloat16)));
  AttentionOptions mixed = in.options;  // a bias that stays as exact as it is
  mixed.bias = random_tensor({9, 11}, 5, 1, at::kFloat);
  EXPECT_EQ(std::get<2>(run(mixed)), "bfloat16 is computed in float");
}

TEST(Sdpa, Bfloat16TakesABias) {
  const Inputs in = inputs_of({"bf16", 2, 4, 2, 9, 11, 8, 8, true}, at::kBFloat16);
  for (const auto dtype : {at::kBFloat16, at::kFloat}) {
    const at::Tensor bias = random_tensor({4, 9, 11}, 6, 1, at::kBFloat16).to(dtype);
    const auto gradients = [&](const Inputs& x, const at::Tensor& b) {
      const at::Tensor q = x.query.detach().clone().set_requires_grad(true),
                       with = b.detach().clone().set_requires_grad(true);
      AttentionOptions o = x.options;
      o.bias = with, o.need_weights = false;
      const at::Tensor output = std::get<0>(sdpa(q, x.key, x.value, o));
      return torch::autograd::grad({output}, {q, with},
                                   {random_tensor(output.sizes(), 9, 1, q.scalar_type())});
    };
    const auto ours = gradients(in, bias);
    EXPECT_EQ(ours[1].scalar_type(), dtype);
    const Inputs wide{in.query.to(at::kDouble), in.key.to(at::kDouble), in.value.to(at::kDouble),
                      in.options};
    const auto truth = gradients(wide, bias.to(at::kDouble));
    for (std::size_t i = 0; i < 2; ++i)
      EXPECT_LT(test::relative_error(ours[i], truth[i]), 0x1p-6) << i;  // four roundings
  }
}

void expect_refused(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const AttentionOptions& o, const std::string& message) {
  try {
    sdpa(q, k, v, o);
    FAIL() << "not refused: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), message);
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  }
}

TEST(Sdpa, EveryCheckSaysWhatIsWrong) {
  const at::Tensor q = at::ones({2, 4, 3, 8}), k = at::ones({2, 2, 5, 8}),
                   v = at::ones({2, 2, 5, 6});
  const auto with = [](auto set) {
    AttentionOptions o;
    set(o);
    return o;
  };
  expect_refused(q, at::ones({2, 2, 5, 16}), v, {},
                 "attend::sdpa: key has D=16 (shape [2, 2, 5, 16]) but query set D=8");
  expect_refused(q, k, at::ones({2, 2, 4, 6}), {},
                 "attend::sdpa: value has Lk=4 (shape [2, 2, 4, 6]) but key set Lk=5");
  expect_refused(at::ones({2, 3, 3, 8}), k, v, {},
                 "attend::sdpa: query has H=3 heads, which is not a multiple of key's Hkv=2");
  expect_refused(q.to(at::kLong), k, v, {},
                 "attend::sdpa: query has dtype Long but must be floating point");
  expect_refused(q, k.to(at::kDouble), v, {},
                 "attend::sdpa: key has dtype Double but query has Float");
  const at::Tensor endless = at::ones({1}).expand({1, 1, std::int64_t{1} << 40, 1});
  expect_refused(endless, endless, endless, with([](auto& o) { o.need_weights = true; }),
                 "attend::sdpa: weights would be [B, H, Lq, Lk] with B=1, H=1, Lq=1099511627776, "
                 "Lk=1099511627776, more elements than can be counted");
  expect_refused(q, k.to(at::kMeta), v, {}, "attend::sdpa: key is on meta but query is on cpu");
  expect_refused({}, k, v, {}, "attend::sdpa: query is undefined but must be [B, H, Lq, D]");
  expect_refused(q, k, v, with([](auto& o) {
                   o.mask = at::ones({3, 5});
                 }),
                 "attend::sdpa: mask has dtype Float but must be bool, true = may attend; give "
                 "scores to add as bias");
  expect_refused(
      q, k, v, with([](auto& o) {
        o.mask = at::ones({3, 4}, at::kBool);
      }),
      "attend::sdpa: mask has shape [3, 4], which does not broadcast to the scores' [2, 4, 3, 5]");
  expect_refused(
      q, k, v, with([](auto& o) {
        o.bias = at::ones({3, 5}, at::kBool);
      }),
      "attend::sdpa: bias has dtype Bool but must be floating point; give a boolean mask as mask");
  expect_refused(q, k, v, with([](auto& o) { o.key_lengths = at::full({2}, 6, at::kLong); }),
                 "attend::sdpa: key_lengths[0] is 6 but must be in [0, Lk=5]");
  expect_refused(q, k, v, with([](auto& o) { o.window_left = -2; }),
                 "attend::sdpa: window_left is -2 but must be at least -1");
  expect_refused(q, k, v, with([](auto& o) { o.scale = std::nan(""); }),
                 "attend::sdpa: scale is nan but must be finite");
  expect_refused(q, k, v, with([](auto& o) { o.dropout = 1; }),
                 "attend::sdpa: dropout is 1.000000 but must be in [0, 1)");
}

/// Output, weights and gradients against the composition in double.
void expect_as_composed(const Inputs& in, double tolerance = 1e-13) {
  const auto ours = everything(in, true, at::kDouble),
             composed = everything(in, false, at::kDouble);
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_LT(test::relative_error(ours[i], composed[i]), tolerance) << i;
}

// One key head and several threads: the keys are shared out, in chunks whose sums must not show how.
TEST(Sdpa, FewHeadsGiveTheSameBitsOnAnyNumberOfThreads) {
  for (Case c :
       {Case{"plain", 1, 2, 1, 70, 300, 8, 8}, Case{"causal", 1, 1, 1, 290, 300, 9, 7, true},
        Case{"window", 1, 2, 2, 300, 300, 8, 8, false, Alignment::kLast, 20, 5},
        Case{"mask", 1, 1, 1, 40, 1100, 8, 8, false, Alignment::kLast, -1, -1, true, true, true}}) {
    SCOPED_TRACE(c.name);
    Inputs in = inputs_of(c, at::kFloat);
    if (c.key_lengths)
      in.options.key_lengths = at::full({1}, 1000, at::kLong),
      in.options.query_lengths = at::full({1}, 37, at::kLong);
    std::vector<at::Tensor> once;
    for (const int threads : {1, 2, 3, 7}) {
      const test::WithThreads with(threads);
      const auto all = everything(in, true, at::kFloat);
      if (once.empty()) once = all;
      for (std::size_t i = 0; i < all.size(); ++i)
        EXPECT_TRUE(same_bits(once[i], all[i])) << threads << " threads, " << i;
      expect_as_composed(in);
    }
  }
}

// More than 1 MB in all, heads side by side in memory: rows of the next block are fetched ahead, one by one.
TEST(Sdpa, ManyHeadsInAnyLayout) {
  Inputs in = inputs_of({"many", 5, 6, 3, 97, 130, 24, 40, true}, at::kDouble);
  expect_as_composed(in);
  const auto as_blhd = [](const at::Tensor& t) {
    return t.transpose(1, 2).contiguous().transpose(1, 2);
  };
  in.query = as_blhd(in.query), in.key = as_blhd(in.key), in.value = as_blhd(in.value);
  expect_as_composed(in);
}

TEST(Sdpa, DropoutAndWindowOnEveryTarget) {
  Inputs in = inputs_of({"drop", 1, 2, 2, 45, 150, 8, 8, false, Alignment::kLast, 13,
                         6});  // first keys of blocks at any place
  in.options.dropout = 0.4, in.options.seed = 0xfedcba9876543210;
  test::for_each_target([&] { expect_as_composed(in); });
  in = inputs_of(
      {"mask", 2, 2, 1, 34, 70, 8, 8, false, Alignment::kLast, -1, -1, false, false, true});
  in.options.dropout = 0.25;
  test::for_each_target([&] { expect_as_composed(in); });
}

TEST(Sdpa, MasksOfEveryShapeAndDensity) {
  Inputs in = inputs_of({"masks", 2, 3, 3, 70, 140, 8, 8, false, Alignment::kLast, 90, 40});
  const at::Tensor dense = random_tensor({2, 3, 70, 140}, 11).gt(0);
  at::Tensor tiles = at::zeros(
      {70, 140}, at::kBool);  // a block of keys that nobody sees, one that all see, one mixed
  tiles.narrow(1, 64, 64).fill_(true), tiles.slice(0, 0, 70, 3).narrow(1, 128, 12).fill_(true);
  const std::vector<at::Tensor> masks = {dense,
                                         dense.transpose(2, 3).contiguous().transpose(2, 3),
                                         dense.narrow(1, 0, 1),
                                         dense.narrow(2, 0, 1),
                                         dense.narrow(3, 0, 1),
                                         tiles,
                                         at::ones({1}, at::kBool),
                                         at::zeros({1}, at::kBool)};
  for (std::size_t m = 0; m < masks.size(); ++m) {
    SCOPED_TRACE(m);
    in.options.mask = masks[m];
    expect_as_composed(in);
  }
}

TEST(Sdpa, MinusInfinityAsBiasHidesAKey) {
  Inputs in = inputs_of(
      {"bias", 1, 2, 2, 20, 70, 8, 8, false, Alignment::kLast, -1, -1, false, false, false, true},
      at::kFloat);
  in.options.bias.narrow(2, 10, 30).fill_(-std::numeric_limits<float>::infinity());
  const auto ours = everything(in, true, at::kFloat), composed = everything(in, false, at::kFloat),
             truth = everything(in, false, at::kDouble);
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_TRUE(test::as_good_as(ours[i], composed[i], truth[i])) << i;
}

}  // namespace
}  // namespace attend
