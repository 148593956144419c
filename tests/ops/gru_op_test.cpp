// The GRU op: fused path against its composition and against PyTorch's, gradients, checks, dispatch.
// The mutations of the kernels are listed in tests/kernels/gru_test.cpp.
#include "attend/ops/gru.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gru.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "support/compare.h"
#include "support/gradcheck.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend {
namespace {

using test::as_good_as;
using test::random_tensor;
using test::same_bits;
using Tensors = std::vector<at::Tensor>;
constexpr GruForm kForms[] = {GruForm::kResetAfter, GruForm::kResetBefore};

struct Case {
  std::int64_t batch, steps, input, hidden;
  bool lengths = false, reverse = false, masks = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "B" << c.batch << " T" << c.steps << " I" << c.input << " H" << c.hidden
             << (c.lengths ? " lengths" : "") << (c.reverse ? " reverse" : "")
             << (c.masks ? " masks" : "");
}

const std::vector<Case> kCases = {
    {1, 1, 1, 1},
    {3, 4, 2, 5, true, true, true},
    {7, 5, 17, 16, false, true, true},
    {37, 11, 19, 41, true, false, true},
    {100, 32, 32, 100, false, false, true},
};

at::Tensor random_mask(at::IntArrayRef sizes, double rate, std::uint64_t seed) {
  return random_tensor(sizes, seed).gt(2 * rate - 1).to(at::kDouble) / (1 - rate);
}

/// One case's tensors in float64: input, weight_ih, weight_hh, bias_ih, bias_hh, h0.
struct Problem {
  Tensors tensors;
  GruOptions options;

