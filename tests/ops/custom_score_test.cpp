// Attention by a function of one's own, against the same function in ATen and against sdpa.
#include "attend/ops/custom_score.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "ops/compose/masked_softmax.h"
#include "support/compare.h"
#include "support/everywhere.h"
#include "support/gradcheck.h"

namespace attend {
namespace {

using test::random_tensor;
using test::same_bits;
using Tensors = std::vector<at::Tensor>;

/// Depends on the score, not linearly, and on all four places.
struct CappedByDistance {
  template <class T>
  static T fall(ScorePlace p) {
    return T(0.1) * T(p.head + 1) * T(std::abs(p.query - p.key)) - T(0.3) * T(p.batch) * T(p.key);
  }
  template <class T>
  T operator()(T s, ScorePlace p) const {
    return T(2) * std::tanh(s / T(2)) - fall<T>(p);
  }
  template <class T>
  T slope(T s, ScorePlace) const {
    const T t = std::tanh(s / T(2));
    return 1 - t * t;
  }
};

struct Same {
  template <class T>
  T operator()(T s, ScorePlace) const {
    return s;
  }
  template <class T>
  T slope(T, ScorePlace) const {
    return 1;
  }
};

struct EvenKeysOnly {
  template <class T>
  T operator()(T s, ScorePlace p) const {
    return p.key % 2 == 0 && p.query != 1 ? s : -std::numeric_limits<T>::infinity();
  }
  template <class T>
  T slope(T, ScorePlace p) const {
    return p.key % 2 == 0 ? 1 : 0;
  }
};

/// CappedByDistance in ATen.
AttentionResult composed(const at::Tensor& q, const at::Tensor& key, const at::Tensor& value,
                         const AttentionOptions& o) {
  const std::int64_t group = q.size(1) / key.size(1);
  const at::Tensor visible = compose::visibility(o, q.size(2), key.size(2), q.device());
  at::Tensor k = at::repeat_interleave(key, group, 1), v = at::repeat_interleave(value, group, 1);
  if (visible.defined()) {
    const at::Tensor seen = visible.any(-2, true).transpose(-1, -2);
    k = compose::hide_unseen(k, seen), v = compose::hide_unseen(v, seen);
  }
  const auto place = [&](std::int64_t n, at::IntArrayRef shape) {
    return at::arange(n, q.options().requires_grad(false)).view(shape);
  };
  const at::Tensor b = place(q.size(0), {-1, 1, 1, 1}), h = place(q.size(1), {-1, 1, 1}),
                   i = place(q.size(2), {-1, 1}), j = place(key.size(2), {-1});
  const at::Tensor s = at::matmul(q, k.transpose(-1, -2)) * o.scale.value_or(1.0);
  const at::Tensor f = 2 * (s / 2).tanh() - (0.1 * (h + 1) * (i - j).abs() - 0.3 * b * j);
  const at::Tensor weights = compose::masked_softmax(f, visible);
  return {at::matmul(weights, v), weights};
}

AttentionResult ours(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& o) {
  return custom_score(q, k, v, CappedByDistance{}, o);
}

struct Case {
  const char* name;
  std::int64_t B, H, Hkv, Lq, Lk, D, Dv;
  bool causal = false, lengths = false;
  std::int64_t left = -1;
};
const std::vector<Case> kCases = {
    {"ones", 1, 1, 1, 1, 1, 1, 1},
    {"small", 2, 2, 2, 5, 7, 3, 4},
    {"groups", 2, 6, 2, 9, 11, 8, 8},
    {"one_off_blocks", 1, 2, 1, 33, 65, 17, 15},
    {"causal", 2, 2, 2, 40, 70, 8, 5, true},
    {"lengths", 3, 2, 1, 35, 66, 9, 7, false, true},
    {"all", 3, 4, 2, 35, 69, 9, 7, true, true, 20},
};

struct Inputs {
  Tensors leaves;
  AttentionOptions options;
};
Inputs inputs_of(const Case& c, at::ScalarType dtype = at::kDouble) {
  Inputs in{{random_tensor({c.B, c.H, c.Lq, c.D}, 1, 2, dtype),
             random_tensor({c.B, c.Hkv, c.Lk, c.D}, 2, 2, dtype),
             random_tensor({c.B, c.Hkv, c.Lk, c.Dv}, 3, 1, dtype)},
            {}};
  in.options.causal = c.causal, in.options.window_left = c.left, in.options.need_weights = true,
  in.options.scale = 0.6;
  std::vector<std::int64_t> queries, keys;
  for (std::int64_t b = 0; b < c.B; ++b)
    queries.push_back(c.Lq - b * c.Lq / 4),
        keys.push_back(b * c.Lk / std::max<std::int64_t>(1, c.B - 1));
  if (c.lengths)
    in.options.query_lengths = at::tensor(queries, at::kLong),
    in.options.key_lengths = at::tensor(keys, at::kLong);
  return in;
}

using Attention = AttentionResult (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                      const AttentionOptions&);

Tensors everything(Attention f, const Inputs& in, at::ScalarType dtype) {
  Tensors leaves;
  for (const at::Tensor& t : in.leaves)
    leaves.push_back(t.detach().to(dtype).clone().set_requires_grad(true));
  const auto [output, weights] = f(leaves[0], leaves[1], leaves[2], in.options);
  Tensors all = torch::autograd::grad(
      {output, weights}, leaves,
      {random_tensor(output.sizes(), 9, 1, dtype), random_tensor(weights.sizes(), 10, 1, dtype)});
  all.push_back(output.detach()), all.push_back(weights.detach());
  return all;
}

TEST(CustomScore, IsAsGoodAsTheSameFunctionInATen) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c, at::kFloat);
    const auto truth = everything(&composed, in, at::kDouble),
               theirs = everything(&composed, in, at::kFloat);
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      const auto mine = everything(&ours, in, dtype);
      EXPECT_EQ(last_dispatch().op, std::string("attend::custom_score_backward"));
      for (std::size_t i = 0; i < mine.size(); ++i)
        EXPECT_TRUE(test::as_good_as(mine[i], theirs[i], truth[i])) << i;
    }
  }
}

