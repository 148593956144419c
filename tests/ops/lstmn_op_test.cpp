// LSTMN against Cheng et al.'s equations, one number at a time in double.
//
// Planted faults that these tests kill, in the fused path: no gradient from the query behind to the summary; the candidate
// without the slope of tanh; no gradient through the projected tape; a query without the summary before it; weights, and
// states, of steps beyond a length; a tape's gradient overwritten by each later step; the gradient of summary_weight with the
// summary of the same step.
#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <limits>

#include "attend/base/error.h"
#include "attend/ops/dispatch.h"
#include "attend/ops/lstmn.h"
#include "attend/ops/machine.h"
#include "support/compare.h"
#include "support/gradcheck.h"

namespace attend {
namespace {

using test::random_tensor;
using Vector = std::vector<double>;

struct Case {
  const char* name;
  std::int64_t B, T, I, H, A, S;  // S 0: no source
  bool lengths = false;
};
const std::vector<Case> kCases = {
    {"ones", 1, 1, 1, 1, 1, 0},
    {"small", 2, 4, 3, 5, 4, 0},
    {"lengths", 3, 6, 2, 3, 4, 0, true},
    {"deep", 2, 4, 3, 5, 4, 7},
    {"deep lengths", 3, 5, 2, 3, 4, 6, true},
};

struct Model {
  at::Tensor input;
  LstmnWeights w;
  LstmnSource source;
  LstmnOptions options;

