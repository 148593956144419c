// The LSTM op: fused path against its composition and against PyTorch's, gradients, checks, dispatch.
// The mutations of the kernels are listed in tests/kernels/lstm_test.cpp.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/lstm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>
#include <tuple>
#include <vector>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "attend/ops/lstm.h"
#include "ops/arena.h"
#include "support/compare.h"
#include "support/gradcheck.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend {
namespace {

using test::as_good_as;
using test::random_tensor;
using test::same_bits;
using Result = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Tensors = std::vector<at::Tensor>;

struct Case {
  std::int64_t batch, steps, input, hidden;
  bool lengths = false, reverse = false, masks = false, states = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "B" << c.batch << " T" << c.steps << " I" << c.input << " H" << c.hidden
             << (c.lengths ? " lengths" : "") << (c.reverse ? " reverse" : "")
             << (c.masks ? " masks" : "") << (c.states ? " states" : "");
}

const std::vector<Case> kCases = {
    {1, 1, 1, 1},
    {3, 4, 2, 5, true, true, true, true},
    {7, 5, 17, 16, false, true, true, false},
    {37, 11, 19, 41, true, false, true, true},
    {37, 11, 19, 41, true, true, false, false},
    {100, 32, 32, 100, false, false, true, false},
};

at::Tensor random_mask(at::IntArrayRef sizes, double rate, std::uint64_t seed) {
  return random_tensor(sizes, seed).gt(2 * rate - 1).to(at::kDouble) / (1 - rate);
}

/// One case's tensors in float64; differentiable ones first: input, weight_ih, weight_hh, bias, h0, c0.
struct Problem {
  Tensors tensors;
  LstmOptions options;

  explicit Problem(const Case& c) {
    const double scale = 1.5 / std::sqrt(static_cast<double>(c.hidden));
    tensors = {random_tensor({c.batch, c.steps, c.input}, 1),
               random_tensor({4 * c.hidden, c.input}, 2, scale),
               random_tensor({4 * c.hidden, c.hidden}, 3, scale),
               random_tensor({4 * c.hidden}, 4, 0.5)};
    if (c.states) {
      tensors.push_back(random_tensor({c.batch, c.hidden}, 5));
      tensors.push_back(random_tensor({c.batch, c.hidden}, 6));
    }
    if (c.masks) {
      options.input_mask = random_mask({c.batch, c.input}, 0.3, 7);
      options.recurrent_mask = random_mask({c.batch, c.hidden}, 0.2, 8);
    }
    if (c.lengths) {
      std::vector<std::int64_t> lengths;
      for (std::int64_t b = 0; b < c.batch; ++b) lengths.push_back((b * 7 + 3) % (c.steps + 1));
      options.lengths = at::tensor(lengths, at::kLong);
    }
    options.reverse = c.reverse;
  }

  Problem to(at::ScalarType dtype) const {
    Problem p = *this;
    for (auto& t : p.tensors) t = t.to(dtype);
    if (options.input_mask.defined()) {
      p.options.input_mask = options.input_mask.to(dtype);
      p.options.recurrent_mask = options.recurrent_mask.to(dtype);
    }
    return p;
  }
};

using Op = Result (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                      const LstmOptions&);

Tensors call(Op op, const Tensors& t, LstmOptions o) {
  if (t.size() > 4) o.h0 = t[4], o.c0 = t[5];
  const auto [output, h_n, c_n] = op(t[0], t[1], t[2], t[3], o);
  return {output, h_n, c_n};
}

/// Outputs, then the gradients of their product with random cotangents.
Tensors values_and_gradients(Op op, const Problem& p) {
  Tensors leaves;
  for (const auto& t : p.tensors) leaves.push_back(t.detach().clone().set_requires_grad(true));
  Tensors all = call(op, leaves, p.options);
  at::Tensor loss = at::zeros({}, leaves[0].options());
  std::uint64_t seed = 20;
  for (const auto& out : all)
    loss = loss + (out * random_tensor(out.sizes(), ++seed, 1, out.scalar_type())).sum();
  for (auto& gradient : torch::autograd::grad({loss}, leaves)) all.push_back(gradient);
  return all;
}

const char* const kNames[] = {"output",     "h_n",   "c_n", "dinput", "dweight_ih",
                              "dweight_hh", "dbias", "dh0", "dc0"};

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return e.what();
  }
  return "no error";
}