TEST(CustomScore, TheSameScoreIsSdpa) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Inputs in = inputs_of(c);
    const auto a = everything([](const auto& q, const auto& k, const auto& v,
                                 const auto& o) { return custom_score(q, k, v, Same{}, o); },
                              in, at::kDouble);
    const auto b = everything(&sdpa, in, at::kDouble);
    for (std::size_t i = 0; i < a.size(); ++i)
      EXPECT_LT(test::relative_error(a[i], b[i]), 1e-13) << i;
  }
}

TEST(CustomScore, GradientsAgreeWithFiniteDifferences) {
  const Inputs in = inputs_of({"fd", 2, 2, 1, 4, 5, 3, 2, true, true});
  test::expect_gradients(
      [&](const Tensors& x) {
        const auto [output, weights] = ours(x[0], x[1], x[2], in.options);
        return Tensors{output, weights};
      },
      {{"query", in.leaves[0]}, {"key", in.leaves[1]}, {"value", in.leaves[2]}});
}

TEST(CustomScore, MinusInfinityHides) {
  const Inputs in = inputs_of({"hide", 1, 1, 1, 3, 6, 4, 2});
  const at::Tensor q = in.leaves[0].clone().set_requires_grad(true);
  const auto [output, weights] =
      custom_score(q, in.leaves[1], in.leaves[2], EvenKeysOnly{}, in.options);
  EXPECT_NEAR(weights[0][0][0].sum().item<double>(), 1, 1e-15);
  for (int j : {1, 3, 5}) EXPECT_EQ(weights[0][0][0][j].item<double>(), 0);
  EXPECT_EQ(output[0][0][1].abs().sum().item<double>(), 0);  // nothing left
  EXPECT_FALSE(torch::autograd::grad({output.sum()}, {q})[0].isnan().any().item<bool>());
}

