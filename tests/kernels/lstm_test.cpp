// The LSTM kernels against the equations in double, on every SIMD target, one to three workers, odd sizes around vector
// and tile boundaries, NaN around and inside every buffer.
// Mutations these tests killed (each planted alone, each seen to fail): gates in the wrong order; backward without the
// input mask, or without the recurrent mask; h0 not masked; the last block's weight gradient lost; a worker's weight
// gradient lost; a row active one step too long; reverse from the longest row's end instead of its own; units walked
// upwards in backward, so that a spilled vector overwrites a neighbouring gate.
#include "attend/kernels/lstm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <thread>
#include <vector>

#include "attend/base/random.h"
#include "support/guard.h"
#include "support/lstm_equations.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

using test::Guarded;

struct Case {
  std::int64_t batch, steps, input, hidden;
  bool lengths = false, reverse = false, input_mask = false, recurrent_mask = false, states = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "B" << c.batch << " T" << c.steps << " I" << c.input << " H" << c.hidden
             << (c.lengths ? " lengths" : "") << (c.reverse ? " reverse" : "")
             << (c.input_mask ? " input_mask" : "") << (c.recurrent_mask ? " recurrent_mask" : "")
             << (c.states ? " states" : "");
}

// One of everything; then sizes one off a vector (4, 8, 16), a tile (5, 6, 8 rows) and a block (200 rows), and enough
// work for three workers, where lengths include 0 and T.
const std::vector<Case> kCases = {
    {1, 1, 1, 1},
    {1, 1, 1, 1, false, true, true, true, true},
    {2, 3, 1, 15, true, false, true, true, true},
    {5, 4, 16, 16, false, true, false, false, true},
    {6, 5, 17, 7, true, true, true, true, true},
    {7, 1, 3, 33, false, false, true, false, false},
    {11, 6, 31, 9, true, false, false, true, false},
    {23, 9, 33, 31, true, true, false, false, true},
    {201, 2, 5, 4, false, false, true, true, true},
    {37, 11, 19, 41, true, false, true, true, true},
    {37, 11, 19, 41, true, true, true, true, true},
    {41, 13, 40, 32, false, true, false, true, true},
    {9, 45, 64, 48, true, false, false, false, false},
};

std::vector<double> random_values(std::size_t n, double scale, std::uint64_t seed) {
  Random random(seed, Purpose::kGenerate);
  std::vector<double> v(n);
  for (double& x : v)
    x = static_cast<float>(scale * (2 * random.uniform() - 1));  // exact in float too
  return v;
}

std::vector<double> random_mask(std::size_t n, double rate, std::uint64_t seed) {
  Random random(seed, Purpose::kDropout);
  std::vector<double> v(n);
  for (double& x : v) x = random.uniform() < rate ? 0 : static_cast<float>(1 / (1 - rate));
  return v;
}

test::LstmEquations equations(const Case& c) {
  test::LstmEquations e;
  e.batch = c.batch, e.steps = c.steps, e.input = c.input, e.hidden = c.hidden,
  e.reverse = c.reverse;
  const double scale = 1.5 / std::sqrt(static_cast<double>(c.hidden));
  e.x = random_values(c.batch * c.steps * c.input, 1.5, 1);
  e.weight_ih = random_values(4 * c.hidden * c.input, scale, 2);
  e.weight_hh = random_values(4 * c.hidden * c.hidden, scale, 3);
  e.bias = random_values(4 * c.hidden, 0.5, 4);
  e.grad_output = random_values(c.batch * c.steps * c.hidden, 1, 5);
  e.grad_h_n = random_values(c.batch * c.hidden, 1, 6);
  e.grad_c_n = random_values(c.batch * c.hidden, 1, 7);
  if (c.states) {
    e.h0 = random_values(c.batch * c.hidden, 1, 8);
    e.c0 = random_values(c.batch * c.hidden, 1, 9);
  }
  if (c.input_mask) e.input_mask = random_mask(c.batch * c.input, 0.3, 10);
  if (c.recurrent_mask) e.recurrent_mask = random_mask(c.batch * c.hidden, 0.2, 11);
  for (std::int64_t b = 0; c.lengths && b < c.batch; ++b)
    e.lengths.push_back((b * 7 + 3) % (c.steps + 1));
  return e;
}

