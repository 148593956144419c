// The vocabulary loss kernel without torch: against the equations in long double, on every SIMD target, inside NaN bands.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attend/base/random.h"
#include "attend/kernels/vocabulary_loss.h"
#include "support/guard.h"
#include "support/targets.h"
#include "support/threads.h"

namespace attend::kernels {
namespace {

struct Case {
  std::int64_t rows, channels, words;
  int offset;           // elements after a 64-byte boundary
  bool bias, weighted;  // weighted: a gradient of its own for each row
  double smoothing;
  int ignore_every;  // 0: every row counts
};

// All sizes 1; no channels; one off a vector, a register tile (8, 6, 48), a panel (64), a slice (64 words) and a block (384).
const Case kCases[] = {
    {1, 1, 1, 0, true, true, 0.1, 0},       {1, 1, 2, 1, false, false, 0, 0},
    {3, 0, 5, 0, true, true, 0.1, 0},       {2, 3, 5, 1, true, true, 0.1, 0},
    {5, 17, 63, 3, true, true, 0.1, 2},     {7, 15, 64, 1, false, true, 0.3, 3},
    {47, 16, 65, 0, true, false, 0.1, 0},   {48, 33, 130, 5, true, true, 0, 4},
    {49, 64, 127, 1, false, false, 0.1, 5}, {97, 65, 1025, 1, true, true, 0.1, 0},
    {385, 5, 71, 1, true, true, 0.1, 7},    {400, 130, 67, 0, true, true, 1.0, 0},
};

/// Every array of one call, in guarded memory; rows of input and weight have gaps between them, filled with NaN.
template <class T>
struct Problem {
  explicit Problem(const Case& c)
      : sizes(c),
        input(c.rows * (c.channels + 3), c.offset),
        weight(c.words * (c.channels + 2), c.offset),
        bias(c.words, c.offset),
        gradient(c.rows, c.offset),
        loss(c.rows, c.offset, T(7)),
        grad_input(c.rows * c.channels, c.offset, T(7)),
        grad_weight(c.words * c.channels, c.offset),
        grad_bias(c.words, c.offset) {
    Random random(5, Purpose::kGenerate);
    for (std::int64_t r = 0; r < c.rows; ++r) {
      target.push_back(static_cast<std::int64_t>(random.uniform() * static_cast<double>(c.words)));
      if (c.ignore_every > 0 && r % c.ignore_every == 1) {
        target.back() = -1000000;  // never to be looked at, like the row's NaN
        continue;
      }
      counted.push_back(r);
      for (std::int64_t i = 0; i < c.channels; ++i)
        input[r * (c.channels + 3) + i] = static_cast<T>(random.normal());
      gradient[r] = static_cast<T>(random.normal());
    }
    const double scale = 2 / std::sqrt(std::max<double>(1, static_cast<double>(c.channels)));
    for (std::int64_t j = 0; j < c.words; ++j) {
      for (std::int64_t i = 0; i < c.channels; ++i)
        weight[j * (c.channels + 2) + i] = static_cast<T>(scale * random.normal());
      bias[j] = static_cast<T>(random.normal());
    }
    p.counted = static_cast<std::int64_t>(counted.size()), p.channels = c.channels,
    p.words = c.words;
    p.counted_rows = counted.data(), p.target = target.data();
    p.input = input.data(), p.input_stride = c.channels + 3;
    p.weight = weight.data(), p.weight_stride = c.channels + 2;
    p.bias = c.bias ? bias.data() : nullptr;
    p.label_smoothing = c.smoothing;
    p.loss = loss.data();
    p.row_gradient = c.weighted ? gradient.data() : nullptr;
    p.same_gradient = T(0.25);
  }

  void ask_for(bool for_input, bool for_weight, bool for_bias) {
    p.grad_input = for_input ? grad_input.data() : nullptr;
    p.grad_weight = for_weight ? grad_weight.data() : nullptr;
    p.grad_bias = for_bias ? grad_bias.data() : nullptr;
  }

