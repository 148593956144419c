// The pooling kernel without torch: against the equations in long double, on every SIMD target,
// inside NaN bands.
//
// Mutations that were planted and caught are listed in tests/ops/pool_op_test.cpp, which drives the
// same kernel.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "attend/base/random.h"
#include "attend/kernels/pool.h"
#include "support/guard.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

struct Case {
  std::int64_t batch, time, channels;
  int offset;  // elements after a 64-byte boundary
  bool bias, lengths, grad_output, grad_weights;
};

// All sizes 1; one off the vector lengths 4, 8, 16 and the blocks of 4 vectors and 4 steps; the
// guide's shape.
const Case kCases[] = {
    {1, 1, 1, 0, true, false, true, true},     {1, 4, 16, 0, false, false, true, false},
    {2, 3, 5, 1, true, true, true, true},      {3, 5, 17, 3, true, true, true, true},
    {3, 7, 63, 1, true, true, true, false},    {2, 9, 64, 0, true, true, false, true},
    {2, 17, 65, 5, false, true, true, true},   {5, 33, 31, 1, true, true, true, true},
    {17, 8, 129, 1, true, true, true, true},   {33, 32, 100, 0, true, false, true, true},
    {100, 32, 100, 1, true, true, true, true}, {2, 1, 7, 1, true, true, true, true},
};

/// Every array of one call, in guarded memory; value has gaps between its rows, filled with NaN.
template <class T>
struct Problem {
  explicit Problem(const Case& c)
      : batch(c.batch),
        time(c.time),
        channels(c.channels),
        time_stride(c.channels + 3),
        value(c.batch * c.time * (c.channels + 3), c.offset),
        weight(c.channels, c.offset),
        bias(c.time, c.offset),
        output(c.batch * c.channels, c.offset),
        weights(c.batch * c.time, c.offset),
        grad_output(c.batch * c.channels, c.offset),
        grad_weights(c.batch * c.time, c.offset),
        grad_value(c.batch * c.time * c.channels, c.offset),
        grad_weight(c.channels, c.offset),
        grad_bias(c.time, c.offset),
        workspace(pool_backward_workspace(c.batch, c.time, c.channels), c.offset) {
    Random random(3, Purpose::kGenerate);
    for (std::int64_t b = 0; b < batch; ++b) {
      // 0, full and in between; the steps after the length stay NaN
      lengths.push_back(!c.lengths   ? time
                        : b % 3 == 0 ? time
                        : b % 3 == 1 ? 0
                                     : 1 + (b * 7) % time);
      for (std::int64_t t = 0; t < lengths.back(); ++t)
        for (std::int64_t i = 0; i < channels; ++i)
          value[(b * time + t) * time_stride + i] = static_cast<T>(random.normal());
    }
    const std::int64_t longest = c.lengths && batch == 1 ? lengths[0] : time;
    for (std::int64_t i = 0; i < channels; ++i)
      weight[i] = static_cast<T>(random.normal() / std::sqrt(channels));
    for (std::int64_t t = 0; t < longest; ++t) bias[t] = static_cast<T>(random.normal());
    for (auto* grad : {&grad_output, &grad_weights})
      for (std::int64_t i = 0; i < grad->size(); ++i) (*grad)[i] = static_cast<T>(random.normal());
    p.batch = batch, p.time = time, p.channels = channels;
    p.value = value.data(), p.value_batch_stride = time * time_stride,
    p.value_time_stride = time_stride;
    p.score_weight = weight.data();
    p.bias = c.bias ? bias.data() : nullptr;
    p.lengths = c.lengths ? lengths.data() : nullptr;
    p.output = output.data(), p.weights = weights.data();
    g.forward = p;
    g.grad_output = c.grad_output ? grad_output.data() : nullptr;
    g.grad_weights = c.grad_weights ? grad_weights.data() : nullptr;
    g.grad_value = grad_value.data(), g.grad_score_weight = grad_weight.data(),
    g.grad_bias = grad_bias.data();
    g.workspace = workspace.data();
  }

  bool intact() const {
    return value.intact() && weight.intact() && bias.intact() && output.intact() &&
           weights.intact() && grad_value.intact() && grad_weight.intact() && grad_bias.intact() &&
           workspace.intact();
  }

  std::int64_t batch, time, channels, time_stride;
  test::Guarded<T> value, weight, bias, output, weights, grad_output, grad_weights, grad_value,
      grad_weight, grad_bias, workspace;
  std::vector<std::int64_t> lengths;
  PoolForward<T> p;
  PoolBackward<T> g;
};

using Real = long double;

struct Truth {
  std::vector<Real> output, weights, grad_value, grad_weight, grad_bias;
};