/// The kernels on copies of one case's arrays, each between NaN bands and `offset` elements off alignment.
template <class T>
struct Layer {
  Guarded<T> x, weight_ih, weight_hh, bias, h0, c0, input_mask, recurrent_mask, grad_output,
      grad_h_n, grad_c_n;
  Guarded<T> output, h_n, c_n, grad_x, grad_weight_ih, grad_weight_hh, grad_bias, grad_h0, grad_c0;
  std::int64_t batch, steps, input, hidden;
  LstmPlan plan;
  Guarded<T> saved, forward_workspace, inference_workspace, backward_workspace;

  static Guarded<T> copy(const std::vector<double>& v, int offset) {
    Guarded<T> g(static_cast<std::int64_t>(v.size()), offset);
    for (std::size_t i = 0; i < v.size(); ++i)
      g[static_cast<std::int64_t>(i)] = static_cast<T>(v[i]);
    return g;
  }

  Layer(const test::LstmEquations& e, int workers, int offset = 0)
      : x(copy(e.x, offset)),
        weight_ih(copy(e.weight_ih, offset)),
        weight_hh(copy(e.weight_hh, offset)),
        bias(copy(e.bias, offset)),
        h0(copy(e.h0, offset)),
        c0(copy(e.c0, offset)),
        input_mask(copy(e.input_mask, offset)),
        recurrent_mask(copy(e.recurrent_mask, offset)),
        grad_output(copy(e.grad_output, offset)),
        grad_h_n(copy(e.grad_h_n, offset)),
        grad_c_n(copy(e.grad_c_n, offset)),
        output(e.batch * e.steps * e.hidden, offset),
        h_n(e.batch * e.hidden, offset),
        c_n(e.batch * e.hidden, offset),
        grad_x(e.batch * e.steps * e.input, offset),
        grad_weight_ih(4 * e.hidden * e.input, offset),
        grad_weight_hh(4 * e.hidden * e.hidden, offset),
        grad_bias(4 * e.hidden, offset),
        grad_h0(e.batch * e.hidden, offset),
        grad_c0(e.batch * e.hidden, offset),
        batch(e.batch),
        steps(e.steps),
        input(e.input),
        hidden(e.hidden),
        plan({e.batch, e.steps, e.input, e.hidden}, e.lengths.empty() ? nullptr : e.lengths.data(),
             e.reverse, workers),
        saved(plan.saved_size(), offset),
        forward_workspace(plan.forward_workspace_size(true), offset),
        inference_workspace(plan.forward_workspace_size(false), offset),
        backward_workspace(plan.backward_workspace_size(), offset) {}

  static const T* or_null(const Guarded<T>& g) { return g.size() ? g.data() : nullptr; }

  LstmForward<T> forward_call() {
    LstmForward<T> run;
    run.weights = {weight_ih.data(), weight_hh.data(), or_null(input_mask),
                   or_null(recurrent_mask)};
    run.bias = bias.data();
    run.input = {x.data(), steps * input, input};
    run.h0 = or_null(h0), run.c0 = or_null(c0);
    run.output = {output.data(), steps * hidden, hidden};
    run.h_n = h_n.data(), run.c_n = c_n.data();
    run.saved = saved.data(), run.workspace = forward_workspace.data();
    return run;
  }

  LstmBackward<T> backward_call() {
    LstmBackward<T> run;
    run.weights = {weight_ih.data(), weight_hh.data(), or_null(input_mask),
                   or_null(recurrent_mask)};
    run.grad_output = {grad_output.data(), steps * hidden, hidden};
    run.grad_h_n = grad_h_n.data(), run.grad_c_n = grad_c_n.data();
    run.saved = saved.data(), run.workspace = backward_workspace.data();
    run.grad_input = {grad_x.data(), steps * input, input};
    run.grad_weight_ih = grad_weight_ih.data(), run.grad_weight_hh = grad_weight_hh.data();
    run.grad_bias = grad_bias.data();
    run.grad_h0 = grad_h0.data(), run.grad_c0 = grad_c0.data();
    return run;
  }

  void forward() { lstm_forward(plan, forward_call()); }
  void backward() { lstm_backward(plan, backward_call()); }
  void both() { forward(), backward(); }

  std::vector<const Guarded<T>*> results() const {
    return {&output,         &h_n,       &c_n,     &grad_x, &grad_weight_ih,
            &grad_weight_hh, &grad_bias, &grad_h0, &grad_c0};
  }
  std::vector<const Guarded<T>*> everything() const {
    auto all = results();
    for (const auto* g : {&x, &weight_ih, &weight_hh, &bias, &h0, &c0, &input_mask, &recurrent_mask,
                          &grad_output, &grad_h_n, &grad_c_n, &saved, &forward_workspace,
                          &inference_workspace, &backward_workspace})
      all.push_back(g);
    return all;
  }
};

