// Every mechanism is a special case of softmax(f(Q, K)) V: each op beside that formula with its f written out (docs/mechanisms/
// README.md has the table). The formula itself is three ATen calls here, and attend_scores is held to it first.
#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "attend/ops/custom_score.h"
#include "attend/ops/hard.h"
#include "attend/ops/local.h"
#include "attend/ops/lstmn.h"
#include "attend/ops/multiplicative.h"
#include "attend/ops/pool.h"
#include "support/compare.h"

namespace attend {
namespace {

using test::random_tensor;

const at::Tensor kQuery = random_tensor({2, 5, 6}, 1, 1), kKey = random_tensor({2, 7, 6}, 2, 1),
                 kValue = random_tensor({2, 7, 4}, 3, 1);

/// The guide's formula.
at::Tensor softmax_of(const at::Tensor& f, const at::Tensor& value) {
  return at::matmul(at::softmax(f, -1), value);
}

void expect_same(const AttentionResult& ours, const at::Tensor& f, const at::Tensor& value) {
  EXPECT_LT(test::relative_error(std::get<0>(ours), softmax_of(f, value)), 1e-13);
  EXPECT_LT(test::relative_error(std::get<0>(attend_scores(f, value)), softmax_of(f, value)),
            1e-13);
}

at::Tensor dot() { return at::matmul(kQuery, kKey.transpose(1, 2)); }
at::Tensor tanh_score(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return at::matmul((q.unsqueeze(2) + k.unsqueeze(1)).tanh(), v);
}

TEST(SpecialCases, Multiplicative) {
  using Score = MultiplicativeScore;
  const at::Tensor w = random_tensor({6, 6}, 4);
  expect_same(multiplicative(kQuery, kKey, kValue, Score::kDot), dot(), kValue);
  expect_same(multiplicative(kQuery, kKey, kValue, Score::kScaledDot), dot() / std::sqrt(6.0),
              kValue);
  expect_same(multiplicative(kQuery, kKey, kValue, Score::kGeneral, w),
              at::matmul(at::matmul(kQuery, w), kKey.transpose(1, 2)), kValue);
  const auto norm = [](const at::Tensor& t) {
    return at::linalg_vector_norm(t, 2, at::IntArrayRef{-1}, true);
  };
  expect_same(multiplicative(kQuery, kKey, kValue, Score::kCosine),
              dot() / norm(kQuery) / norm(kKey).transpose(1, 2), kValue);
}

TEST(SpecialCases, Additive) {
  const at::Tensor v = random_tensor({6}, 5);
  expect_same(additive(kQuery, kKey, kValue, v), tanh_score(kQuery, kKey, v), kValue);
}

TEST(SpecialCases, LocationDoesNotLookAtKeys) {
  const at::Tensor w = random_tensor({7, 6}, 6);
  expect_same(location(kQuery, kValue, w), at::matmul(kQuery, w.transpose(0, 1)), kValue);
}

TEST(SpecialCases, PoolingHasOneConstantQuery) {
  const at::Tensor w = random_tensor({6}, 7), b = random_tensor({7}, 8);
  const at::Tensor f = at::tanh(at::matmul(kKey, w) + b);  // [B,T]
  EXPECT_LT(test::relative_error(std::get<0>(pool(kKey, w, b)),
                                 softmax_of(f.unsqueeze(1), kKey).squeeze(1)),
            1e-13);
}

// Three heads of width D/3: each piece of the width is the formula by itself.
TEST(SpecialCases, MultiHead) {
  const auto heads = [](const at::Tensor& t, std::int64_t width) {
    return t.view({t.size(0), t.size(1), -1, width}).transpose(1, 2);
  };
  const at::Tensor value = random_tensor({2, 7, 6}, 9);
  const at::Tensor out =
      std::get<0>(sdpa(heads(kQuery, 2), heads(kKey, 2), heads(value, 2)));  // [B,3,Lq,2]
  for (std::int64_t h = 0; h < 3; ++h) {
    const auto piece = [&](const at::Tensor& t) { return t.narrow(2, 2 * h, 2); };
    const at::Tensor f = at::matmul(piece(kQuery), piece(kKey).transpose(1, 2)) / std::sqrt(2.0);
    EXPECT_LT(test::relative_error(out.select(1, h), softmax_of(f, piece(value))), 1e-13);
  }
}

TEST(SpecialCases, LocalHidesWhatIsFarAndShrinksTheRest) {
  const at::Tensor centre = random_tensor({2, 5}, 10, 3) + 3,
                   apart = at::arange(7, centre.options()) - centre.unsqueeze(2);  // [B,Lq,Lk]
  const at::Tensor f =
      at::where(apart.abs() <= 2.0, dot(), at::scalar_tensor(-INFINITY, centre.options()));
  LocalOptions o;
  o.window = 2, o.gaussian = false;
  expect_same(local(kQuery, kKey, kValue, centre, o), f, kValue);
  o.gaussian = true;  // σ = 1; after the softmax
  const at::Tensor shrunk = at::softmax(f, -1) * (apart * apart * -0.5).exp();
  EXPECT_LT(test::relative_error(std::get<0>(local(kQuery, kKey, kValue, centre, o)),
                                 at::matmul(shrunk, kValue)),
            1e-13);
}

TEST(SpecialCases, HardIsSoftOnAverage) {
  const std::int64_t n = 20000;
  const at::Tensor f = random_tensor({1, 1, 7}, 11), value = random_tensor({1, 7, 4}, 12);
  const HardResult r = hard(f.expand({1, n, 7}), value);
  const at::Tensor mean = r.output.mean(at::IntArrayRef{1}),
                   error =
                       r.output.std(at::IntArrayRef{1}, true) / std::sqrt(static_cast<double>(n));
  EXPECT_TRUE(((mean - softmax_of(f, value).squeeze(1)).abs() < 4 * error).all().item<bool>());
}

struct HalfDistance {
  template <class T>
  T operator()(T s, ScorePlace p) const {
    return s - T(0.5) * T(std::abs(p.query - p.key));
  }
  template <class T>
  T slope(T, ScorePlace) const {
    return 1;
  }
};

TEST(SpecialCases, CustomScore) {
  const auto place = [](std::int64_t n) { return at::arange(n, at::TensorOptions(at::kDouble)); };
  const at::Tensor f = dot() - 0.5 * (place(5).unsqueeze(1) - place(7)).abs();
  const auto [output, weights] =
      custom_score(kQuery.unsqueeze(1), kKey.unsqueeze(1), kValue.unsqueeze(1), HalfDistance{});
  expect_same({output.squeeze(1), weights}, f, kValue);
}

// One step of the LSTMN: K is the tape so far, V both tapes.
TEST(SpecialCases, LstmnReadsItsTapes) {
  auto make = [seed = std::uint64_t{20}](at::IntArrayRef size) mutable {
    return random_tensor(size, ++seed);
  };
  const std::int64_t H = 3, I = 2, A = 4, T = 5;
  const LstmnWeights w{make({4 * H, H + I}),           make({4 * H}), make({A, H}), make({A, I}),
                       at::zeros({A, H}, at::kDouble), make({A})};
  const at::Tensor x = make({2, T, I});
  LstmnOptions o;
  o.need_weights = true;
  const LstmnResult r = lstmn(x, w, o);
  const at::Tensor keys = at::matmul(r.hidden.narrow(1, 0, T - 1), w.tape_weight.transpose(0, 1));
  const at::Tensor query = at::matmul(x.narrow(1, T - 1, 1), w.input_weight.transpose(0, 1));
  const at::Tensor f = tanh_score(query, keys, w.score_weight);  // [B,1,T−1]
  EXPECT_LT(test::relative_error(r.weights.select(1, T - 1).narrow(1, 0, T - 1),
                                 at::softmax(f, -1).squeeze(1)),
            1e-13);
}

}  // namespace
}  // namespace attend