TEST(CustomScore, EveryTargetAndThreadCountAgrees) {
  const Inputs in = inputs_of({"all", 2, 2, 1, 70, 70, 19, 7, true, true}, at::kFloat);
  const auto truth = everything(&composed, in, at::kDouble),
             theirs = everything(&composed, in, at::kFloat);
  test::expect_agreement_everywhere([&] { return everything(&ours, in, at::kFloat); }, theirs,
                                    truth);
}

TEST(CustomScore, WhatNobodySeesIsNeverTouched) {
  Inputs in = inputs_of({"nan", 2, 2, 2, 9, 20, 8, 8}, at::kFloat);
  in.options.key_lengths = at::tensor({12, 12}, at::kLong);
  const auto clean = everything(&ours, in, at::kFloat);
  for (const int t : {1, 2})
    in.leaves[t].narrow(2, 12, 8).fill_(std::numeric_limits<float>::quiet_NaN());
  const auto dirty = everything(&ours, in, at::kFloat);
  for (std::size_t i = 0; i < clean.size(); ++i) EXPECT_TRUE(same_bits(clean[i], dirty[i])) << i;
}

TEST(CustomScore, StridedIsContiguousBitForBit) {
  const Inputs in = inputs_of({"strided", 2, 3, 3, 33, 40, 16, 12}, at::kFloat);
  const auto as_blhd = [](const at::Tensor& t) {
    return t.transpose(1, 2).contiguous().transpose(1, 2);
  };
  EXPECT_TRUE(same_bits(std::get<0>(ours(in.leaves[0], in.leaves[1], in.leaves[2], in.options)),
                        std::get<0>(ours(as_blhd(in.leaves[0]), as_blhd(in.leaves[1]),
                                         as_blhd(in.leaves[2]), in.options))));
}

TEST(CustomScore, EmptySizes) {
  const auto run = [](std::int64_t B, std::int64_t Lq, std::int64_t Lk) {
    return std::get<0>(custom_score(at::ones({B, 2, Lq, 3}), at::ones({B, 2, Lk, 3}),
                                    at::ones({B, 2, Lk, 4}), Same{}));
  };
  EXPECT_EQ(run(0, 3, 4).sizes(), at::IntArrayRef({0, 2, 3, 4}));
  EXPECT_EQ(run(1, 0, 4).sizes(), at::IntArrayRef({1, 2, 0, 4}));
  EXPECT_EQ(run(1, 3, 0).abs().sum().item<float>(), 0);
}

TEST(CustomScore, EveryCheckSaysWhatIsWrong) {
  const at::Tensor q = at::ones({2, 4, 3, 8}), k = at::ones({2, 2, 5, 8}),
                   v = at::ones({2, 2, 5, 6});
  const auto expect = [](const std::function<void()>& call, const std::string& message) {
    try {
      call();
      FAIL() << "not refused: " << message;
    } catch (const Error& e) {
      EXPECT_EQ(e.what(), message);
    }
  };
  AttentionOptions masked;
  masked.mask = at::ones({3, 5}, at::kBool);
  expect(
      [&] {
        custom_score(q, at::ones({2, 2, 5, 9}), v, Same{});
      },
      "attend::custom_score: key has D=9 (shape [2, 2, 5, 9]) but query set D=8");
  expect(
      [&] {
        custom_score(at::ones({2, 3, 3, 8}), k, v, Same{});
      },
      "attend::custom_score: query has H=3 heads, which is not a multiple of key's Hkv=2");
  expect([&] { custom_score(q, k, v, Same{}, masked); },
         "attend::custom_score: mask, bias and dropout are not taken; write them into the score "
         "function");
  expect([&] { custom_score(q.to(at::kHalf), k.to(at::kHalf), v.to(at::kHalf), Same{}); },
         "attend::custom_score: not supported: dtype is not float or double");
  const at::Tensor leaf = at::ones({1, 1, 2, 3}).set_requires_grad(true);
  const at::Tensor out = std::get<0>(custom_score(leaf, leaf, leaf, Same{}));
  expect([&] { torch::autograd::grad({out.sum()}, {leaf}, {}, true, true); },
         "attend::custom_score: has no second derivative");
}

}  // namespace
}  // namespace attend