TEST(Lstm, AsGoodAsItsComposition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c);
    // Float inputs, so that the float64 truth is that of the same numbers.
    const Problem rounded = Problem(c).to(at::kFloat);
    const Tensors truth = values_and_gradients(compose::lstm, rounded.to(at::kDouble));
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      SCOPED_TRACE(c10::toString(dtype));
      const Problem p = rounded.to(dtype);
      const Tensors ours = values_and_gradients(lstm, p),
                    theirs = values_and_gradients(compose::lstm, p);
      EXPECT_EQ(std::string(last_dispatch().op), "attend::lstm_backward");
      for (std::size_t i = 0; i < truth.size(); ++i) {
        if (dtype == at::kFloat) {
          EXPECT_TRUE(as_good_as(ours[i], theirs[i], truth[i])) << kNames[i];
        } else {  // the composition is its own truth: what is left is the order of sums over 3,200 rows
          EXPECT_LE(test::relative_error(ours[i], truth[i]), 32 * test::epsilon_of(dtype))
              << kNames[i];
        }
      }
    }
  }
}

TEST(Lstm, EveryTargetRuns) {
  const Problem p = Problem(kCases[3]).to(at::kFloat);
  const Tensors truth = values_and_gradients(compose::lstm, p.to(at::kDouble));
  const Tensors theirs = values_and_gradients(compose::lstm, p);
  test::for_each_target([&] {
    const Tensors ours = values_and_gradients(lstm, p);
    EXPECT_EQ(last_dispatch().path, Path::kFused);
    EXPECT_STREQ(last_dispatch().target, kernels::last_simd_target_name());
    for (std::size_t i = 0; i < truth.size(); ++i)
      EXPECT_TRUE(as_good_as(ours[i], theirs[i], truth[i])) << kNames[i];
  });
}

TEST(Lstm, GradientsAreCentralDifferences) {
  for (const Case& c :
       {Case{3, 4, 2, 3, true, true, true, true}, Case{2, 3, 3, 5, false, false, false, true}}) {
    SCOPED_TRACE(c);
    const Problem p(c);
    test::expect_gradients([&](const Tensors& t) { return call(lstm, t, p.options); },
                           {{"input", p.tensors[0]},
                            {"weight_ih", p.tensors[1]},
                            {"weight_hh", p.tensors[2]},
                            {"bias", p.tensors[3]},
                            {"h0", p.tensors[4]},
                            {"c0", p.tensors[5]}});
  }
}

TEST(Lstm, SecondDerivatives) {
  const Problem p(Case{2, 3, 2, 3, true, false, true, true});
  const auto twice = [&](Op op) {
    Tensors leaves;
    for (const auto& t : p.tensors) leaves.push_back(t.detach().clone().set_requires_grad(true));
    const at::Tensor loss = test::contract(call(op, leaves, p.options), 3);
    const auto first = torch::autograd::grad({loss}, leaves, {}, true, true);
    return torch::autograd::grad({test::contract({first.begin(), first.end()}, 9)}, leaves);
  };
  const auto ours = twice(lstm), theirs = twice(compose::lstm);
  EXPECT_EQ(last_dispatch().path, Path::kComposed);
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_LE(test::relative_error(ours[i], theirs[i]), 1e-12) << kNames[i + 3];
}

