// Metrics, schedules and optimisers against float64 equations and published figures. Planted and seen to fail here: n instead
// of n − 1 in the sd; decay by steps instead of epochs. Meant to catch besides: precision and recall swapped, F1 over present
// classes only, a one-sided p, ε inside the bias correction (PyTorch's Adam), weight decay added to the gradient, PyTorch's
// SGD under a schedule, clipping each tensor by its own norm.
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/train/metrics.h"
#include "attend/train/optimizer.h"
#include "attend/train/schedule.h"

namespace attend::train {
namespace {

at::Tensor table(const std::vector<std::vector<double>>& rows) {
  const auto columns = static_cast<std::int64_t>(rows[0].size());
  at::Tensor out = at::zeros({static_cast<std::int64_t>(rows.size()), columns}, at::kDouble);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t j = 0; j < rows[i].size(); ++j)
      out.mutable_data_ptr<double>()[static_cast<std::int64_t>(i) * columns +
                                     static_cast<std::int64_t>(j)] = rows[i][j];
  return out;
}

at::Tensor labels_of(const std::vector<std::int64_t>& y) {
  at::Tensor out = at::zeros({static_cast<std::int64_t>(y.size())}, at::kLong);
  std::copy(y.begin(), y.end(), out.mutable_data_ptr<std::int64_t>());
  return out;
}

TEST(Metrics, TwoClassesByHand) {
  // truth 1 1 1 0 0, predicted 1 1 0 1 0: TP 2, FN 1, FP 1, TN 1
  const auto r = report_classification(table({{.1, .9}, {.4, .6}, {.8, .2}, {.3, .7}, {.5, .5}}),
                                       labels_of({1, 1, 1, 0, 0}));
  EXPECT_EQ(r.n, 5);
  EXPECT_DOUBLE_EQ(r.accuracy, 3.0 / 5);
  EXPECT_DOUBLE_EQ(r.precision[1], 2.0 / 3);
  EXPECT_DOUBLE_EQ(r.recall[0], 1.0 / 2);
  EXPECT_DOUBLE_EQ(r.recall[1], 2.0 / 3);
  EXPECT_DOUBLE_EQ(r.precision[0], 1.0 / 2);
  EXPECT_DOUBLE_EQ(r.f1, 2.0 / 3);
  EXPECT_EQ(r.confusion, (std::vector<std::vector<std::int64_t>>{{1, 1}, {1, 2}}));
  EXPECT_NEAR(r.loss,
              -(std::log(.9) + std::log(.6) + std::log(.2) + std::log(.3) + std::log(.5)) / 5,
              1e-15);
}

TEST(Metrics, UnevenPrecisionAndRecall) {
  // TP 1, FP 3, FN 0
  const auto r = report_classification(table({{0, 1}, {0, 1}, {0, 1}, {0, 1}, {1, 0}}),
                                       labels_of({1, 0, 0, 0, 0}));
  EXPECT_DOUBLE_EQ(r.precision[1], 0.25);
  EXPECT_DOUBLE_EQ(r.recall[1], 1);
  EXPECT_DOUBLE_EQ(r.f1, 0.4);
  EXPECT_EQ(r.confusion[0][1], 3);
  EXPECT_TRUE(std::isfinite(r.loss));  // log 0 is held at the least double
}

TEST(Metrics, ThreeClassesAreMacro) {
  const auto r =
      report_classification(table({{1, 0, 0}, {1, 0, 0}, {0, 1, 0}}), labels_of({0, 1, 1}));
  // F1: class 0 2·1/(1+2), class 1 2·1/(2+1), class 2 never seen nor said: 0
  EXPECT_NEAR(r.f1, (2.0 / 3 + 2.0 / 3 + 0) / 3, 1e-15);
}

TEST(Metrics, CalibrationByHand) {
  // bins of a fifth: (.4,.6] holds .6 right, (.6,.8] holds .7 wrong and .8 right, (.8,1] holds 1 right
  const auto r = report_classification(table({{.4, .6}, {.3, .7}, {.2, .8}, {0, 1}}),
                                       labels_of({1, 0, 1, 1}), 5);
  ASSERT_EQ(r.bins.size(), 3u);
  EXPECT_EQ(r.bins[0].n, 1);
  EXPECT_EQ(r.bins[1].n, 2);
  EXPECT_NEAR(r.bins[1].confidence, .75, 1e-15);
  EXPECT_DOUBLE_EQ(r.bins[1].accuracy, .5);
  EXPECT_NEAR(r.calibration_error, .25 * .4 + .5 * .25 + 0, 1e-12);
}

TEST(Metrics, RefusesNothingAndStrangeLabels) {
  EXPECT_THROW(report_classification(at::zeros({0, 2}), at::zeros({0}, at::kLong)), Error);
  EXPECT_THROW(report_classification(table({{.5, .5}}), labels_of({2})), Error);
  EXPECT_THROW(report_classification(table({{.5, .5}}), labels_of({-1})), Error);
  EXPECT_THROW(report_classification(table({{.5, .5}}), labels_of({0, 1})), Error);
}

TEST(
    Metrics,
    WilsonAsPublished) {  // R: prop.test(8, 10, correct = FALSE), prop.test(0, 20, …), prop.test(263, 263, …)
  const auto a = wilson_interval(8, 10), b = wilson_interval(0, 20);
  EXPECT_NEAR(a[0], 0.4901625, 1e-6);
  EXPECT_NEAR(a[1], 0.9433178, 1e-6);
  EXPECT_NEAR(b[0], 0, 1e-12);
  EXPECT_NEAR(b[1], 0.1611252, 1e-6);
  EXPECT_EQ(wilson_interval(0, 0), (std::array<double, 2>{0, 1}));
}

/// P(|T| > t) by Simpson's rule on Student's density.
double t_tail(double t, double freedom) {
  const double c = std::exp(std::lgamma((freedom + 1) / 2) - std::lgamma(freedom / 2)) /
                   std::sqrt(freedom * M_PI);
  const auto density = [&](double x) {
    return c * std::pow(1 + x * x / freedom, -(freedom + 1) / 2);
  };
  const int n = 20000;
  double sum = density(0) + density(t);
  for (int i = 1; i < n; ++i) sum += (i % 2 == 1 ? 4 : 2) * density(t * i / n);
  return 1 - 2 * sum * t / n / 3;
}

TEST(Metrics, PairedTestAgainstTheDensity) {
  Random random(3, Purpose::kGenerate);
  for (const int n : {2, 3, 10, 40}) {
    std::vector<double> a, b, d;
    for (int i = 0; i < n; ++i) {
      a.push_back(random.normal() + 0.4);
      b.push_back(random.normal());
      d.push_back(a.back() - b.back());
    }
    const PairedTest test = paired_t_test(a, b);
    double mean = 0, squares = 0;
    for (const double x : d) mean += x / n;
    for (const double x : d) squares += (x - mean) * (x - mean);
    const double t = mean / std::sqrt(squares / (n - 1) / n);
    EXPECT_NEAR(test.mean_difference, mean, 1e-12);
    EXPECT_NEAR(test.t, t, 1e-9 * std::abs(t) + 1e-12);
    EXPECT_NEAR(test.p, t_tail(std::abs(t), n - 1), 1e-8) << n;
  }
  EXPECT_DOUBLE_EQ(paired_t_test({1, 2}, {1, 2}).p, 1);
  EXPECT_DOUBLE_EQ(paired_t_test({2, 3}, {1, 2}).p, 0);
  EXPECT_THROW(paired_t_test({1}, {1}), Error);
  EXPECT_NEAR(mean_sd({1, 2, 4}).sd, std::sqrt(7.0 / 3), 1e-15);
}

TEST(Schedule, Values) {
  Recipe::Optim o;
  o.lr = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate(o, 7, 100, 10), 0.1);
  o.warmup = 2;  // 20 steps
  EXPECT_DOUBLE_EQ(learning_rate(o, 0, 100, 10), 0.1 / 20);
  EXPECT_DOUBLE_EQ(learning_rate(o, 19, 100, 10), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(o, 20, 100, 10), 0.1);
  o.schedule = ScheduleKind::kLinear;
  o.final_ratio = 0.2;
  EXPECT_NEAR(learning_rate(o, 60, 100, 10), 0.1 * 0.6, 1e-15);
  EXPECT_NEAR(learning_rate(o, 100, 100, 10), 0.02, 1e-15);
  o.schedule = ScheduleKind::kCosine;
  EXPECT_NEAR(learning_rate(o, 60, 100, 10), 0.1 * 0.6, 1e-15);
  EXPECT_NEAR(learning_rate(o, 40, 100, 10), 0.1 * (0.2 + 0.8 * (1 + std::sqrt(0.5)) / 2), 1e-15);
  o.warmup = 0;
  o.decay = 0.5;
  o.every = 2;
  o.schedule = ScheduleKind::kExponential;
  EXPECT_NEAR(learning_rate(o, 30, 100, 10), 0.1 * std::pow(0.5, 1.5), 1e-15);
  o.schedule = ScheduleKind::kStep;
  EXPECT_NEAR(learning_rate(o, 39, 100, 10), 0.05, 1e-15);
  EXPECT_NEAR(learning_rate(o, 40, 100, 10), 0.025, 1e-15);
}