  /// Runs in a workspace of exactly the promised size, full of NaN.
  void run() {
    test::Guarded<T> workspace(
        vocabulary_loss_workspace(p.counted, p.channels, p.words,
                                  p.grad_input || p.grad_weight || p.grad_bias),
        sizes.offset);
    p.workspace = workspace.data();
    vocabulary_loss(p);
    EXPECT_TRUE(workspace.intact()) << "wrote outside the workspace";
    EXPECT_TRUE(input.intact() && weight.intact() && bias.intact() && gradient.intact() &&
                loss.intact() && grad_input.intact() && grad_weight.intact() && grad_bias.intact())
        << "wrote outside an array";
  }

  Case sizes;
  test::Guarded<T> input, weight, bias, gradient, loss, grad_input, grad_weight, grad_bias;
  std::vector<std::int64_t> target, counted;
  VocabularyLoss<T> p;
};

using Real = long double;

struct Truth {
  std::vector<Real> loss, grad_input, grad_weight, grad_bias;
};

/// The equations of attend/kernels/vocabulary_loss.h, term by term; 7 where a row doesn't count (nothing is written there).
template <class T>
Truth by_the_equations(const Problem<T>& q) {
  const std::int64_t n = q.sizes.rows, C = q.sizes.channels, V = q.sizes.words;
  const Real smoothing = q.sizes.smoothing;
  Truth t{std::vector<Real>(n, 7), std::vector<Real>(n * C, 7), std::vector<Real>(V * C),
          std::vector<Real>(V)};
  for (const std::int64_t r : q.counted) {
    const T* x = q.p.input + r * q.p.input_stride;
    std::vector<Real> logit(V);
    Real largest = -std::numeric_limits<Real>::infinity(), all = 0, sum = 0;
    for (std::int64_t j = 0; j < V; ++j) {
      logit[j] = q.sizes.bias ? Real(q.bias[j]) : Real(0);
      for (std::int64_t i = 0; i < C; ++i)
        logit[j] += Real(x[i]) * q.p.weight[j * q.p.weight_stride + i];
      largest = std::max(largest, logit[j]);
      all += logit[j];
    }
    for (std::int64_t j = 0; j < V; ++j) sum += std::exp(logit[j] - largest);
    const Real lse = largest + std::log(sum),
               g = q.sizes.weighted ? Real(q.gradient[r]) : Real(0.25);
    t.loss[r] = lse - (1 - smoothing) * logit[q.target[r]] - smoothing / V * all;
    for (std::int64_t i = 0; i < C; ++i) t.grad_input[r * C + i] = 0;
    for (std::int64_t j = 0; j < V; ++j) {
      const Real d = g * (std::exp(logit[j] - lse) - (j == q.target[r] ? 1 - smoothing : Real(0)) -
                          smoothing / V);
      t.grad_bias[j] += d;
      for (std::int64_t i = 0; i < C; ++i) {
        t.grad_input[r * C + i] += d * q.p.weight[j * q.p.weight_stride + i];
        t.grad_weight[j * C + i] += d * x[i];
      }
    }
  }
  return t;
}

template <class T>
void expect_close(const char* what, const test::Guarded<T>& ours, const std::vector<Real>& truth,
                  double limit, bool one_word) {
  Real off = 0, norm = 0;
  for (std::int64_t i = 0; i < ours.size(); ++i) {
    off += (ours[i] - truth[i]) * (ours[i] - truth[i]);
    norm += truth[i] * truth[i];
  }
  // With one word loss and gradients are 0, differences of terms of about 1 that round: then the absolute error counts.
  EXPECT_LE(std::sqrt(off), limit * (one_word ? Real(1) : std::sqrt(norm))) << what;
}

template <class T>
void check_all_cases() {
  constexpr double kEps = std::numeric_limits<T>::epsilon();
  test::for_each_target([&] {
    for (const Case& c : kCases) {
      SCOPED_TRACE(::testing::Message()
                   << "N " << c.rows << " C " << c.channels << " V " << c.words);
      Problem<T> q(c);
      const Truth truth = by_the_equations(q);
      q.run();
      expect_close("loss alone", q.loss, truth.loss, 4 * kEps, c.words == 1);
      q.ask_for(true, true, true);
      q.run();
      expect_close("loss", q.loss, truth.loss, 4 * kEps, c.words == 1);
      expect_close("grad_input", q.grad_input, truth.grad_input, 8 * kEps, c.words == 1);
      expect_close("grad_weight", q.grad_weight, truth.grad_weight, 8 * kEps, c.words == 1);
      expect_close("grad_bias", q.grad_bias, truth.grad_bias, 8 * kEps, c.words == 1);
    }
  });
}

TEST(VocabularyLossKernel, FloatFollowsTheEquationsOnEveryTarget) { check_all_cases<float>(); }
TEST(VocabularyLossKernel, DoubleFollowsTheEquationsOnEveryTarget) { check_all_cases<double>(); }

TEST(VocabularyLossKernel, OneGradientAloneIsTheSame) {
  for (const Case& c : {kCases[4], kCases[9]}) {
    Problem<float> all(c);
    all.ask_for(true, true, true);
    all.run();
    for (int which = 0; which < 3; ++which) {
      Problem<float> one(c);
      one.ask_for(which == 0, which == 1, which == 2);
      one.run();
      const auto pick = [&](const Problem<float>& q) {
        return (which == 0 ? q.grad_input : which == 1 ? q.grad_weight : q.grad_bias).values();
      };
      EXPECT_EQ(pick(one), pick(all)) << which;
    }
  }
}

TEST(VocabularyLossKernel, TheSameBitsOnAnyNumberOfThreads) {
  const Case c{500, 40, 700, 0, true, true, 0.1, 9};
  std::vector<std::vector<float>> first;
  for (const int n : {1, 2, 3, 2}) {
    const test::WithThreads with(n);
    Problem<float> q(c);
    q.ask_for(true, true, true);
    q.run();
    const std::vector<std::vector<float>> now = {q.loss.values(), q.grad_input.values(),
                                                 q.grad_weight.values(), q.grad_bias.values()};
    if (first.empty()) first = now;
    EXPECT_EQ(now, first) << n << " threads";
  }
}

TEST(VocabularyLossKernel, NaNShowsInItsRowOnEveryTarget) {
  test::for_each_target([&] {
    Problem<float> q({50, 9, 70, 0, true, false, 0.1, 0});
    q.input[7 * 12 + 4] = std::numeric_limits<float>::quiet_NaN();
    q.run();
    for (std::int64_t r = 0; r < 50; ++r) EXPECT_EQ(std::isnan(q.loss[r]), r == 7) << r;
  });
}

TEST(VocabularyLossKernel, LargeLogitsNeitherOverflowNorVanish) {
  test::for_each_target([&] {
    for (const float scale : {1e3f, 1e8f, 1e18f}) {
      Problem<float> q({50, 9, 130, 0, false, false, 0, 0});
      for (std::int64_t i = 0; i < q.input.size(); ++i) q.input[i] *= scale;
      q.ask_for(true, true, true);
      q.run();
      for (std::int64_t r = 0; r < 50; ++r)
        EXPECT_TRUE(std::isfinite(q.loss[r]) && q.loss[r] >= 0) << q.loss[r];
      for (const float g : q.grad_input.values()) ASSERT_TRUE(std::isfinite(g));
    }
  });
}

TEST(VocabularyLossKernel, MemoryIsASmallPartOfTheLogits) {
  // The shapes of the benchmark: composed, three arrays of N·V are alive at once.
  for (const std::int64_t channels : {128, 512})
    EXPECT_LT(vocabulary_loss_workspace(3840, channels, 10000, true), 3 * 3840 * 10000 / 5);
  EXPECT_LT(vocabulary_loss_workspace(3840, 512, 10000, false), 3840 * 10000 / 10);
  EXPECT_LT(vocabulary_loss_workspace(3840, 512, 250000, true), 3840ll * 250000 / 5);
}

}  // namespace
}  // namespace attend::kernels
