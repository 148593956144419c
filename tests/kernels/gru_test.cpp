// The GRU kernels against the equations in double, in both forms, on every SIMD target, one to three workers, odd sizes
// around vector and tile boundaries, NaN around and inside every buffer.
#include "attend/kernels/gru.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "attend/base/random.h"
#include "support/gru_equations.h"
#include "support/guard.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

using test::Guarded;

struct Case {
  std::int64_t batch, steps, input, hidden;
  bool lengths = false, reverse = false, masks = false, state = false, biases = true;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "B" << c.batch << " T" << c.steps << " I" << c.input << " H" << c.hidden
             << (c.lengths ? " lengths" : "") << (c.reverse ? " reverse" : "")
             << (c.masks ? " masks" : "") << (c.state ? " h0" : "") << (c.biases ? " biases" : "");
}

// One of everything; then sizes one off a vector (4, 8, 16), a tile (5, 6, 8 rows), a panel (80 columns) and a block
// (200 rows), and enough work for three workers, where lengths include 0 and T.
const std::vector<Case> kCases = {
    {1, 1, 1, 1},
    {1, 2, 1, 1, false, true, true, true, false},
    {2, 3, 1, 15, true, false, true, true},
    {5, 4, 16, 16, false, true, false, true},
    {6, 5, 17, 7, true, true, true, true},
    {7, 1, 3, 33, false, false, true, false, false},
    {23, 9, 33, 31, true, true, false, true},
    {201, 2, 5, 4, false, false, true, true},
    {37, 11, 19, 41, true, false, true, true},
    {37, 11, 19, 41, true, true, true, true, false},
    {41, 13, 40, 32, false, true, true, true},
    {9, 25, 64, 81, true, false, false, false},
};

std::vector<double> random_values(std::int64_t n, double scale, std::uint64_t seed) {
  Random random(seed, Purpose::kGenerate);
  std::vector<double> v(n);
  for (double& x : v)
    x = static_cast<float>(scale * (2 * random.uniform() - 1));  // exact in float too
  return v;
}

std::vector<double> random_mask(std::int64_t n, double rate, std::uint64_t seed) {
  Random random(seed, Purpose::kDropout);
  std::vector<double> v(n);
  for (double& x : v) x = random.uniform() < rate ? 0 : static_cast<float>(1 / (1 - rate));
  return v;
}

test::GruEquations equations(const Case& c, bool reset_before) {
  test::GruEquations e;
  e.batch = c.batch, e.steps = c.steps, e.input = c.input, e.hidden = c.hidden;
  e.reverse = c.reverse, e.reset_before = reset_before;
  const double scale = 1.5 / std::sqrt(static_cast<double>(c.hidden));
  e.x = random_values(c.batch * c.steps * c.input, 1.5, 1);
  e.weight_ih = random_values(3 * c.hidden * c.input, scale, 2);
  e.weight_hh = random_values(3 * c.hidden * c.hidden, scale, 3);
  if (c.biases)
    e.bias_ih = random_values(3 * c.hidden, 0.5, 4),
    e.bias_hh = random_values(3 * c.hidden, 0.5, 5);
  e.grad_output = random_values(c.batch * c.steps * c.hidden, 1, 6);
  e.grad_h_n = random_values(c.batch * c.hidden, 1, 7);
  if (c.state) e.h0 = random_values(c.batch * c.hidden, 1, 8);
  if (c.masks) e.input_mask = random_mask(c.batch * c.input, 0.3, 9);
  if (c.masks) e.recurrent_mask = random_mask(c.batch * c.hidden, 0.2, 10);
  for (std::int64_t b = 0; c.lengths && b < c.batch; ++b)
    e.lengths.push_back((b * 7 + 3) % (c.steps + 1));
  return e;
}

