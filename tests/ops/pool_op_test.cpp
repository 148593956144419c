// attend::pool against compose::pool and against itself.
//
// Mutations planted one at a time and caught.
// In src/kernels/pool (by tests/kernels/pool_kernel_test.cpp alone): bias left out; tanh's slope left
// out; the softmax mean left out of the gradient; the gradient through weights ignored; lanes beyond
// the length counted in the softmax; weights, or gradient, of the padding not set; dw of the last row
// only; the last (length mod 4) scores left out; two of four scores exchanged; lengths ignored;
// length one too short; db without the slope; dx without the path through the score; time stride
// taken for C; batch stride taken for T·C; one partial sum of dw left out; the next row's scratch
// used; workspace not cleared; last channel left out.
// In src/ops (here): bias without a gradient; the gradient through weights dropped; second
// derivatives through the first-order kernel; channel stride ignored; lengths, or bias, not checked;
// half not differentiated through the definition; backward not reported; and in the definition: NaN
// of the padding let through; softmax over the batch; sign of the bias; padding counted.
// Survived, because torch's Function does the same by itself: no_grad not looked at in
// pool_autograd.
#include <ATen/ops/allclose.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "attend/base/error.h"
#include "attend/base/threads.h"
#include "attend/ops/dispatch.h"
#include "attend/ops/pool.h"
#include "support/gradcheck.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend {
namespace {

using test::as_good_as;
using test::random_tensor;
using test::same_bits;
using Tensors = std::vector<at::Tensor>;

struct Case {
  std::int64_t batch, time, channels;
  bool bias, lengths;
  double scale;  // of value: large scores saturate tanh
};

const Case kCases[] = {
    {1, 1, 1, true, false, 1},    {1, 1, 1, false, true, 1},     {2, 3, 5, true, true, 1},
    {3, 7, 15, true, true, 1},    {3, 8, 16, true, false, 1},    {3, 9, 17, true, true, 1},
    {2, 33, 63, false, true, 1},  {17, 4, 65, true, true, 1},    {2, 5, 130, true, true, 30},
    {40, 32, 100, true, true, 1}, {40, 32, 100, true, false, 3}, {2, 300, 7, true, true, 1e-3},
};

struct Inputs {
  at::Tensor value, weight, bias, lengths;
  Inputs to(at::ScalarType dtype) const {
    return {value.to(dtype), weight.to(dtype), bias.defined() ? bias.to(dtype) : bias, lengths};
  }
};

Inputs make(const Case& c, std::uint64_t seed = 1) {
  Inputs in;
  // Values that float holds exactly, so that double and float see the same problem.
  const auto rounded = [](const at::Tensor& t) { return t.to(at::kFloat).to(at::kDouble); };
  in.value = rounded(random_tensor({c.batch, c.time, c.channels}, seed, 1.7 * c.scale));
  in.weight = rounded(
      random_tensor({c.channels}, seed + 1, 1.7 / std::sqrt(static_cast<double>(c.channels))));
  if (c.bias) in.bias = rounded(random_tensor({c.time}, seed + 2));
  if (c.lengths) {
    in.lengths = at::empty({c.batch}, at::TensorOptions(at::kLong));
    auto* values = in.lengths.mutable_data_ptr<std::int64_t>();
    for (std::int64_t b = 0; b < c.batch; ++b)
      values[b] = b % 3 == 0 ? c.time : b % 3 == 1 ? 1 + (5 * b) % c.time : 0;
  }
  return in;
}

using Pool = decltype(&pool);

/// (output, weights, dvalue, dweight, dbias) of `f` for a cotangent that depends on the shapes
/// only.
Tensors run(Pool f, const Inputs& in, bool through_output = true, bool through_weights = true) {
  Tensors leaves;
  const auto leaf = [&](const at::Tensor& t) {
    if (!t.defined()) return t;
    leaves.push_back(t.detach().set_requires_grad(true));
    return leaves.back();
  };
  const at::Tensor value = leaf(in.value), weight = leaf(in.weight), bias = leaf(in.bias);
  const auto [output, weights] = f(value, weight, bias, in.lengths);
  const auto dtype = in.value.scalar_type();
  Tensors outputs, cotangents;
  if (through_output)
    outputs.push_back(output), cotangents.push_back(random_tensor(output.sizes(), 11, 1, dtype));
  if (through_weights)
    outputs.push_back(weights), cotangents.push_back(random_tensor(weights.sizes(), 12, 1, dtype));
  Tensors result{output.detach(), weights.detach()};
  for (const at::Tensor& g : torch::autograd::grad(outputs, leaves, cotangents))
    result.push_back(g);
  return result;
}

const char* const kNames[] = {"output", "weights", "grad value", "grad score_weight", "grad bias"};

TEST(Pool, AsGoodAsTheCompositionForwardAndBackward) {
  for (const Case& c : kCases) {
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      for (const int through : {1, 2, 3}) {
        SCOPED_TRACE(::testing::Message() << "B " << c.batch << " T " << c.time << " C "
                                          << c.channels << " " << dtype << " through " << through);
        const Inputs in = make(c);
        const Tensors ours = run(&pool, in.to(dtype), through & 1, through & 2);
        EXPECT_EQ(last_dispatch().path, Path::kFused);
        EXPECT_STREQ(last_dispatch().op, "attend::pool_backward");
        const Tensors theirs = run(&compose::pool, in.to(at::kFloat), through & 1, through & 2);
        const Tensors truth = run(&compose::pool, in, through & 1, through & 2);
        ASSERT_EQ(ours.size(), theirs.size());
        for (std::size_t i = 0; i < ours.size(); ++i) {
          ASSERT_EQ(ours[i].scalar_type(), dtype);
          EXPECT_TRUE(as_good_as(ours[i], theirs[i], truth[i])) << kNames[i];
        }
      }
    }
  }
}