/// Parameters of two shapes with fixed random gradients for each step.
struct Problem {
  models::NamedTensors parameters;
  std::vector<std::vector<double>> values;
  explicit Problem(at::ScalarType type) {
    Random random(11, Purpose::kGenerate);
    for (const std::int64_t n : {3, 40}) {
      at::Tensor p = at::zeros({n}, at::kDouble);
      std::vector<double> v;
      for (std::int64_t i = 0; i < n; ++i)
        v.push_back(p.mutable_data_ptr<double>()[i] = random.normal());
      values.push_back(v);
      parameters.emplace_back("p" + std::to_string(n), p.to(type).set_requires_grad(true));
    }
  }
  std::vector<std::vector<double>> set_gradients(std::uint64_t step) {
    Random random(12, Purpose::kGenerate, step);
    std::vector<std::vector<double>> all;
    for (auto& [name, p] : parameters) {
      at::Tensor g = at::zeros({p.size(0)}, at::kDouble);
      std::vector<double> v;
      for (std::int64_t i = 0; i < p.size(0); ++i)
        v.push_back(g.mutable_data_ptr<double>()[i] = 1e-3 * random.normal());
      at::Tensor(p).mutable_grad() = g.to(p.scalar_type());
      all.push_back(v);
    }
    return all;
  }
  double worst() const {
    double out = 0;
    for (std::size_t k = 0; k < values.size(); ++k) {
      const at::Tensor now = parameters[k].second.detach().to(at::kDouble);
      for (std::size_t i = 0; i < values[k].size(); ++i)
        out = std::max(out, std::abs(now.const_data_ptr<double>()[i] - values[k][i]));
    }
    return out;
  }
};

