#include "attend/train/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "attend/base/error.h"

namespace attend::train {
namespace {

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0.0; }

void fill_f1(ClassificationReport& report) {
  const std::size_t classes = report.confusion.size();
  double sum = 0;
  for (std::size_t c = 0; c < classes; ++c) {
    double truth = 0, predicted = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      truth += static_cast<double>(report.confusion[c][k]);
      predicted += static_cast<double>(report.confusion[k][c]);
    }
    const double right = static_cast<double>(report.confusion[c][c]);
    report.precision.push_back(ratio(right, predicted));
    report.recall.push_back(ratio(right, truth));
    report.class_f1.push_back(ratio(2 * right, truth + predicted));
    sum += report.class_f1.back();
  }
  report.f1 = classes == 2 ? report.class_f1[1] : sum / static_cast<double>(classes);
}

/// ECE = Σ_b n_b/N · |accuracy_b − confidence_b| over equal bins of the winning probability.
void finish_bins(ClassificationReport& report) {
  for (CalibrationBin& bin : report.bins) {
    bin.confidence = ratio(bin.confidence, static_cast<double>(bin.n));
    bin.accuracy = ratio(bin.accuracy, static_cast<double>(bin.n));
    report.calibration_error += static_cast<double>(bin.n) / static_cast<double>(report.n) *
                                std::abs(bin.accuracy - bin.confidence);
  }
  std::erase_if(report.bins, [](const CalibrationBin& bin) { return bin.n == 0; });
}

/// Continued fraction of the regularised incomplete beta function (Lentz 1976).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double h = d;
  for (int m = 1; m <= 500; ++m) {
    for (int half = 0; half < 2; ++half) {
      const double k = m, n = a + 2 * k;
      const double term =
          half == 0 ? k * (b - k) * x / ((n - 1) * n) : -(a + k) * (a + b + k) * x / (n * (n + 1));
      d = 1 + term * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      if (std::abs(c) < kTiny) c = kTiny;
      h *= c * d;
    }
    if (std::abs(c * d - 1) < 1e-15) break;
  }
  return h;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

ClassificationReport report_classification(const at::Tensor& probabilities,
                                           const at::Tensor& labels, std::int64_t bins) {
  const at::Tensor p = probabilities.to(at::kDouble).contiguous();
  const at::Tensor y = labels.to(at::kLong).contiguous();
  if (p.dim() != 2 || y.dim() != 1 || p.size(0) != y.size(0))
    fail_usage("report_classification: probabilities must be [N,classes] and labels [N]");
  if (p.size(0) == 0) fail_input("nothing to evaluate: no rows");
  const std::int64_t classes = p.size(1);
  ClassificationReport report;
  report.n = p.size(0);
  report.confusion.assign(static_cast<std::size_t>(classes),
                          std::vector<std::int64_t>(static_cast<std::size_t>(classes)));
  for (std::int64_t b = 0; b < bins; ++b)
    report.bins.push_back({static_cast<double>(b) / static_cast<double>(bins),
                           static_cast<double>(b + 1) / static_cast<double>(bins), 0, 0, 0});
  std::int64_t right = 0;
  for (std::int64_t i = 0; i < report.n; ++i) {
    const double* row = p.const_data_ptr<double>() + i * classes;
    const std::int64_t truth = y.const_data_ptr<std::int64_t>()[i];
    if (truth < 0 || truth >= classes)
      fail_input("row " + std::to_string(i + 1) + " has label " + std::to_string(truth) +
                 ", the model knows 0 to " + std::to_string(classes - 1));
    const auto guess = std::max_element(row, row + classes) - row;
    ++report.confusion[static_cast<std::size_t>(truth)][static_cast<std::size_t>(guess)];
    right += guess == truth;
    report.loss -= std::log(std::max(row[truth], std::numeric_limits<double>::min()));
    const auto at =
        static_cast<std::int64_t>(std::ceil(row[guess] * static_cast<double>(bins))) - 1;
    CalibrationBin& bin =
        report.bins[static_cast<std::size_t>(std::clamp<std::int64_t>(at, 0, bins - 1))];
    ++bin.n;
    bin.confidence += row[guess];
    bin.accuracy += guess == truth;
  }
  report.accuracy = static_cast<double>(right) / static_cast<double>(report.n);
  report.accuracy_interval = wilson_interval(right, report.n);
  report.loss /= static_cast<double>(report.n);
  fill_f1(report);
  finish_bins(report);
  return report;
}

Metrics summary(const ClassificationReport& report) {
  return {{"accuracy", report.accuracy}, {"f1", report.f1}, {"loss", report.loss}};
}

std::array<double, 2> wilson_interval(std::int64_t right, std::int64_t n) {
  if (n == 0) return {0, 1};
  constexpr double z = 1.959963984540054;  // 97.5 % quantile of the normal distribution
  const double count = static_cast<double>(n), p = static_cast<double>(right) / count;
  const double centre = p + z * z / (2 * count);
  const double half = z * std::sqrt(p * (1 - p) / count + z * z / (4 * count * count));
  const double scale = 1 + z * z / count;
  return {std::max(0.0, (centre - half) / scale), std::min(1.0, (centre + half) / scale)};
}

MeanSd mean_sd(const std::vector<double>& values) {
  MeanSd out;
  out.n = static_cast<std::int64_t>(values.size());
  if (values.empty()) return out;
  for (const double v : values) out.mean += v / static_cast<double>(values.size());
  if (values.size() < 2) return out;
  double squares = 0;
  for (const double v : values) squares += (v - out.mean) * (v - out.mean);
  out.sd = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return out;
}

PairedTest paired_t_test(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || a.size() < 2)
    fail_usage("paired_t_test: needs two lists of one length, at least 2 (got " +
               std::to_string(a.size()) + " and " + std::to_string(b.size()) + ")");
  std::vector<double> difference;
  for (std::size_t i = 0; i < a.size(); ++i) difference.push_back(a[i] - b[i]);
  const MeanSd d = mean_sd(difference);
  PairedTest out;
  out.n = d.n;
  out.mean_difference = d.mean;
  out.sd = d.sd;
  const double freedom = static_cast<double>(d.n - 1);
  if (d.sd == 0) {
    out.t = d.mean == 0 ? 0 : std::copysign(std::numeric_limits<double>::infinity(), d.mean);
    out.p = d.mean == 0 ? 1 : 0;
    return out;
  }
  out.t = d.mean / (d.sd / std::sqrt(static_cast<double>(d.n)));
  out.p = incomplete_beta(freedom / 2, 0.5, freedom / (freedom + out.t * out.t));
  return out;
}

}  // namespace attend::train