/// PyTorch's own layer, which takes neither masks nor lengths.
Tensors torch_lstm(const Tensors& t, bool bidirectional, const Tensors& backward_weights = {}) {
  const std::int64_t directions = bidirectional ? 2 : 1, batch = t[0].size(0),
                     hidden = t[2].size(1);
  const at::Tensor zeros = at::zeros({directions, batch, hidden}, t[0].options());
  Tensors parameters = {t[1], t[2], t[3], at::zeros_like(t[3])};
  for (const auto& w : backward_weights) parameters.push_back(w);
  if (bidirectional) parameters.push_back(at::zeros_like(t[3]));
  const auto [output, h_n, c_n] =
      at::lstm(t[0], {zeros, zeros}, parameters, true, 1, 0.0, false, bidirectional, true);
  return {output, h_n, c_n};
}

TEST(Lstm, IsTorchsLstm) {
  const Problem p(Case{6, 9, 7, 11}), other(Case{6, 9, 7, 11});
  const Tensors ours = call(lstm, p.tensors, {}), theirs = torch_lstm(p.tensors, false);
  EXPECT_LE(test::relative_error(ours[0], theirs[0]), 1e-14);
  EXPECT_LE(test::relative_error(ours[1], theirs[1].squeeze(0)), 1e-14);
  EXPECT_LE(test::relative_error(ours[2], theirs[2].squeeze(0)), 1e-14);
  LstmOptions reverse;
  reverse.reverse = true;
  const Tensors back =
      call(lstm, {p.tensors[0], p.tensors[1] * 0.7, p.tensors[2] * -0.6, p.tensors[3]}, reverse);
  const Tensors both =
      torch_lstm(p.tensors, true, {p.tensors[1] * 0.7, p.tensors[2] * -0.6, p.tensors[3]});
  EXPECT_LE(test::relative_error(at::cat({ours[0], back[0]}, 2), both[0]), 1e-14);
  EXPECT_LE(test::relative_error(back[1], both[1].select(0, 1)), 1e-14);
}

TEST(Lstm, LengthsAreShorterSequences) {
  const Case c{5, 8, 3, 6};
  for (const bool reverse : {false, true}) {
    Problem p(c);
    p.options.reverse = reverse;
    const std::vector<std::int64_t> lengths = {8, 3, 0, 5, 1};
    p.options.lengths = at::tensor(lengths, at::kLong);
    const Tensors all = call(lstm, p.tensors, p.options);
    for (std::int64_t b = 0; b < 5; ++b) {
      LstmOptions o;
      o.reverse = reverse;
      const at::Tensor x = p.tensors[0].narrow(0, b, 1).narrow(1, 0, lengths[b]);
      const Tensors one = call(lstm, {x, p.tensors[1], p.tensors[2], p.tensors[3]}, o);
      EXPECT_TRUE(same_bits(all[0].narrow(0, b, 1).narrow(1, 0, lengths[b]), one[0]));
      EXPECT_TRUE(same_bits(all[1][b], one[1][0]));
      EXPECT_TRUE(same_bits(all[2][b], one[2][0]));
      EXPECT_EQ(
          all[0].narrow(0, b, 1).narrow(1, lengths[b], 8 - lengths[b]).abs().sum().item<double>(),
          0);
    }
  }
}

TEST(Lstm, StridedIsContiguousBitForBit) {
  const Problem p = Problem(kCases[3]).to(at::kFloat);
  Tensors strided = p.tensors;
  strided[0] = p.tensors[0].transpose(0, 1).contiguous().transpose(0, 1);  // time first
  strided[1] = p.tensors[1].t().contiguous().t();  // Keras' kernel, transposed
  strided[2] = p.tensors[2].t().contiguous().t();
  Problem q = p;
  const Tensors dense = call(lstm, p.tensors, p.options);
  q.options.recurrent_mask = p.options.recurrent_mask.t().contiguous().t();
  const Tensors other = call(lstm, strided, q.options);
  for (std::size_t i = 0; i < dense.size(); ++i)
    EXPECT_TRUE(same_bits(dense[i], other[i])) << kNames[i];
  // Last dimension strided, and an expanded cotangent.
  const auto summed = [&](const at::Tensor& x) {
    const at::Tensor leaf = x.detach().set_requires_grad(true);
    const auto out = call(lstm, {leaf, p.tensors[1], p.tensors[2], p.tensors[3]}, p.options);
    return torch::autograd::grad({out[0].sum()}, {leaf})[0];
  };
  EXPECT_TRUE(same_bits(summed(p.tensors[0]),
                        summed(p.tensors[0].transpose(1, 2).contiguous().transpose(1, 2))));
}