  explicit Model(const Case& c, at::ScalarType dtype = at::kDouble) {
    std::uint64_t seed = 0;
    const auto make = [&](at::IntArrayRef size) { return random_tensor(size, ++seed, 0.8, dtype); };
    input = make({c.B, c.T, c.I});
    w = {make({4 * c.H, c.H + c.I}), make({4 * c.H}),  make({c.A, c.H}),
         make({c.A, c.I}),           make({c.A, c.H}), make({c.A})};
    options.need_weights = true;
    if (c.lengths) options.lengths = spread(c.B, c.T);
    if (c.S == 0) return;
    source = {
        make({c.B, c.S, c.H}), make({c.B, c.S, c.H}),  c.lengths ? spread(c.B, c.S) : at::Tensor(),
        make({c.A, c.H}),      make({c.A, c.I}),       make({c.A, c.H}),
        make({c.A}),           make({c.H, c.H + c.I}), make({c.H})};
    options.source = &source;
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  static at::Tensor spread(std::int64_t rows, std::int64_t most) {  // most, …, 0
    std::vector<std::int64_t> n;
    for (std::int64_t b = 0; b < rows; ++b)
      n.push_back((rows - 1 - b) * most / std::max<std::int64_t>(1, rows - 1));
    return at::tensor(n, at::kLong);
  }
  LstmnResult run() const { return lstmn(input, w, options); }
  std::vector<at::Tensor*> leaves() {
    std::vector<at::Tensor*> all{&input,          &w.weight,         &w.bias,        &w.tape_weight,
                                 &w.input_weight, &w.summary_weight, &w.score_weight};
    if (options.source)
      for (at::Tensor* t :
           {&source.hidden, &source.memory, &source.tape_weight, &source.input_weight,
            &source.summary_weight, &source.score_weight, &source.gate_weight, &source.gate_bias})
        all.push_back(t);
    return all;
  }
};

double sigma(double x) { return 1 / (1 + std::exp(-x)); }
Vector row_of(const at::Tensor& t) {
  const at::Tensor c = t.contiguous();
  return Vector(c.const_data_ptr<double>(), c.const_data_ptr<double>() + c.numel());
}
Vector product(const at::Tensor& matrix, const Vector& x) {
  Vector y;
  for (std::int64_t r = 0; r < matrix.size(0); ++r) {
    y.push_back(0);
    for (std::size_t c = 0; c < x.size(); ++c)
      y.back() += matrix[r][static_cast<std::int64_t>(c)].item<double>() * x[c];
  }
  return y;
}
Vector joined(Vector a, const Vector& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Reader {  // equations 5 to 7 over one pair of tapes
  at::Tensor tape, input, before, score;
  Vector weights, hidden, memory;
  void read(const std::vector<Vector>& h, const std::vector<Vector>& c, const Vector& x,
            const Vector& previous) {
    const Vector from_x = product(input, x), from_previous = product(before, previous);
    weights.clear();
    double total = 0;
    for (const Vector& hi : h) {
      const Vector from_h = product(tape, hi);
      double a = 0;
      for (std::size_t k = 0; k < from_h.size(); ++k)
        a += score[static_cast<std::int64_t>(k)].item<double>() *
             std::tanh(from_h[k] + from_x[k] + from_previous[k]);
      weights.push_back(std::exp(a)), total += weights.back();
    }
    hidden.assign(previous.size(), 0), memory.assign(previous.size(), 0);
    for (std::size_t i = 0; i < h.size(); ++i) {
      weights[i] /= total;
      for (std::size_t u = 0; u < hidden.size(); ++u)
        hidden[u] += weights[i] * h[i][u], memory[u] += weights[i] * c[i][u];
    }
  }
};

void expect_equations(const Case& c, const Model& m) {
  const LstmnResult r = m.run();
  const auto near = [](const at::Tensor& ours, const Vector& want) {
    for (std::size_t u = 0; u < want.size(); ++u)
      ASSERT_NEAR(ours[static_cast<std::int64_t>(u)].item<double>(), want[u], 1e-13);
  };
  for (std::int64_t b = 0; b < c.B; ++b) {
    const std::int64_t length = c.lengths ? m.options.lengths[b].item<std::int64_t>() : c.T;
    Reader own{m.w.tape_weight,
               m.w.input_weight,
               m.w.summary_weight,
               m.w.score_weight,
               {},
               Vector(c.H, 0),
               {}};
    Reader other{m.source.tape_weight,
                 m.source.input_weight,
                 m.source.summary_weight,
                 m.source.score_weight,
                 {},
                 Vector(c.H, 0),
                 {}};
    std::vector<Vector> h, mem, sh, sm;
    const std::int64_t source_length = c.S == 0    ? 0
                                       : c.lengths ? m.source.lengths[b].item<std::int64_t>()
                                                   : c.S;
    for (std::int64_t s = 0; s < source_length; ++s)
      sh.push_back(row_of(m.source.hidden[b][s])), sm.push_back(row_of(m.source.memory[b][s]));
    for (std::int64_t t = 0; t < length; ++t) {
      const Vector x = row_of(m.input[b][t]);
      own.read(h, mem, x, own.hidden);
      const Vector gates = product(m.w.weight, joined(own.hidden, x));
      Vector ht, ct;
      for (std::int64_t u = 0; u < c.H; ++u) {
        const auto pre = [&](std::int64_t gate) {
          return gates[gate * c.H + u] + m.w.bias[gate * c.H + u].item<double>();
        };
        ct.push_back(sigma(pre(1)) * own.memory[u] + sigma(pre(0)) * std::tanh(pre(3)));
      }
      if (c.S > 0) {
        other.read(sh, sm, x, other.hidden);
        const Vector gate = product(m.source.gate_weight, joined(other.hidden, x));
        for (std::int64_t u = 0; u < c.H; ++u)
          ct[u] += sigma(gate[u] + m.source.gate_bias[u].item<double>()) * other.memory[u];
        near(r.source_weights[b][t], other.weights);
      }
      for (std::int64_t u = 0; u < c.H; ++u)
        ht.push_back(sigma(gates[2 * c.H + u] + m.w.bias[2 * c.H + u].item<double>()) *
                     std::tanh(ct[u]));
      near(r.hidden[b][t], ht), near(r.memory[b][t], ct), near(r.weights[b][t], own.weights);
      EXPECT_EQ(r.weights[b][t].narrow(0, t, c.T - t).abs().sum().item<double>(),
                0);  // neither itself nor the future
      h.push_back(ht), mem.push_back(ct);
    }
    for (const at::Tensor& t : {r.hidden, r.memory, r.weights})
      EXPECT_EQ(t[b].narrow(0, length, c.T - length).abs().sum().item<double>(), 0);
  }
}

TEST(Lstmn, FollowsTheEquations) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    expect_equations(c, Model(c));
  }
}

TEST(Lstmn, GradientsAgreeWithFiniteDifferences) {
  for (const Case& c : {Case{"own", 2, 3, 2, 2, 3, 0, true}, Case{"deep", 2, 3, 2, 2, 3, 4}}) {
    SCOPED_TRACE(c.name);
    Model m(c);
    std::vector<test::Named> named;
    for (at::Tensor* t : m.leaves()) named.push_back({"leaf", *t});
    test::expect_gradients(
        [&](const std::vector<at::Tensor>& x) {
          Model with(c);
          const auto leaves = with.leaves();
          for (std::size_t i = 0; i < x.size(); ++i) *leaves[i] = x[i];
          const LstmnResult r = with.run();
          return std::vector<at::Tensor>{r.hidden, r.memory, r.weights};
        },
        named);
  }
}

/// Outputs and gradients of all leaves for fixed cotangents.
std::vector<at::Tensor> run_with_gradients(Model& m, bool composed) {
  std::vector<at::Tensor> leaves;
  for (at::Tensor* t : m.leaves()) leaves.push_back(t->set_requires_grad(true));
  const LstmnResult r = composed ? compose::lstmn(m.input, m.w, m.options) : m.run();
  std::vector<at::Tensor> out{r.hidden, r.memory, r.weights};
  const auto gradients = torch::autograd::grad({test::contract({r.hidden, r.memory, r.weights}, 3)},
                                               leaves, {}, false, false, true);
  for (std::size_t i = 0; i < leaves.size(); ++i)  // with one step there is nobody to look at
    out.push_back(gradients[i].defined() ? gradients[i] : at::zeros_like(leaves[i]));
  return out;
}

TEST(Lstmn, TheFusedPathIsTheDefinition) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat})
    for (const Case& c : kCases) {
      if (c.S > 0) continue;
      SCOPED_TRACE(c.name);
      Model ours(c, dtype), theirs(c, dtype), exact(c);
      const auto found = run_with_gradients(ours, false), said = run_with_gradients(theirs, true);
      if (c.T > 1) {
        EXPECT_STREQ(last_dispatch().op, "attend::additive_backward");  // the definition
      }
      ours.run();
      EXPECT_STREQ(last_dispatch().op, "attend::lstmn");
      EXPECT_EQ(last_dispatch().path, Path::kFused);
      const double eps = dtype == at::kDouble ? 1e-12 : 1e-4;
      for (std::size_t i = 0; i < found.size(); ++i)
        EXPECT_LE((found[i] - said[i]).abs().max().item<double>(),
                  eps * std::max(1.0, said[i].abs().max().item<double>()))
            << "tensor " << i;
    }
}