/// The kernels on copies of one case's arrays, each between NaN bands and `offset` elements off alignment.
template <class T>
struct Layer {
  std::int64_t batch, steps, input, hidden;
  GruForm form;
  LstmPlan plan;
  Guarded<T> x, weight_ih, weight_hh, bias_ih, bias_hh, h0, input_mask, recurrent_mask, grad_output,
      grad_h_n;
  Guarded<T> output, h_n, grad_x, grad_weight_ih, grad_weight_hh, grad_bias_ih, grad_bias_hh,
      grad_h0;
  Guarded<T> saved, forward_workspace, inference_workspace, backward_workspace;

  static Guarded<T> copy(const std::vector<double>& v, int offset) {
    Guarded<T> g(static_cast<std::int64_t>(v.size()), offset);
    for (std::size_t i = 0; i < v.size(); ++i)
      g[static_cast<std::int64_t>(i)] = static_cast<T>(v[i]);
    return g;
  }

  Layer(const test::GruEquations& e, int workers, int offset = 0)
      : batch(e.batch),
        steps(e.steps),
        input(e.input),
        hidden(e.hidden),
        form(e.reset_before ? GruForm::kResetBefore : GruForm::kResetAfter),
        plan({e.batch, e.steps, e.input, e.hidden}, e.lengths.empty() ? nullptr : e.lengths.data(),
             e.reverse, workers),
        x(copy(e.x, offset)),
        weight_ih(copy(e.weight_ih, offset)),
        weight_hh(copy(e.weight_hh, offset)),
        bias_ih(copy(e.bias_ih, offset)),
        bias_hh(copy(e.bias_hh, offset)),
        h0(copy(e.h0, offset)),
        input_mask(copy(e.input_mask, offset)),
        recurrent_mask(copy(e.recurrent_mask, offset)),
        grad_output(copy(e.grad_output, offset)),
        grad_h_n(copy(e.grad_h_n, offset)),
        output(batch * steps * hidden, offset),
        h_n(batch * hidden, offset),
        grad_x(batch * steps * input, offset),
        grad_weight_ih(3 * hidden * input, offset),
        grad_weight_hh(3 * hidden * hidden, offset),
        grad_bias_ih(3 * hidden, offset),
        grad_bias_hh(3 * hidden, offset),
        grad_h0(batch * hidden, offset),
        saved(gru_saved_size(plan), offset),
        forward_workspace(gru_forward_workspace(plan, true), offset),
        inference_workspace(gru_forward_workspace(plan, false), offset),
        backward_workspace(gru_backward_workspace(plan), offset) {}

  static const T* or_null(const Guarded<T>& g) { return g.size() ? g.data() : nullptr; }
  GruWeights<T> weights() const {
    return {form, weight_ih.data(), weight_hh.data(), or_null(input_mask), or_null(recurrent_mask)};
  }

  GruForward<T> forward_call() {
    GruForward<T> run;
    run.weights = weights();
    run.bias_ih = or_null(bias_ih), run.bias_hh = or_null(bias_hh);
    run.input = {x.data(), steps * input, input};
    run.h0 = or_null(h0);
    run.output = {output.data(), steps * hidden, hidden};
    run.h_n = h_n.data();
    run.saved = saved.data(), run.workspace = forward_workspace.data();
    return run;
  }

  void forward() { gru_forward(plan, forward_call()); }
  void backward() {
    GruBackward<T> run;
    run.weights = weights();
    run.grad_output = {grad_output.data(), steps * hidden, hidden};
    run.grad_h_n = grad_h_n.data();
    run.saved = saved.data(), run.workspace = backward_workspace.data();
    run.grad_input = {grad_x.data(), steps * input, input};
    run.grad_weight_ih = grad_weight_ih.data(), run.grad_weight_hh = grad_weight_hh.data();
    run.grad_bias_ih = grad_bias_ih.data(), run.grad_bias_hh = grad_bias_hh.data();
    run.grad_h0 = grad_h0.data();
    gru_backward(plan, run);
  }
  void both() { forward(), backward(); }