TEST(Pool, GradientsAreCentralDifferences) {
  for (const Case& c : {Case{3, 5, 7, true, true, 1}, Case{2, 4, 3, false, false, 1},
                        Case{1, 1, 1, true, false, 1}}) {
    const Inputs in = make(c, 3);
    std::vector<test::Named> named{{"value", in.value}, {"score_weight", in.weight}};
    if (c.bias) named.push_back({"bias", in.bias});
    for (const Pool f : {&pool, &compose::pool})
      test::expect_gradients(
          [&](const Tensors& x) {
            const auto [output, weights] = f(x[0], x[1], c.bias ? x[2] : at::Tensor(), in.lengths);
            return Tensors{output, weights};
          },
          named);
  }
}

TEST(Pool, SecondDerivativesAreCentralDifferences) {
  const Inputs in = make({2, 4, 3, true, true, 1}, 4);
  const at::Tensor cotangent = random_tensor({2, 3}, 8), other = random_tensor({2, 4}, 9);
  test::expect_gradients(
      [&](const Tensors& x) {
        Tensors leaves;
        for (const at::Tensor& t : x)
          leaves.push_back(t.requires_grad() ? t : t.detach().set_requires_grad(true));
        const at::AutoGradMode on(true);
        const auto [output, weights] = pool(leaves[0], leaves[1], leaves[2], in.lengths);
        return torch::autograd::grad({output, weights}, leaves, {cotangent, other}, true, true);
      },
      {{"value", in.value}, {"score_weight", in.weight}, {"bias", in.bias}});
}

TEST(Pool, WorkedExample) {
  // docs/mechanisms/pool.md works this out by hand.
  const at::Tensor value = at::tensor({1.0, 0.0, 0.0, 1.0, 1.0, 1.0}, at::kDouble).view({1, 3, 2});
  const at::Tensor weight = at::tensor({0.5, -0.5}, at::kDouble);
  const auto [output, weights] = pool(value, weight);
  const at::Tensor want_weights =
      at::tensor({0.493393, 0.195796, 0.310812}, at::kDouble).view({1, 3});
  const at::Tensor want_output = at::tensor({0.804204, 0.506607}, at::kDouble).view({1, 2});
  EXPECT_TRUE(at::allclose(weights, want_weights, 0, 1e-6)) << weights;
  EXPECT_TRUE(at::allclose(output, want_output, 0, 1e-6)) << output;
}

TEST(Pool, StridedIsContiguousBitForBit) {
  const Inputs in = make({5, 6, 33, true, true, 1}).to(at::kFloat);
  const auto laid_out = [&](const std::function<at::Tensor()>& view) {
    Inputs other = in;
    other.value = view();
    ASSERT_FALSE(other.value.is_contiguous());
    const Tensors strided = run(&pool, other);
    other.value = other.value.contiguous();
    const Tensors plain = run(&pool, other);
    for (std::size_t i = 0; i < plain.size(); ++i)
      EXPECT_TRUE(same_bits(strided[i], plain[i])) << kNames[i];
  };
  laid_out([&] { return in.value.transpose(0, 1).contiguous().transpose(0, 1); });  // time first
  laid_out([&] {
    return in.value.transpose(1, 2).contiguous().transpose(1, 2);
  });             // channels not innermost
  laid_out([&] {  // a slice of a wider tensor, one element off
    const at::Tensor wide = at::full({5, 6, 40}, std::numeric_limits<float>::quiet_NaN());
    wide.slice(2, 1, 34).copy_(in.value);
    return wide.slice(2, 1, 34);
  });
  laid_out([&] {
    return in.value.select(0, 0).unsqueeze(0).expand({5, 6, 33});
  });  // stride 0: another value
}