TEST(Lstmn, SecondDerivativesAgreeWithFiniteDifferences) {
  const Case c{"twice", 1, 3, 2, 2, 2, 0};
  Model m(c);
  std::vector<test::Named> named;
  for (at::Tensor* t : m.leaves()) named.push_back({"leaf", *t});
  test::expect_gradients(
      [&](const std::vector<at::Tensor>& x) {
        Model with(c);
        const auto leaves = with.leaves();
        const at::AutoGradMode on(true);
        std::vector<at::Tensor> used;
        for (std::size_t i = 0; i < x.size(); ++i)
          used.push_back(x[i].requires_grad() ? x[i] : x[i].detach().set_requires_grad(true)),
              *leaves[i] = used.back();
        const LstmnResult r = with.run();
        return torch::autograd::grad({test::contract({r.hidden, r.memory}, 5)}, used, {}, true,
                                     true);
      },
      named);
}

TEST(Lstmn, TheBitsDontDependOnTheThreads) {
  const Case c{"threads", 9, 12, 5, 16, 8, 0, true};
  std::vector<std::vector<at::Tensor>> all;
  for (const int threads : {1, 2, 3}) {
    use_threads(threads);
    Model m(c, at::kFloat);
    all.push_back(run_with_gradients(m, false));
  }
  use_threads(1);
  for (std::size_t k = 1; k < all.size(); ++k)
    for (std::size_t i = 0; i < all[0].size(); ++i)
      EXPECT_TRUE(test::same_bits(all[0][i], all[k][i])) << "tensor " << i;
}

TEST(Lstmn, WhatLiesBeyondALengthIsNeverTouched) {
  const Case c{"nan", 3, 5, 2, 3, 4, 6, true};
  const Model clean(c);
  Model dirty(c);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (std::int64_t b = 0; b < 3; ++b) {
    const std::int64_t n = dirty.options.lengths[b].item<std::int64_t>(),
                       s = dirty.source.lengths[b].item<std::int64_t>();
    dirty.input[b].narrow(0, n, 5 - n).fill_(nan);
    dirty.source.hidden[b].narrow(0, s, 6 - s).fill_(nan),
        dirty.source.memory[b].narrow(0, s, 6 - s).fill_(nan);
  }
  EXPECT_TRUE(test::same_bits(clean.run().hidden, dirty.run().hidden));
  EXPECT_FALSE(dirty.run().memory.isnan().any().item<bool>());
}