  std::vector<const Guarded<T>*> results() const {
    return {&output,         &h_n,          &grad_x,       &grad_weight_ih,
            &grad_weight_hh, &grad_bias_ih, &grad_bias_hh, &grad_h0};
  }
  std::vector<const Guarded<T>*> everything() const {
    auto all = results();
    for (const auto* g : {&x, &weight_ih, &weight_hh, &bias_ih, &bias_hh, &h0, &input_mask,
                          &recurrent_mask, &grad_output, &grad_h_n, &saved, &forward_workspace,
                          &inference_workspace, &backward_workspace})
      all.push_back(g);
    return all;
  }
};

constexpr const char* kResultNames[] = {
    "output",         "h_n",          "grad_x",       "grad_weight_ih",
    "grad_weight_hh", "grad_bias_ih", "grad_bias_hh", "grad_h0"};

template <class T>
double relative_error(const Guarded<T>& ours, const std::vector<double>& truth) {
  double off = 0, norm = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    off += std::pow(static_cast<double>(ours[static_cast<std::int64_t>(i)]) - truth[i], 2);
    norm += truth[i] * truth[i];
  }
  return norm > 0 ? std::sqrt(off / norm) : std::sqrt(off);
}

template <class T>
void expect_close(const Layer<T>& layer, const test::GruEquations& e) {
  const std::vector<double>* truth[] = {
      &e.output,         &e.h_n,          &e.grad_x,       &e.grad_weight_ih,
      &e.grad_weight_hh, &e.grad_bias_ih, &e.grad_bias_hh, &e.grad_h0};
  const double limit = 24 * std::numeric_limits<T>::epsilon();
  const auto results = layer.results();
  for (std::size_t i = 0; i < results.size(); ++i)
    EXPECT_LE(relative_error(*results[i], *truth[i]), limit) << kResultNames[i];  // NaN fails
  for (const auto* g : layer.everything()) EXPECT_TRUE(g->intact());
}

template <class T>
void expect_same_results(const Layer<T>& a, const Layer<T>& b) {
  for (std::size_t i = 0; i < a.results().size(); ++i) {
    const auto *p = a.results()[i], *q = b.results()[i];
    EXPECT_EQ(std::memcmp(p->data(), q->data(), p->size() * sizeof(T)), 0) << kResultNames[i];
  }
}

template <class T>
class GruKernel : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GruKernel, Types);

TYPED_TEST(GruKernel, EquationsOnEveryTarget) {
  for (const Case& c : kCases)
    for (const bool reset_before : {false, true}) {
      SCOPED_TRACE(c);
      SCOPED_TRACE(reset_before ? "reset before" : "reset after");
      test::GruEquations e = equations(c, reset_before);
      e.run();
      test::for_each_target([&] {
        Layer<TypeParam> layer(e, 1, 1);
        layer.both();
        expect_close(layer, e);
      });
    }
}

TYPED_TEST(GruKernel, EquationsWithWorkers) {
  for (const Case& c : kCases)
    for (const bool reset_before : {false, true}) {
      SCOPED_TRACE(c);
      test::GruEquations e = equations(c, reset_before);
      e.run();
      for (const int workers : {2, 3}) {
        const test::WithThreads threads(workers);
        Layer<TypeParam> layer(e, workers);
        layer.both();
        expect_close(layer, e);
      }
    }
}

TYPED_TEST(GruKernel, SameBitsOnEveryRunAndWithAnyNumberOfThreads) {
  for (const bool reset_before : {false, true}) {
    const test::GruEquations e = equations(kCases[9], reset_before);
    Layer<TypeParam> first(e, 3), again(e, 3, 1), serial(e, 3);
    ASSERT_EQ(first.plan.slices().size(), 3u);
    first.both();
    again.both();      // other alignment
    again.backward();  // saved is only read
    const test::WithThreads threads(1);
    serial.both();
    expect_same_results(first, again);
    expect_same_results(first, serial);
  }
}