  explicit Problem(const Case& c, GruForm form = GruForm::kResetAfter) {
    const double scale = 1.5 / std::sqrt(static_cast<double>(c.hidden));
    tensors = {random_tensor({c.batch, c.steps, c.input}, 1),
               random_tensor({3 * c.hidden, c.input}, 2, scale),
               random_tensor({3 * c.hidden, c.hidden}, 3, scale),
               random_tensor({3 * c.hidden}, 4, 0.5),
               random_tensor({3 * c.hidden}, 5, 0.5),
               random_tensor({c.batch, c.hidden}, 6)};
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
    options.form = form;
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

using Op = decltype(&gru);

Tensors call(Op op, const Tensors& t, GruOptions o) {
  o.h0 = t[5];
  const auto [output, h_n] = op(t[0], t[1], t[2], t[3], t[4], o);
  return {output, h_n};
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

const char* const kNames[] = {"output",     "h_n",      "dinput",   "dweight_ih",
                              "dweight_hh", "dbias_ih", "dbias_hh", "dh0"};

TEST(Gru, AsGoodAsItsComposition) {
  for (const GruForm form : kForms)
    for (const Case& c : kCases) {
      SCOPED_TRACE(c);
      // Float inputs, so that the float64 truth is that of the same numbers.
      const Problem rounded = Problem(c, form).to(at::kFloat);
      const Tensors truth = values_and_gradients(compose::gru, rounded.to(at::kDouble));
      for (const auto dtype : {at::kFloat, at::kDouble}) {
        const Problem p = rounded.to(dtype);
        const Tensors ours = values_and_gradients(gru, p),
                      theirs = values_and_gradients(compose::gru, p);
        EXPECT_STREQ(last_dispatch().op, "attend::gru_backward");
        EXPECT_EQ(last_dispatch().path, Path::kFused);
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

TEST(Gru, EveryTargetRuns) {
  for (const GruForm form : kForms) {
    const Problem p = Problem(kCases[3], form).to(at::kFloat);
    const Tensors truth = values_and_gradients(compose::gru, p.to(at::kDouble));
    const Tensors theirs = values_and_gradients(compose::gru, p);
    test::for_each_target([&] {
      const Tensors ours = values_and_gradients(gru, p);
      EXPECT_STREQ(last_dispatch().target, kernels::last_simd_target_name());
      for (std::size_t i = 0; i < truth.size(); ++i)
        EXPECT_TRUE(as_good_as(ours[i], theirs[i], truth[i])) << kNames[i];
    });
  }
}

TEST(Gru, GradientsAreCentralDifferences) {
  for (const GruForm form : kForms)
    for (const Case& c : {Case{3, 4, 2, 3, true, true, true}, Case{2, 3, 3, 5}}) {
      SCOPED_TRACE(c);
      const Problem p(c, form);
      test::expect_gradients([&](const Tensors& t) { return call(gru, t, p.options); },
                             {{"input", p.tensors[0]},
                              {"weight_ih", p.tensors[1]},
                              {"weight_hh", p.tensors[2]},
                              {"bias_ih", p.tensors[3]},
                              {"bias_hh", p.tensors[4]},
                              {"h0", p.tensors[5]}});
    }
}

TEST(Gru, SecondDerivatives) {
  for (const GruForm form : kForms) {
    const Problem p(Case{2, 3, 2, 3, true, false, true}, form);
    const auto twice = [&](Op op) {
      Tensors leaves;
      for (const auto& t : p.tensors) leaves.push_back(t.detach().clone().set_requires_grad(true));
      const at::Tensor loss = test::contract(call(op, leaves, p.options), 3);
      const auto first = torch::autograd::grad({loss}, leaves, {}, true, true);
      return torch::autograd::grad({test::contract({first.begin(), first.end()}, 9)}, leaves);
    };
    const auto ours = twice(gru), theirs = twice(compose::gru);
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_LE(test::relative_error(ours[i], theirs[i]), 1e-12) << kNames[i + 2];
  }
}

TEST(Gru, IsTorchsGru) {  // which takes neither masks nor lengths
  const Problem p(Case{6, 9, 7, 11}), other(Case{6, 9, 7, 11});
  const Tensors& t = p.tensors;
  const Tensors ours = call(gru, t, {});
  GruOptions reverse;
  reverse.reverse = true;
  const at::Tensor w = t[1] * 0.7, u = t[2] * -0.6;
  const Tensors back = call(gru, {t[0], w, u, t[4], t[3], t[5]}, reverse);
  const at::Tensor h0 = at::cat({t[5].unsqueeze(0), t[5].unsqueeze(0)});
  const auto [output, h_n] = at::gru(t[0], h0, {t[1], t[2], t[3], t[4], w, u, t[4], t[3]}, true, 1,
                                     0.0, false, /*bidirectional=*/true, true);
  EXPECT_LE(test::relative_error(at::cat({ours[0], back[0]}, 2), output), 1e-14);
  EXPECT_LE(test::relative_error(ours[1], h_n[0]), 1e-14);
  EXPECT_LE(test::relative_error(back[1], h_n[1]), 1e-14);
}

TEST(Gru, WithoutBiasesAndStateIsWithZeros) {
  for (const GruForm form : kForms) {
    const Problem p(kCases[3], form);
    const at::Tensor b = at::zeros_like(p.tensors[3]), h0 = at::zeros_like(p.tensors[5]);
    const auto [output, h_n] = gru(p.tensors[0], p.tensors[1], p.tensors[2], {}, {}, p.options);
    const Tensors zeros =
        call(gru, {p.tensors[0], p.tensors[1], p.tensors[2], b, b, h0}, p.options);
    EXPECT_TRUE(same_bits(output, zeros[0]));
    EXPECT_TRUE(same_bits(h_n, zeros[1]));
  }
}

TEST(Gru, LengthsAreShorterSequences) {
  for (const GruForm form : kForms)
    for (const bool reverse : {false, true}) {
      Problem p(Case{5, 8, 3, 6}, form);
      p.options.reverse = reverse;
      const std::vector<std::int64_t> lengths = {8, 3, 0, 5, 1};
      p.options.lengths = at::tensor(lengths, at::kLong);
      const Tensors all = call(gru, p.tensors, p.options);
      for (std::int64_t b = 0; b < 5; ++b) {
        GruOptions o;
        o.reverse = reverse, o.form = form;
        Tensors one = p.tensors;
        one[0] = one[0].narrow(0, b, 1).narrow(1, 0, lengths[b]), one[5] = one[5].narrow(0, b, 1);
        const Tensors alone = call(gru, one, o);
        EXPECT_TRUE(same_bits(all[0].narrow(0, b, 1).narrow(1, 0, lengths[b]), alone[0]));
        EXPECT_TRUE(same_bits(all[1][b], alone[1][0]));
        EXPECT_EQ(
            all[0].narrow(0, b, 1).narrow(1, lengths[b], 8 - lengths[b]).abs().sum().item<double>(),
            0);
      }
    }
}

TEST(Gru, StridedIsContiguousBitForBit) {
  const Problem p = Problem(kCases[3]).to(at::kFloat);
  Problem q = p;
  q.tensors[0] = p.tensors[0].transpose(0, 1).contiguous().transpose(0, 1);  // time first
  for (const std::size_t i : {1, 2}) q.tensors[i] = p.tensors[i].t().contiguous().t();
  const Tensors dense = values_and_gradients(gru, p);
  Tensors leaves = q.tensors;
  const Tensors other = call(gru, leaves, q.options);
  EXPECT_TRUE(same_bits(dense[0], other[0]));
  EXPECT_TRUE(same_bits(dense[1], other[1]));
  const auto summed =
      [&](const at::Tensor& x) {  // last dimension strided, and an expanded cotangent
        const at::Tensor leaf = x.detach().set_requires_grad(true);
        Tensors t = p.tensors;
        t[0] = leaf;
        return torch::autograd::grad({call(gru, t, p.options)[0].sum()}, {leaf})[0];
      };
  EXPECT_TRUE(same_bits(summed(p.tensors[0]),
                        summed(p.tensors[0].transpose(1, 2).contiguous().transpose(1, 2))));
}

TEST(Gru, NanInPaddingIsHarmless) {
  for (const GruForm form : kForms) {
    Problem p = Problem(kCases[3], form).to(at::kFloat), dirty = p;
    dirty.tensors[0] = p.tensors[0].clone();
    for (std::int64_t b = 0; b < p.tensors[0].size(0); ++b) {
      const std::int64_t n = p.options.lengths[b].item<std::int64_t>();
      dirty.tensors[0][b].narrow(0, n, p.tensors[0].size(1) - n).fill_(std::nan(""));
    }
    const Tensors a = values_and_gradients(gru, p), b = values_and_gradients(gru, dirty);
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << kNames[i];
  }
}

TEST(Gru, SameBitsOnEveryRunAndInference) {
  const Problem p = Problem(kCases[3]).to(at::kFloat);
  for (const int n : {1, 2, 3}) {
    const test::WithThreads threads(n);
    const Tensors a = values_and_gradients(gru, p), b = values_and_gradients(gru, p);
    for (std::size_t i = 0; i < a.size(); ++i)
      EXPECT_TRUE(same_bits(a[i], b[i])) << kNames[i] << ", " << n << " threads";
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(same_bits(call(gru, p.tensors, p.options)[0], a[0]));
  }
}

TEST(Gru, OnlyWantedGradients) {
  const Problem p = Problem(kCases[3], GruForm::kResetBefore).to(at::kFloat);
  const Tensors all = values_and_gradients(gru, p);
  for (std::size_t only = 0; only < p.tensors.size(); ++only) {
    Tensors t = p.tensors;
    t[only] = t[only].clone().set_requires_grad(true);
    at::Tensor loss = at::zeros({}, t[0].options());
    std::uint64_t seed = 20;
    for (const auto& o : call(gru, t, p.options))
      loss = loss + (o * random_tensor(o.sizes(), ++seed, 1, at::kFloat)).sum();
    loss.backward();
    EXPECT_TRUE(same_bits(t[only].grad(), all[only + 2])) << kNames[only + 2];
  }
}

TEST(Gru, EmptyBatch) {
  const auto o = at::TensorOptions(at::kFloat);
  const at::Tensor w = at::ones({9, 2}, o).set_requires_grad(true);
  const auto [output, h_n] = gru(at::zeros({0, 4, 2}, o), w, at::ones({9, 3}, o));
  EXPECT_EQ(output.sizes(), (std::vector<std::int64_t>{0, 4, 3}));
  output.sum().backward();
  EXPECT_EQ(w.grad().abs().sum().item<double>(), 0);
}

TEST(Gru, OtherDtypesRunTheDefinition) {
  const Problem p = Problem(kCases[1], GruForm::kResetBefore).to(at::kBFloat16);
  const Tensors out = call(gru, p.tensors, p.options);
  EXPECT_EQ(last_dispatch().path, Path::kComposed);
  EXPECT_STREQ(last_dispatch().reason, "dtype is not float or double");
  const Tensors truth = call(gru, p.to(at::kDouble).tensors, p.to(at::kDouble).options);
  EXPECT_LE(test::relative_error(out[0], truth[0]), 0.05);
  EXPECT_EQ(last_dispatch().path, Path::kFused);
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    return e.what();
  }
  return "no error";
}

TEST(Gru, EveryCheckNamesWhatIsWrong) {
  const auto f = at::TensorOptions(at::kFloat);
  const at::Tensor x = at::zeros({2, 4, 3}, f), w = at::zeros({15, 3}, f),
                   u = at::zeros({15, 5}, f), b = at::zeros({15}, f);
  const auto said = [&](const at::Tensor& x_, const at::Tensor& w_, const at::Tensor& u_,
                        const at::Tensor& b_, const at::Tensor& c_) {
    return message_of([&] { gru(x_, w_, u_, b_, c_); });
  };
  const auto with = [&](auto change) {
    GruOptions o;
    change(o);
    return message_of([&] { gru(x, w, u, b, b, o); });
  };
  using ::testing::AllOf;
  using ::testing::HasSubstr;
  EXPECT_EQ(said(x, w, u, b, b), "no error");
  EXPECT_THAT(said({}, w, u, b, b), AllOf(HasSubstr("attend::gru: input"), HasSubstr("undefined")));
  EXPECT_THAT(said(x, w, {}, b, b), HasSubstr("weight_hh"));
  EXPECT_THAT(said(x[0], w, u, b, b), AllOf(HasSubstr("input"), HasSubstr("[4, 3]")));
  EXPECT_THAT(said(x, at::zeros({15, 2}, f), u, b, b),
              AllOf(HasSubstr("weight_ih has I=2"), HasSubstr("input set I=3")));
  EXPECT_THAT(said(x, w, at::zeros({15, 4}, f), b, b),
              AllOf(HasSubstr("weight_hh"), HasSubstr("[15, 4]")));
  EXPECT_THAT(said(x, w, u, at::zeros({5}, f), b), AllOf(HasSubstr("bias_ih"), HasSubstr("15")));
  EXPECT_THAT(said(x, w, u, b, {}), HasSubstr("give both bias_ih and bias_hh, or neither"));
  EXPECT_THAT(said(x, w, u.to(at::kDouble), b, b),
              AllOf(HasSubstr("weight_hh"), HasSubstr("Double")));
  EXPECT_THAT(said(at::zeros({2, 4, 0}, f), at::zeros({15, 0}, f), u, b, b), HasSubstr("I"));
  EXPECT_THAT(with([&](auto& o) {
                o.h0 = at::zeros({3, 5}, f);
              }),
              AllOf(HasSubstr("h0"), HasSubstr("B=3")));
  EXPECT_THAT(with([&](auto& o) { o.input_mask = at::zeros({2, 5}, f); }), HasSubstr("input_mask"));
  EXPECT_THAT(with([&](auto& o) {
                o.recurrent_mask = at::zeros({2, 3}, f);
              }),
              HasSubstr("recurrent_mask"));
  EXPECT_THAT(with([&](auto& o) {
                o.input_mask = at::ones({2, 3}, f).set_requires_grad(true);
              }),
              HasSubstr("input_mask requires grad, but masks are constants here; detach it"));
  EXPECT_THAT(with([&](auto& o) { o.lengths = at::full({2}, 5, at::kLong); }),
              AllOf(HasSubstr("lengths"), HasSubstr("5")));
  EXPECT_THAT(with([&](auto& o) { o.lengths = at::full({2}, -1, at::kLong); }),
              HasSubstr("lengths"));
  EXPECT_THAT(with([&](auto& o) { o.lengths = at::full({3}, 1, at::kLong); }),
              HasSubstr("lengths"));
}

}  // namespace
}  // namespace attend