/// The equations of attend/kernels/pool.h, term by term.
template <class T>
Truth by_the_equations(const Problem<T>& q) {
  const std::int64_t B = q.batch, L = q.time, C = q.channels;
  Truth r{std::vector<Real>(B * C), std::vector<Real>(B * L), std::vector<Real>(B * L * C),
          std::vector<Real>(C), std::vector<Real>(L)};
  for (std::int64_t b = 0; b < B; ++b) {
    const std::int64_t length = q.lengths[b];
    const T* x = q.p.value + b * q.p.value_batch_stride;
    std::vector<Real> s(length), dp(length);
    Real total = 0, mean = 0;
    for (std::int64_t t = 0; t < length; ++t) {
      Real a = q.p.bias ? Real(q.p.bias[t]) : Real(0);
      for (std::int64_t c = 0; c < C; ++c) a += Real(x[t * q.time_stride + c]) * q.weight[c];
      s[t] = std::tanh(a);
      total += std::exp(s[t]);
    }
    for (std::int64_t t = 0; t < length; ++t) {
      const Real alpha = r.weights[b * L + t] = std::exp(s[t]) / total;
      dp[t] = q.g.grad_weights ? Real(q.g.grad_weights[b * L + t]) : Real(0);
      for (std::int64_t c = 0; c < C; ++c) {
        r.output[b * C + c] += alpha * x[t * q.time_stride + c];
        if (q.g.grad_output) dp[t] += Real(q.g.grad_output[b * C + c]) * x[t * q.time_stride + c];
      }
      mean += alpha * dp[t];
    }
    for (std::int64_t t = 0; t < length; ++t) {
      const Real alpha = r.weights[b * L + t], da = alpha * (dp[t] - mean) * (1 - s[t] * s[t]);
      r.grad_bias[t] += da;
      for (std::int64_t c = 0; c < C; ++c) {
        const Real g = q.g.grad_output ? Real(q.g.grad_output[b * C + c]) : Real(0);
        r.grad_value[(b * L + t) * C + c] = alpha * g + da * q.weight[c];
        r.grad_weight[c] += da * x[t * q.time_stride + c];
      }
    }
  }
  return r;
}

template <class T>
void expect_close(const char* what, const test::Guarded<T>& ours, const std::vector<Real>& truth,
                  double limit) {
  Real off = 0, norm = 0;
  for (std::int64_t i = 0; i < ours.size(); ++i) {
    off += (ours[i] - truth[i]) * (ours[i] - truth[i]);
    norm += truth[i] * truth[i];
  }
  EXPECT_LE(std::sqrt(off), limit * std::sqrt(norm) + std::numeric_limits<T>::min()) << what;
}

template <class T>
void check_all_cases() {
  constexpr double kEps = std::numeric_limits<T>::epsilon();
  test::for_each_target([&] {
    for (const Case& c : kCases) {
      SCOPED_TRACE(::testing::Message()
                   << "B " << c.batch << " T " << c.time << " C " << c.channels);
      Problem<T> q(c);
      const Truth truth = by_the_equations(q);
      pool_forward(q.p);
      pool_backward(q.g);
      expect_close("output", q.output, truth.output, 4 * kEps);
      expect_close("weights", q.weights, truth.weights, 4 * kEps);
      expect_close("grad_value", q.grad_value, truth.grad_value, 8 * kEps);
      expect_close("grad_score_weight", q.grad_weight, truth.grad_weight, 16 * kEps);
      expect_close("grad_bias", q.grad_bias, truth.grad_bias, 16 * kEps);
      EXPECT_TRUE(q.intact()) << "wrote outside an array";
    }
  });
}

TEST(PoolKernel, FloatFollowsTheEquationsOnEveryTarget) { check_all_cases<float>(); }
TEST(PoolKernel, DoubleFollowsTheEquationsOnEveryTarget) { check_all_cases<double>(); }

TEST(PoolKernel, TheSameBitsOnAnyNumberOfThreads) {
  const Case c{100, 32, 100, 0, true, true, true, true};
  std::vector<std::vector<float>> first;
  for (const int n : {1, 2, 3, 2}) {
    const test::WithThreads with(n);
    Problem<float> q(c);
    pool_forward(q.p);
    pool_backward(q.g);
    const std::vector<std::vector<float>> now = {q.output.values(), q.weights.values(),
                                                 q.grad_value.values(), q.grad_weight.values(),
                                                 q.grad_bias.values()};
    if (first.empty()) first = now;
    EXPECT_EQ(now, first) << n << " threads";
  }
}

TEST(PoolKernel, NothingToDo) {
  for (const Case& c :
       {Case{0, 3, 4, 0, true, false, true, true}, Case{2, 0, 4, 0, true, false, true, true},
        Case{2, 3, 0, 0, true, false, true, true}}) {
    Problem<double> q(c);
    pool_forward(q.p);
    pool_backward(q.g);
    for (std::int64_t i = 0; i < q.output.size(); ++i) EXPECT_EQ(q.output[i], 0) << "output";
    for (std::int64_t i = 0; i < q.grad_weight.size(); ++i)
      EXPECT_EQ(q.grad_weight[i], 0) << "grad_score_weight";
    EXPECT_TRUE(q.intact());
  }
}

}  // namespace
}  // namespace attend::kernels