void check_adam(OptimizerKind kind, at::ScalarType type, double tolerance) {
  Recipe::Optim o;
  o.kind = kind;
  o.beta1 = 0.8;
  o.beta2 = 0.95;
  o.epsilon = 1e-4;                                            // large, so that its place shows
  o.weight_decay = kind == OptimizerKind::kAdamW ? 0.1 : 0.3;  // adam must ignore it
  Problem problem(type);
  const auto optimizer = make_optimizer(o, problem.parameters);
  std::vector<std::vector<double>> m{std::vector<double>(3), std::vector<double>(40)}, v = m;
  for (int t = 1; t <= 25; ++t) {
    const double lr = 0.01 * t;
    const auto g = problem.set_gradients(static_cast<std::uint64_t>(t));
    optimizer->step(lr);
    for (std::size_t k = 0; k < 2; ++k)
      for (std::size_t i = 0; i < g[k].size(); ++i) {
        double& x = problem.values[k][i];
        if (kind == OptimizerKind::kAdamW) x -= lr * o.weight_decay * x;
        m[k][i] += (g[k][i] - m[k][i]) * (1 - o.beta1);
        v[k][i] += (g[k][i] * g[k][i] - v[k][i]) * (1 - o.beta2);
        const double alpha = lr * std::sqrt(1 - std::pow(o.beta2, t)) / (1 - std::pow(o.beta1, t));
        x -= alpha * m[k][i] / (std::sqrt(v[k][i]) + o.epsilon);  // keras/src/optimizers/adam.py
      }
  }
  EXPECT_EQ(optimizer->steps(), 25);
  EXPECT_LT(problem.worst(), tolerance);
}