TEST(Lstm, NanInPaddingIsHarmless) {
  Problem p = Problem(kCases[3]).to(at::kFloat);
  Problem dirty = p;
  dirty.tensors[0] = p.tensors[0].clone();
  for (std::int64_t b = 0; b < p.tensors[0].size(0); ++b) {
    const std::int64_t n = p.options.lengths[b].item<std::int64_t>();
    dirty.tensors[0][b].narrow(0, n, p.tensors[0].size(1) - n).fill_(std::nan(""));
  }
  const Tensors a = values_and_gradients(lstm, p), b = values_and_gradients(lstm, dirty);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << kNames[i];
  const Tensors composed = values_and_gradients(compose::lstm, dirty);
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_LE(test::relative_error(a[i], composed[i]), 1e-5) << kNames[i];
}

TEST(Lstm, SameBitsOnEveryRun) {
  const Problem p = Problem(kCases[3]).to(at::kFloat);
  for (const int n : {1, 2, 3}) {
    const test::WithThreads threads(n);
    const Tensors a = values_and_gradients(lstm, p), b = values_and_gradients(lstm, p);
    for (std::size_t i = 0; i < a.size(); ++i)
      EXPECT_TRUE(same_bits(a[i], b[i])) << kNames[i] << ", " << n << " threads";
  }
}

TEST(Lstm, ThreadsMayChangeBetweenForwardAndBackward) {
  const Problem p = Problem(kCases[3]).to(at::kFloat);
  const auto gradient = [&](int backward_threads) {
    const at::Tensor w = p.tensors[2].clone().set_requires_grad(true);
    const test::WithThreads forward(2);
    const auto out = call(lstm, {p.tensors[0], p.tensors[1], w, p.tensors[3]}, p.options);
    const test::WithThreads backward(backward_threads);
    return torch::autograd::grad({out[0].sum()}, {w})[0];
  };
  EXPECT_TRUE(same_bits(gradient(2), gradient(1)));
  EXPECT_TRUE(same_bits(gradient(2), gradient(3)));
}

TEST(Lstm, BackwardTwiceAndForwardBetween) {
  const Problem p = Problem(kCases[3]).to(at::kFloat);
  const at::Tensor w = p.tensors[2].clone().set_requires_grad(true);
  const auto out = call(lstm, {p.tensors[0], p.tensors[1], w, p.tensors[3]}, p.options);
  const at::Tensor loss = out[0].sum();
  const auto first = torch::autograd::grad({loss}, {w}, {}, true)[0].clone();
  values_and_gradients(lstm, p);  // takes and gives back pooled memory in between
  EXPECT_TRUE(same_bits(first, torch::autograd::grad({loss}, {w})[0]));
}

TEST(Lstm, WithoutGradientTheSameBits) {
  const Problem p = Problem(kCases[3]).to(at::kFloat);
  Tensors leaves;
  for (const auto& t : p.tensors) leaves.push_back(t.clone().set_requires_grad(true));
  const Tensors training = call(lstm, leaves, p.options);
  const at::NoGradGuard no_grad;
  const Tensors inference = call(lstm, leaves, p.options);
  EXPECT_TRUE(training[0].requires_grad());
  EXPECT_FALSE(inference[0].requires_grad());
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(same_bits(training[i], inference[i])) << kNames[i];
}