constexpr const char* kResultNames[] = {
    "output",         "h_n",       "c_n",     "grad_x", "grad_weight_ih",
    "grad_weight_hh", "grad_bias", "grad_h0", "grad_c0"};

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
void expect_close(const Layer<T>& layer, const test::LstmEquations& e) {
  const std::vector<double>* truth[] = {
      &e.output,         &e.h_n,       &e.c_n,     &e.grad_x, &e.grad_weight_ih,
      &e.grad_weight_hh, &e.grad_bias, &e.grad_h0, &e.grad_c0};
  const double limit = 24 * std::numeric_limits<T>::epsilon();
  const auto results = layer.results();
  for (std::size_t i = 0; i < results.size(); ++i)
    EXPECT_LE(relative_error(*results[i], *truth[i]), limit) << kResultNames[i];  // NaN fails
  for (const auto* g : layer.everything()) EXPECT_TRUE(g->intact());
}

template <class T>
void expect_same_bits(const Guarded<T>& a, const Guarded<T>& b, const char* what) {
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(T)), 0) << what;
}

template <class T>
void expect_same_results(const Layer<T>& a, const Layer<T>& b) {
  for (std::size_t i = 0; i < a.results().size(); ++i)
    expect_same_bits(*a.results()[i], *b.results()[i], kResultNames[i]);
}

template <class T>
class LstmKernel : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(LstmKernel, Types);

TYPED_TEST(LstmKernel, EquationsOnEveryTarget) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c);
    test::LstmEquations e = equations(c);
    e.run();
    test::for_each_target([&] {
      Layer<TypeParam> layer(e, 1, 1);
      layer.both();
      expect_close(layer, e);
    });
  }
}

TYPED_TEST(LstmKernel, EquationsWithWorkers) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c);
    test::LstmEquations e = equations(c);
    e.run();
    for (const int workers : {2, 3}) {
      const test::WithThreads threads(workers);
      Layer<TypeParam> layer(e, workers);
      layer.both();
      expect_close(layer, e);
    }
  }
}

TYPED_TEST(LstmKernel, SameBitsOnEveryRunAndWithAnyNumberOfThreads) {
  const test::LstmEquations e = equations(kCases[10]);
  Layer<TypeParam> first(e, 3), again(e, 3, 1), serial(e, 3);
  ASSERT_EQ(first.plan.slices().size(), 3u);
  first.both();
  again.both();  // other alignment
  const test::WithThreads threads(1);
  serial.both();
  expect_same_results(first, again);
  expect_same_results(first, serial);
}

TYPED_TEST(LstmKernel, InferenceIsTraining) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c);
    const test::LstmEquations e = equations(c);
    Layer<TypeParam> training(e, 2), inference(e, 2);
    training.forward();
    auto run = inference.forward_call();
    run.saved = nullptr, run.workspace = inference.inference_workspace.data();
    lstm_forward(inference.plan, run);
    expect_same_bits(training.output, inference.output, "output");
    expect_same_bits(training.h_n, inference.h_n, "h_n");
    expect_same_bits(training.c_n, inference.c_n, "c_n");
    EXPECT_TRUE(inference.inference_workspace.intact());
  }
}

TYPED_TEST(LstmKernel, BackwardTwiceGivesTheSame) {
  const test::LstmEquations e = equations(kCases[9]);
  Layer<TypeParam> once(e, 2), twice(e, 2);
  once.both();
  twice.both();
  twice.backward();
  expect_same_results(once, twice);
}