TEST(Optimizer, AdamIsKeras) {
  check_adam(OptimizerKind::kAdam, at::kDouble, 1e-12);
  check_adam(OptimizerKind::kAdam, at::kFloat, 1e-5);
}
TEST(Optimizer, AdamWDecaysApart) {
  check_adam(OptimizerKind::kAdamW, at::kDouble, 1e-12);
  check_adam(OptimizerKind::kAdamW, at::kFloat, 1e-5);
}

TEST(Optimizer, SgdIsKeras) {
  for (const bool nesterov : {false, true})
    for (const double momentum : {0.0, 0.9}) {
      Recipe::Optim o;
      o.kind = OptimizerKind::kSgd;
      o.momentum = momentum;
      o.nesterov = nesterov && momentum > 0;
      Problem problem(at::kDouble);
      const auto optimizer = make_optimizer(o, problem.parameters);
      std::vector<std::vector<double>> u{std::vector<double>(3), std::vector<double>(40)};
      for (int t = 1; t <= 10; ++t) {
        const double lr = 0.1 * t;  // a changing rate tells Keras' form from PyTorch's
        const auto g = problem.set_gradients(static_cast<std::uint64_t>(t));
        optimizer->step(lr);
        for (std::size_t k = 0; k < 2; ++k)
          for (std::size_t i = 0; i < g[k].size(); ++i) {
            u[k][i] = momentum * u[k][i] - lr * g[k][i];
            problem.values[k][i] += o.nesterov ? momentum * u[k][i] - lr * g[k][i] : u[k][i];
          }
      }
      EXPECT_LT(problem.worst(), 1e-12) << nesterov << momentum;
    }
}

TEST(Optimizer, LeavesParametersWithoutGradientAlone) {
  for (const OptimizerKind kind : {OptimizerKind::kAdam, OptimizerKind::kSgd}) {
    Recipe::Optim o;
    o.kind = kind;
    o.momentum = 0.5;
    Problem problem(at::kFloat);
    const auto optimizer = make_optimizer(o, problem.parameters);
    problem.set_gradients(1);
    at::Tensor(problem.parameters[1].second).mutable_grad().reset();
    const at::Tensor before = problem.parameters[1].second.detach().clone();
    optimizer->step(0.1);
    EXPECT_TRUE(before.equal(problem.parameters[1].second.detach()));
    EXPECT_FALSE(
        problem.parameters[0].second.detach().to(at::kDouble).equal(table({problem.values[0]})[0]));
  }
}

TEST(Optimizer, ClipsByTheNormOfAll) {
  Problem problem(at::kDouble);
  const auto g = problem.set_gradients(5);
  double squares = 0;
  for (const auto& list : g)
    for (const double x : list) squares += x * x;
  const double norm = std::sqrt(squares);
  EXPECT_NEAR(clip_gradients(problem.parameters, 0), norm, 1e-12);
  EXPECT_NEAR(clip_gradients(problem.parameters, 2 * norm), norm, 1e-12);
  EXPECT_NEAR(problem.parameters[0].second.grad()[1].item<double>(), g[0][1], 1e-15);
  EXPECT_NEAR(clip_gradients(problem.parameters, norm / 4), norm, 1e-12);
  EXPECT_NEAR(problem.parameters[0].second.grad()[1].item<double>(), g[0][1] / 4, 1e-15);
  EXPECT_NEAR(problem.parameters[1].second.grad()[7].item<double>(), g[1][7] / 4, 1e-15);
  EXPECT_NEAR(clip_gradients(problem.parameters, 0), norm / 4, 1e-12);
  zero_gradients(problem.parameters);
  EXPECT_EQ(clip_gradients(problem.parameters, 1), 0);
}

}  // namespace
}  // namespace attend::train