TEST(Pool, NothingInThePaddingMatters) {
  const Case c{6, 9, 21, true, true, 1};
  const Inputs in = make(c).to(at::kFloat);
  const Tensors plain = run(&pool, in);
  const at::Tensor padding =
      at::arange(c.time, at::TensorOptions(at::kLong)) >= in.lengths.unsqueeze(1);
  for (const double junk :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1e38}) {
    Inputs dirty = in;
    dirty.value = in.value.masked_fill(padding.unsqueeze(2), junk);
    for (const Pool f : {&pool, &compose::pool}) {
      const Tensors clean = f == &pool ? plain : run(f, in), now = run(f, dirty);
      for (std::size_t i = 0; i < plain.size(); ++i)
        EXPECT_TRUE(same_bits(now[i], clean[i])) << kNames[i] << " " << junk;
    }
  }
  // Two more steps of padding, with a NaN bias there, change nothing.
  Inputs longer = in;
  const auto more = [](const at::Tensor& t, at::IntArrayRef sizes, std::int64_t dim) {
    at::Tensor out = at::full(sizes, std::numeric_limits<float>::quiet_NaN());
    out.slice(dim, 0, t.size(dim)).copy_(t);
    return out;
  };
  longer.value = more(in.value, {6, 11, 21}, 1);
  longer.bias = more(in.bias, {11}, 0);
  const Tensors now = run(&pool, longer, true, false), before = run(&pool, in, true, false);
  EXPECT_TRUE(same_bits(now[0], before[0]));
  EXPECT_TRUE(same_bits(now[1].slice(1, 0, 9), before[1]));
  EXPECT_TRUE(same_bits(now[3], before[3])) << "grad score_weight";
}

TEST(Pool, PaddingHasNoWeightAndNoGradient) {
  const Case c{6, 9, 21, true, true, 1};
  const Inputs in = make(c);
  const Tensors out = run(&pool, in);
  const auto* lengths = in.lengths.const_data_ptr<std::int64_t>();
  for (std::int64_t b = 0; b < c.batch; ++b) {
    EXPECT_TRUE(at::equal(out[1][b].slice(0, lengths[b]),
                          at::zeros({c.time - lengths[b]}, out[1].options())));
    EXPECT_EQ(out[2][b].slice(0, lengths[b]).count_nonzero().item<std::int64_t>(), 0);
    if (lengths[b] == 0) {
      EXPECT_EQ(out[0][b].count_nonzero().item<std::int64_t>(), 0) << "length 0 gives 0";
    } else {
      EXPECT_NEAR(out[1][b].sum().item<double>(), 1, 1e-14);
    }
  }
}

TEST(Pool, EveryRowEmpty) {
  Inputs in = make({3, 4, 5, true, false, 1});
  in.lengths = at::zeros({3}, at::TensorOptions(at::kLong));
  for (const Pool f : {&pool, &compose::pool})
    for (const at::Tensor& t : run(f, in))
      EXPECT_EQ(t.count_nonzero().item<std::int64_t>(), 0) << t;
}

TEST(Pool, PermutingTimeChangesNothingWithoutBias) {
  const Inputs in = make({4, 13, 18, false, false, 1});
  Inputs reversed = in;
  reversed.value = in.value.flip({1});
  const Tensors a = run(&pool, in, true, false), b = run(&pool, reversed, true, false);
  EXPECT_LE(test::relative_error(b[0], a[0]), 1e-15);
  EXPECT_LE(test::relative_error(b[1].flip({1}), a[1]), 1e-15);
  EXPECT_LE(test::relative_error(b[2].flip({1}), a[2]), 1e-14);
  EXPECT_LE(test::relative_error(b[3], a[3]), 1e-13);
}

TEST(Pool, AConstantComesBackUnchangedHoweverLargeTheScores) {
  for (const double scale : {1.0, 100.0, 1e6}) {
    Inputs in = make({2, 11, 9, true, false, 1}).to(at::kFloat);
    in.weight = in.weight * scale;
    in.value = in.value.select(1, 0).unsqueeze(1).expand({2, 11, 9});
    const Tensors out = run(&pool, in);
    EXPECT_LE(test::relative_error(out[0], in.value.select(1, 0)), 5e-7);
  }
}

TEST(Pool, NaNInAValidPositionShowsInItsRowOnly) {
  const Inputs in = make({3, 4, 5, true, false, 1});
  in.value[1][2][3] = std::numeric_limits<double>::quiet_NaN();
  const auto [output, weights] = pool(in.value, in.weight, in.bias);
  EXPECT_TRUE(at::isnan(output[1]).all().item<bool>());
  EXPECT_FALSE(at::isnan(output[0]).any().item<bool>() || at::isnan(output[2]).any().item<bool>());
}