TYPED_TEST(GruKernel, InferenceIsTraining) {
  for (const Case& c : kCases)
    for (const bool reset_before : {false, true}) {
      SCOPED_TRACE(c);
      const test::GruEquations e = equations(c, reset_before);
      Layer<TypeParam> training(e, 2), inference(e, 2);
      training.forward();
      auto run = inference.forward_call();
      run.saved = nullptr, run.workspace = inference.inference_workspace.data();
      gru_forward(inference.plan, run);
      EXPECT_EQ(std::memcmp(training.output.data(), inference.output.data(),
                            training.output.size() * sizeof(TypeParam)),
                0);
      EXPECT_EQ(std::memcmp(training.h_n.data(), inference.h_n.data(),
                            training.h_n.size() * sizeof(TypeParam)),
                0);
      EXPECT_TRUE(inference.inference_workspace.intact());
    }
}

TYPED_TEST(GruKernel, PaddingIsNeitherReadNorLeft) {
  const TypeParam nan = std::numeric_limits<TypeParam>::quiet_NaN();
  for (const bool reset_before : {false, true})
    for (const Case& c : {kCases[4], kCases[8], kCases[9]}) {
      SCOPED_TRACE(c);
      const test::GruEquations e = equations(c, reset_before);
      Layer<TypeParam> clean(e, 2), dirty(e, 2);
      for (std::int64_t b = 0; b < c.batch; ++b)
        for (std::int64_t t = e.lengths[b]; t < c.steps; ++t) {
          for (std::int64_t k = 0; k < c.input; ++k) dirty.x[(b * c.steps + t) * c.input + k] = nan;
          for (std::int64_t k = 0; k < c.hidden; ++k)
            dirty.grad_output[(b * c.steps + t) * c.hidden + k] = nan;
        }
      clean.both();
      dirty.both();
      expect_same_results(clean, dirty);
      for (std::int64_t b = 0; b < c.batch; ++b)
        for (std::int64_t t = e.lengths[b]; t < c.steps; ++t) {
          for (std::int64_t k = 0; k < c.hidden; ++k)
            ASSERT_EQ(dirty.output[(b * c.steps + t) * c.hidden + k], 0);
          for (std::int64_t k = 0; k < c.input; ++k)
            ASSERT_EQ(dirty.grad_x[(b * c.steps + t) * c.input + k], 0);
        }
    }
}

TYPED_TEST(GruKernel, LengthZeroPassesTheStateThrough) {
  test::GruEquations e = equations(kCases[8], true);
  e.lengths.assign(e.batch, 0);
  Layer<TypeParam> layer(e, 2);
  layer.both();
  for (std::int64_t i = 0; i < layer.h_n.size(); ++i) {
    ASSERT_EQ(layer.h_n[i], layer.h0[i]);
    ASSERT_EQ(layer.grad_h0[i], layer.grad_h_n[i]);
  }
  for (const auto* g : {&layer.output, &layer.grad_x, &layer.grad_weight_ih, &layer.grad_weight_hh,
                        &layer.grad_bias_ih, &layer.grad_bias_hh})
    for (const TypeParam v : g->values()) ASSERT_EQ(v, 0);
}

TYPED_TEST(GruKernel, ExtremeGatesSaturateAndStayFinite) {
  test::GruEquations e = equations(kCases[8], false);
  for (double& v : e.weight_ih) v *= 300;
  for (const bool reset_before : {false, true}) {
    e.reset_before = reset_before;
    Layer<TypeParam> layer(e, 2);
    layer.both();
    for (const auto* g : layer.results())
      for (const TypeParam v : g->values()) ASSERT_TRUE(std::isfinite(v));
    for (const TypeParam v : layer.output.values()) ASSERT_LE(std::abs(v), 1 + 1e-6);
  }
}

}  // namespace
}  // namespace attend::kernels