TEST(Lstmn, TheFutureChangesNothing) {
  const Case c{"future", 1, 6, 2, 3, 4, 0};
  Model m(c);
  const at::Tensor before = m.run().hidden;
  m.input.select(1, 4).add_(1);
  const at::Tensor after = m.run().hidden;
  EXPECT_TRUE(test::same_bits(before.narrow(1, 0, 4), after.narrow(1, 0, 4)));
  EXPECT_FALSE(at::equal(before.select(1, 4), after.select(1, 4)));
}

TEST(Lstmn, GoesOnFromWhereItStood) {
  for (const Case& c : {Case{"small", 2, 5, 3, 4, 3, 0}, Case{"deep", 2, 5, 3, 4, 3, 6}}) {
    Model whole(c), part(c);
    const LstmnResult all = whole.run();
    const at::Tensor none = at::zeros({c.B, 0, c.H}, at::kDouble),
                     start = at::zeros({c.B, c.H}, at::kDouble);
    LstmnTapes tapes{none, none, start, start};
    part.options.before = &tapes;
    for (const auto& [first, steps] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 2}, {2, 1}, {3, 2}}) {
      part.input = whole.input.narrow(1, first, steps);
      const LstmnResult r = part.run();
      const auto near = [&](const at::Tensor& found, const at::Tensor& wanted, const char* name) {
        EXPECT_LT(test::relative_error(found, wanted), 1e-12)
            << c.name << ' ' << name << ' ' << first;
      };
      near(r.hidden, all.hidden.narrow(1, first, steps), "hidden");
      near(r.memory, all.memory.narrow(1, first, steps), "memory");
      ASSERT_EQ(r.weights.size(2), first + steps);
      near(r.weights, all.weights.narrow(1, first, steps).narrow(2, 0, first + steps), "weights");
      if (c.S > 0)
        near(r.source_weights, all.source_weights.narrow(1, first, steps), "source_weights");
      tapes = {at::cat({tapes.hidden, r.hidden}, 1), at::cat({tapes.memory, r.memory}, 1),
               r.summary, r.source_summary};
    }
  }
}

TEST(Lstmn, EmptySizes) {
  Model none({"none", 1, 3, 2, 3, 4, 0}), nobody({"nobody", 1, 3, 2, 3, 4, 0});
  none.input = at::zeros({1, 0, 2}, at::kDouble), nobody.input = at::zeros({0, 3, 2}, at::kDouble);
  EXPECT_EQ(none.run().hidden.sizes(), at::IntArrayRef({1, 0, 3}));
  EXPECT_EQ(none.run().weights.sizes(), at::IntArrayRef({1, 0, 0}));
  EXPECT_EQ(nobody.run().memory.sizes(), at::IntArrayRef({0, 3, 3}));
}

TEST(Lstmn, EveryCheckSaysWhatIsWrong) {
  const Case c{"bad", 2, 3, 2, 5, 4, 6};
  const auto expect = [&](const std::function<void(Model&)>& spoil, const std::string& message) {
    Model m(c);
    spoil(m);
    try {
      m.run();
      FAIL() << "not refused: " << message;
    } catch (const Error& e) {
      EXPECT_EQ(e.what(), message);
    }
  };
  const auto ones = [](at::IntArrayRef size) { return at::ones(size, at::kDouble); };
  expect(
      [&](Model& m) {
        m.w.weight = ones({20, 8});
      },
      "attend::lstmn: weight's columns is 8 but must be H + I = 7");
  expect([&](Model& m) { m.w.bias = ones({18}); },
         "attend::lstmn: bias has 4H=18 (shape [18]), which is not a multiple of 4");
  expect([&](Model& m) { m.w.score_weight = at::Tensor(); },
         "attend::lstmn: score_weight is undefined but must be [A]");
  expect(
      [&](Model& m) {
        m.source.memory = ones({2, 5, 5});
      },
      "attend::lstmn: source.memory has S=5 (shape [2, 5, 5]) but source.hidden set S=6");
  expect(
      [&](Model& m) {
        m.options.lengths = at::tensor({4, 0}, at::kLong);
      },
      "attend::lstmn: lengths[0] is 4 but must be in [0, T=3]");
  LstmnTapes tapes{ones({2, 1, 5}), ones({2, 1, 5}), ones({2, 5}), ones({2, 5})};
  expect(
      [&](Model& m) {
        m.options.lengths = at::tensor({3, 0}, at::kLong), m.options.before = &tapes;
      },
      "attend::lstmn: lengths and before exclude each other");
}

}  // namespace
}  // namespace attend
