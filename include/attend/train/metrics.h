#pragma once
#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace attend::train {

/// Metric names (INTERFACE: accuracy, loss, f1, …) and their values.
using Metrics = std::map<std::string, double>;

struct CalibrationBin {
  double low = 0, high = 0;  // confidence in (low, high]
  std::int64_t n = 0;
  double confidence = 0;  // mean of the bin
  double accuracy = 0;    // share of right answers in the bin
};

/// What a classifier did on labelled rows.
struct ClassificationReport {
  std::int64_t n = 0;
  double accuracy = 0;
  std::array<double, 2> accuracy_interval{};  // 95 %, Wilson 1927
  double loss = 0;                            // mean cross-entropy in nats, without any regulariser
  double f1 = 0;  // two classes: of class 1; more: mean over classes (macro)
  std::vector<double> precision, recall, class_f1;   // per class; 0 where undefined (0/0)
  std::vector<std::vector<std::int64_t>> confusion;  // [truth][predicted]
  double calibration_error = 0;                      // ECE, Guo et al. 2017, eq. 3
  std::vector<CalibrationBin> bins;                  // only those that hold a row
};

/// probabilities [N,classes] (rows sum to 1), labels [N] int64; any float dtype. The prediction is
/// the first largest probability; for two classes that is p₁ > ½. Throws kBadInput on N = 0 and on
/// a label outside [0, classes).
ClassificationReport report_classification(const at::Tensor& probabilities,
                                           const at::Tensor& labels, std::int64_t bins = 15);

/// accuracy, loss and f1 of a report, by name.
Metrics summary(const ClassificationReport& report);

/// 95 % score interval of a share of `right` out of `n` (Wilson 1927); [0,1] for n = 0.
std::array<double, 2> wilson_interval(std::int64_t right, std::int64_t n);

struct MeanSd {
  double mean = 0;
  double sd = 0;  // of the sample, n − 1; 0 for n < 2
  std::int64_t n = 0;
};
MeanSd mean_sd(const std::vector<double>& values);

/// Two-sided paired t-test of mean(a − b) = 0. Throws kUsage when the lengths differ or are
/// below 2.
struct PairedTest {
  double mean_difference = 0, sd = 0, t = 0, p = 1;
  std::int64_t n = 0;
};
PairedTest paired_t_test(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace attend::train