TEST(Lstm, OnlyWantedGradients) {
  const Problem p = Problem(kCases[3]).to(at::kFloat);
  const Tensors all = values_and_gradients(lstm, p);
  for (std::size_t only = 0; only < p.tensors.size(); ++only) {
    Tensors t = p.tensors;
    t[only] = t[only].clone().set_requires_grad(true);
    const Tensors out = call(lstm, t, p.options);
    at::Tensor loss = at::zeros({}, t[0].options());
    std::uint64_t seed = 20;
    for (const auto& o : out)
      loss = loss + (o * random_tensor(o.sizes(), ++seed, 1, at::kFloat)).sum();
    loss.backward();
    EXPECT_TRUE(same_bits(t[only].grad(), all[only + 3])) << kNames[only + 3];
  }
}

TEST(Lstm, GradientOfOneOutputOnly) {
  const Problem p = Problem(kCases[1]);
  for (std::size_t k = 0; k < 3; ++k) {
    const auto gradient = [&](Op op) {
      const at::Tensor x = p.tensors[0].clone().set_requires_grad(true);
      const auto out = call(
          op, {x, p.tensors[1], p.tensors[2], p.tensors[3], p.tensors[4], p.tensors[5]}, p.options);
      return torch::autograd::grad({out[k].sum()}, {x})[0];
    };
    EXPECT_LE(test::relative_error(gradient(lstm), gradient(compose::lstm)), 1e-14) << kNames[k];
  }
}

TEST(Lstm, EmptyBatch) {
  const auto o = at::TensorOptions(at::kFloat);
  const at::Tensor w = at::ones({12, 2}, o).set_requires_grad(true);
  const auto [output, h_n, c_n] =
      lstm(at::zeros({0, 4, 2}, o), w, at::ones({12, 3}, o), at::ones({12}, o));
  EXPECT_EQ(output.sizes(), (std::vector<std::int64_t>{0, 4, 3}));
  output.sum().backward();
  EXPECT_EQ(w.grad().abs().sum().item<double>(), 0);
}

TEST(Lstm, OtherDtypesRunTheDefinition) {
  const Problem p = Problem(kCases[1]).to(at::kBFloat16);
  const Tensors out = call(lstm, p.tensors, p.options);
  EXPECT_EQ(out[0].scalar_type(), at::kBFloat16);
  EXPECT_EQ(last_dispatch().path, Path::kComposed);
  EXPECT_STREQ(last_dispatch().reason, "dtype is not float or double");
  const Tensors truth = call(lstm, p.to(at::kDouble).tensors, p.to(at::kDouble).options);
  EXPECT_LE(test::relative_error(out[0], truth[0]), 0.05);
  EXPECT_EQ(last_dispatch().path, Path::kFused);
  EXPECT_STREQ(last_dispatch().op, "attend::lstm");
}