TYPED_TEST(LstmKernel, PaddingIsNeitherReadNorLeft) {
  const TypeParam nan = std::numeric_limits<TypeParam>::quiet_NaN();
  for (const Case& c : {kCases[4], kCases[9], kCases[10]}) {
    SCOPED_TRACE(c);
    const test::LstmEquations e = equations(c);
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

TYPED_TEST(LstmKernel, LengthZeroPassesTheStateThrough) {
  test::LstmEquations e = equations(kCases[9]);
  e.lengths.assign(e.batch, 0);
  Layer<TypeParam> layer(e, 2);
  layer.both();
  expect_same_bits(layer.h_n, layer.h0, "h_n");
  expect_same_bits(layer.c_n, layer.c0, "c_n");
  expect_same_bits(layer.grad_h0, layer.grad_h_n, "grad_h0");
  expect_same_bits(layer.grad_c0, layer.grad_c_n, "grad_c0");
  for (const auto* g : {&layer.output, &layer.grad_x, &layer.grad_weight_ih, &layer.grad_weight_hh,
                        &layer.grad_bias})
    for (const TypeParam v : g->values()) ASSERT_EQ(v, 0);
}

TYPED_TEST(LstmKernel, ARowDoesNotDependOnItsBatch) {
  for (const Case& c : {kCases[9], kCases[11]}) {
    SCOPED_TRACE(c);
    const test::LstmEquations e = equations(c);
    Layer<TypeParam> all(e, 3);
    all.both();
    for (const std::int64_t b : {std::int64_t{0}, std::int64_t{5}, c.batch - 1}) {
      test::LstmEquations one = e;
      const auto cut = [&](std::vector<double>& v) {
        const std::size_t n = v.size() / c.batch;
        v = std::vector<double>(v.begin() + b * n, v.begin() + (b + 1) * n);
      };
      one.batch = 1;
      for (auto* v : {&one.x, &one.h0, &one.c0, &one.input_mask, &one.recurrent_mask,
                      &one.grad_output, &one.grad_h_n, &one.grad_c_n})
        cut(*v);
      if (c.lengths) one.lengths = {e.lengths[b]};
      Layer<TypeParam> alone(one, 1);
      alone.both();
      for (std::int64_t i = 0; i < c.steps * c.hidden; ++i)
        ASSERT_EQ(alone.output[i], all.output[b * c.steps * c.hidden + i]);
      for (std::int64_t i = 0; i < c.steps * c.input; ++i)
        ASSERT_EQ(alone.grad_x[i], all.grad_x[b * c.steps * c.input + i]);
      for (std::int64_t i = 0; i < c.hidden; ++i)
        ASSERT_EQ(alone.grad_h0[i], all.grad_h0[b * c.hidden + i]);
    }
  }
}

TYPED_TEST(LstmKernel, NanStaysInItsRow) {
  const Case& c = kCases[11];
  test::LstmEquations e = equations(c);
  e.x[3 * c.steps * c.input + 2] = std::nan("");
  Layer<TypeParam> layer(e, 2);
  layer.both();
  for (std::int64_t b = 0; b < c.batch; ++b)
    EXPECT_EQ(std::isnan(layer.h_n[b * c.hidden]), b == 3) << "row " << b;
  EXPECT_TRUE(std::isnan(layer.grad_weight_hh[0]));
}

TYPED_TEST(LstmKernel, StridedIsContiguous) {
  const Case& c = kCases[9];
  const test::LstmEquations e = equations(c);
  Layer<TypeParam> dense(e, 2), strided(e, 2);
  dense.both();
  // Time first, with a gap after each row: element (b,t,i) at (t · B + b) · (n + 3) + i.
  const auto spread = [&](const Guarded<TypeParam>& from, std::int64_t n) {
    Guarded<TypeParam> to(c.batch * c.steps * (n + 3));
    for (std::int64_t b = 0; b < c.batch; ++b)
      for (std::int64_t t = 0; t < c.steps; ++t)
        for (std::int64_t i = 0; i < n; ++i)
          to[(t * c.batch + b) * (n + 3) + i] = from[(b * c.steps + t) * n + i];
    return to;
  };
  auto x = spread(strided.x, c.input), output = spread(strided.output, c.hidden);
  auto grad_output = spread(strided.grad_output, c.hidden),
       grad_x = spread(strided.grad_x, c.input);
  auto forward = strided.forward_call();
  forward.input = {x.data(), c.input + 3, c.batch * (c.input + 3)};
  forward.output = {output.data(), c.hidden + 3, c.batch * (c.hidden + 3)};
  lstm_forward(strided.plan, forward);
  auto backward = strided.backward_call();
  backward.grad_output = {grad_output.data(), c.hidden + 3, c.batch * (c.hidden + 3)};
  backward.grad_input = {grad_x.data(), c.input + 3, c.batch * (c.input + 3)};
  lstm_backward(strided.plan, backward);
  expect_same_bits(output, spread(dense.output, c.hidden), "output");  // the gaps stay NaN
  expect_same_bits(grad_x, spread(dense.grad_x, c.input), "grad_x");
  expect_same_bits(strided.grad_weight_ih, dense.grad_weight_ih, "grad_weight_ih");
  expect_same_bits(strided.h_n, dense.h_n, "h_n");
}

TYPED_TEST(LstmKernel, AbsentGradientsAreZerosAndUnwantedOnesAreNotWritten) {
  test::LstmEquations e = equations(kCases[9]);
  for (auto* g : {&e.grad_output, &e.grad_h_n, &e.grad_c_n}) g->assign(g->size(), 0);
  for (int kept = 0; kept < 3; ++kept) {
    SCOPED_TRACE(kept);
    test::LstmEquations one = e;
    auto* cotangent = kept == 0 ? &one.grad_output : kept == 1 ? &one.grad_h_n : &one.grad_c_n;
    *cotangent = random_values(cotangent->size(), 1, 12);
    Layer<TypeParam> full(one, 2), part(one, 2);
    full.both();
    part.forward();
    auto run = part.backward_call();
    if (kept != 0) run.grad_output = {};
    if (kept != 1) run.grad_h_n = nullptr;
    if (kept != 2) run.grad_c_n = nullptr;
    lstm_backward(part.plan, run);
    expect_same_results(full, part);
    if (kept != 0) continue;
    Layer<TypeParam> bare(one, 2);
    bare.forward();
    auto few = bare.backward_call();
    few.grad_input = {};
    few.grad_weight_ih = few.grad_bias = few.grad_h0 = nullptr;
    lstm_backward(bare.plan, few);
    expect_same_bits(bare.grad_weight_hh, full.grad_weight_hh, "grad_weight_hh");
    expect_same_bits(bare.grad_c0, full.grad_c0, "grad_c0");
    for (const auto* g : {&bare.grad_x, &bare.grad_weight_ih, &bare.grad_bias, &bare.grad_h0})
      for (const TypeParam v : g->values()) ASSERT_TRUE(std::isnan(v));
  }
}

TYPED_TEST(LstmKernel, EmptyBatchAndNoSteps) {
  for (const Case& c : {Case{0, 3, 2, 5}, Case{4, 0, 2, 5, false, false, false, false, true}}) {
    SCOPED_TRACE(c);
    test::LstmEquations e = equations(c);
    e.run();
    Layer<TypeParam> layer(e, 2);
    layer.both();
    expect_close(layer, e);
  }
}

TYPED_TEST(LstmKernel, SeveralCallsAtOnce) {
  const test::LstmEquations e = equations(kCases[10]);
  Layer<TypeParam> alone(e, 2), first(e, 2), second(e, 2);
  alone.both();
  std::thread other([&] { first.both(); });
  second.both();
  other.join();
  expect_same_results(alone, first);
  expect_same_results(alone, second);
}

TEST(LstmPlan, DealsEveryRowOnceAndCountsActiveOnes) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t b = 0; b < 50; ++b) lengths.push_back(b % 3 == 0 ? 0 : (b * 11) % 21);
  for (const int workers : {1, 2, 3, 7}) {
    const LstmPlan plan({50, 20, 64, 64}, lengths.data(), false, workers);
    EXPECT_LE(plan.slices().size(), static_cast<std::size_t>(workers));
    std::vector<int> seen(50);
    std::int64_t fewest = 1 << 30, most = 0;
    for (const auto& slice : plan.slices()) {
      for (std::size_t i = 0; i < slice.rows.size(); ++i) {
        ++seen[slice.rows[i]];
        EXPECT_EQ(slice.lengths[i], lengths[slice.rows[i]]);
        if (i > 0) {
          EXPECT_LE(slice.lengths[i], slice.lengths[i - 1]);
        }
      }
      for (std::size_t s = 0; s < slice.active.size(); ++s) {
        std::int64_t longer = 0;
        for (const std::int64_t n : slice.lengths) longer += n > static_cast<std::int64_t>(s);
        EXPECT_EQ(slice.active[s], longer);
        EXPECT_EQ(slice.offset[s + 1] - slice.offset[s], longer);
      }
      fewest = std::min(fewest, slice.pairs()), most = std::max(most, slice.pairs());
    }
    for (const int n : seen) EXPECT_EQ(n, 1);
    EXPECT_LE(most - fewest, 20);  // at most one longest row apart
  }
}

TEST(LstmPlan, LittleWorkIsNotSplit) {
  EXPECT_EQ(LstmPlan({8, 2, 4, 4}, nullptr, false, 8).slices().size(), 1u);
  EXPECT_EQ(LstmPlan({100, 32, 32, 100}, nullptr, false, 2).slices().size(), 2u);
  EXPECT_EQ(LstmPlan({1, 32, 512, 512}, nullptr, false, 8).slices().size(), 1u);
}

TEST(LstmPlan, SavesNoMoreWithLengths) {
  const LstmShape shape{37, 11, 19, 41};
  const std::vector<std::int64_t> lengths(37, 4);
  for (const int workers : {1, 2, 3})
    EXPECT_LE(LstmPlan(shape, lengths.data(), false, workers).saved_size(),
              LstmPlan(shape, nullptr, false, workers).saved_size());
}

}  // namespace
}  // namespace attend::kernels