TEST(Pool, EveryTargetAgreesThroughTheOp) {
  const Inputs in = make({7, 10, 37, true, true, 1});
  const Tensors truth = run(&compose::pool, in), theirs = run(&compose::pool, in.to(at::kFloat));
  test::for_each_target([&] {
    const test::WithThreads one(1);
    const Tensors ours = run(&pool, in.to(at::kFloat));
    EXPECT_STREQ(last_dispatch().target, kernels::last_simd_target_name());
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_TRUE(as_good_as(ours[i], theirs[i], truth[i])) << kNames[i];
  });
}

TEST(Pool, TheSameBitsOnEveryRunAndNumberOfThreads) {
  const Inputs in = make({40, 32, 100, true, true, 1}).to(at::kFloat);
  Tensors first;
  for (const int n : {1, 2, 2}) {
    const test::WithThreads with(n);
    const Tensors now = run(&pool, in);
    if (first.empty()) first = now;
    for (std::size_t i = 0; i < now.size(); ++i)
      EXPECT_TRUE(same_bits(now[i], first[i])) << kNames[i] << ", threads " << n;
  }
}

TEST(Pool, OtherDtypesRunTheComposition) {
  const Inputs in = make({2, 3, 4, true, true, 1});
  for (const auto dtype : {at::kHalf, at::kBFloat16}) {
    const Tensors out = run(&pool, in.to(dtype));
    EXPECT_EQ(last_dispatch().path, Path::kComposed);
    EXPECT_STREQ(last_dispatch().reason, "dtype is not float or double");
    EXPECT_LE(test::relative_error(out[0], run(&compose::pool, in)[0]), 0.02);
  }
}

TEST(Pool, OnlyWhatWasAskedForGetsAGradient) {
  const Inputs in = make({2, 3, 4, true, false, 1});
  const at::Tensor weight = in.weight.detach().clone().set_requires_grad(true);
  const auto [output, weights] = pool(in.value, weight, in.bias);
  EXPECT_TRUE(output.requires_grad());
  output.sum().backward();
  EXPECT_TRUE(weight.grad().defined());
  const auto [plain, w2] = pool(in.value, in.weight, in.bias);
  EXPECT_FALSE(plain.requires_grad());
  const at::NoGradGuard off;
  const auto [quiet, w3] = pool(in.value, weight, in.bias);
  EXPECT_FALSE(quiet.requires_grad());
}

void expect_message(const std::function<void()>& act, const std::string& message) {
  try {
    act();
    ADD_FAILURE() << "no error; wanted: " << message;
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), message);
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
  }
}

TEST(Pool, EveryCheckSaysWhatIsWrong) {
  const auto zeros = [](at::IntArrayRef sizes, at::ScalarType dtype = at::kFloat) {
    return at::zeros(sizes, at::TensorOptions(dtype));
  };
  const at::Tensor value = zeros({2, 3, 4}), weight = zeros({4}), bias = zeros({3});
  const at::Tensor lengths = zeros({2}, at::kLong);
  for (const Pool f : {&pool, &compose::pool}) {
    expect_message([&] { f({}, weight, {}, {}); },
                   "attend::pool: value is undefined but must be [B, T, C]");
    expect_message([&] { f(value, {}, {}, {}); },
                   "attend::pool: score_weight is undefined but must be [C]");
    expect_message(
        [&] {
          f(zeros({2, 3}), weight, {}, {});
        },
        "attend::pool: value must be [B, T, C] but has shape [2, 3]");
    expect_message([&] { f(value, zeros({5}), {}, {}); },
                   "attend::pool: score_weight has C=5 (shape [5]) but value set C=4");
    expect_message([&] { f(value, weight, zeros({4}), {}); },
                   "attend::pool: bias has T=4 (shape [4]) but value set T=3");
    expect_message([&] { f(value, weight, zeros({3}, at::kDouble), {}); },
                   "attend::pool: bias has dtype Double but value has Float");
    expect_message(
        [&] {
          f(zeros({2, 3, 4}, at::kLong), weight, {}, {});
        },
        "attend::pool: value has dtype Long but must be floating point");
    expect_message([&] { f(value, weight, bias, zeros({2}, at::kInt)); },
                   "attend::pool: lengths has dtype Int but must be int64");
    expect_message([&] { f(value, weight, bias, zeros({3}, at::kLong)); },
                   "attend::pool: lengths has B=3 (shape [3]) but value set B=2");
    expect_message([&] { f(value, weight, bias, at::full({2}, 4, at::kLong)); },
                   "attend::pool: lengths[0] is 4 but must be in [0, T=3]");
    expect_message([&] { f(value, weight, bias, at::full({2}, -1, at::kLong)); },
                   "attend::pool: lengths[0] is -1 but must be in [0, T=3]");
  }
}

}  // namespace
}  // namespace attend