TEST(Lstm, EveryCheckNamesWhatIsWrong) {
  const auto f = at::TensorOptions(at::kFloat);
  const at::Tensor x = at::zeros({2, 4, 3}, f), w = at::zeros({20, 3}, f),
                   u = at::zeros({20, 5}, f), b = at::zeros({20}, f);
  const auto said = [&](const at::Tensor& x_, const at::Tensor& w_, const at::Tensor& u_,
                        const at::Tensor& b_, const LstmOptions& o = {}) {
    return message_of([&] { lstm(x_, w_, u_, b_, o); });
  };
  const auto with = [&](auto change) {
    LstmOptions o;
    change(o);
    return said(x, w, u, b, o);
  };
  using ::testing::AllOf;
  using ::testing::HasSubstr;
  EXPECT_EQ(said(x, w, u, b), "no error");
  EXPECT_THAT(said({}, w, u, b), AllOf(HasSubstr("attend::lstm: input"), HasSubstr("undefined")));
  EXPECT_THAT(said(x, w, {}, b), HasSubstr("weight_hh"));
  EXPECT_THAT(said(x, w, u, {}), HasSubstr("bias"));
  EXPECT_THAT(said(x[0], w, u, b), AllOf(HasSubstr("input"), HasSubstr("[4, 3]")));
  EXPECT_THAT(said(x, w, at::zeros({20, 4}, f), b),
              AllOf(HasSubstr("weight_hh"), HasSubstr("[20, 4]")));
  EXPECT_THAT(said(x, at::zeros({20, 2}, f), u, b),
              AllOf(HasSubstr("weight_ih has I=2"), HasSubstr("input set I=3")));
  EXPECT_THAT(said(x, w, u, at::zeros({5}, f)), AllOf(HasSubstr("bias"), HasSubstr("20")));
  EXPECT_THAT(said(x, w, u.to(at::kDouble), b), AllOf(HasSubstr("weight_hh"), HasSubstr("Double")));
  EXPECT_THAT(said(at::zeros({2, 4, 0}, f), at::zeros({20, 0}, f), u, b), HasSubstr("I"));
  EXPECT_THAT(with([&](auto& o) {
                o.h0 = at::zeros({3, 5}, f);
              }),
              AllOf(HasSubstr("h0"), HasSubstr("B=3")));
  EXPECT_THAT(with([&](auto& o) {
                o.c0 = at::zeros({2, 4}, f);
              }),
              AllOf(HasSubstr("c0"), HasSubstr("H=4")));
  EXPECT_THAT(with([&](auto& o) { o.input_mask = at::zeros({2, 5}, f); }), HasSubstr("input_mask"));
  EXPECT_THAT(with([&](auto& o) {
                o.recurrent_mask = at::zeros({2, 3}, f);
              }),
              HasSubstr("recurrent_mask"));
  EXPECT_THAT(with([&](auto& o) {
                o.input_mask = at::ones({2, 3}, f).set_requires_grad(true);
              }),
              HasSubstr("input_mask requires grad, but masks are constants here; detach it"));
  EXPECT_THAT(with([&](auto& o) {
                o.recurrent_mask = at::ones({2, 5}, f).set_requires_grad(true);
              }),
              HasSubstr("recurrent_mask requires grad"));
  EXPECT_THAT(with([&](auto& o) { o.lengths = at::full({2}, 5, at::kLong); }),
              AllOf(HasSubstr("lengths"), HasSubstr("5")));
  EXPECT_THAT(with([&](auto& o) { o.lengths = at::full({2}, -1, at::kLong); }),
              HasSubstr("lengths"));
  EXPECT_THAT(with([&](auto& o) { o.lengths = at::full({3}, 1, at::kLong); }),
              HasSubstr("lengths"));
  EXPECT_THAT(with([&](auto& o) { o.lengths = at::full({2}, 1, f); }), HasSubstr("lengths"));
}

TEST(Arena, MemoryComesBackAndIsBounded) {
  const auto options = at::TensorOptions(at::kFloat);
  const void* memory = nullptr;
  std::int64_t before = 0;
  {
    const at::Tensor t = pooled_empty(3'000'000, options);
    memory = t.const_data_ptr();
    before = pooled_bytes();
    EXPECT_EQ(t.numel(), 3'000'000);
  }
  EXPECT_GE(pooled_bytes(), before + 12'000'000);
  EXPECT_EQ(pooled_empty(2'900'000, options).const_data_ptr(), memory);
  EXPECT_NE(pooled_empty(1'000'000, options).const_data_ptr(), memory);  // far too large for it
  std::vector<at::Tensor> many;
  for (int i = 0; i < 30; ++i) many.push_back(pooled_empty(4'000'000, options));
  many.clear();
  EXPECT_LE(pooled_bytes(), kArenaLimit);
}

}  // namespace
}  // namespace attend
