#include "attend/nn/loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "attend/base/error.h"

namespace attend::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& penalty) {
  if (logits.dim() != 2 || logits.size(1) < 1 || !logits.device().is_cpu() ||
      (logits.scalar_type() != at::kFloat && logits.scalar_type() != at::kDouble))
    fail_usage("cross_entropy: logits must be [B,K] float or double on the CPU");
  if (labels.dim() != 1 || labels.size(0) != logits.size(0) || labels.scalar_type() != at::kLong ||
      !labels.device().is_cpu())
    fail_usage("cross_entropy: labels must be [B] int64 on the CPU with B = " +
               std::to_string(logits.size(0)));
  if (penalty.defined() && (penalty.numel() != 1 || penalty.scalar_type() != logits.scalar_type()))
    fail_usage("cross_entropy: penalty must be a scalar of the logits' dtype");
  const std::int64_t classes = std::max<std::int64_t>(2, logits.size(1));
  const std::int64_t* label = labels.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < labels.size(0); ++i)
    if (label[i] < 0 || label[i] >= classes)
      fail_input("classifier: label " + std::to_string(label[i]) + " in row " + std::to_string(i) +
                 " is outside [0, " + std::to_string(classes) + ")");
}

/// One row's loss; its gradient, divided by `rows`, goes to `slope`.
template <class T>
double binary_row(T logit, std::int64_t label, double rows, T* slope) {
  const double z = static_cast<double>(logit), e = std::exp(-std::abs(z));
  const double probability = z >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
  *slope = static_cast<T>((probability - static_cast<double>(label)) / rows);
  return std::max(z, 0.0) - z * static_cast<double>(label) + std::log1p(e);
}

template <class T>
double softmax_row(const T* z, std::int64_t classes, std::int64_t label, double rows, T* slope) {
  const double top = static_cast<double>(*std::max_element(z, z + classes));
  double sum = 0;
  for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(static_cast<double>(z[k]) - top);
  for (std::int64_t k = 0; k < classes; ++k)
    slope[k] =
        static_cast<T>((std::exp(static_cast<double>(z[k]) - top) / sum - (k == label)) / rows);
  return top + std::log(sum) - static_cast<double>(z[label]);
}

template <class T>
void evaluate(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& penalty,
              const at::Tensor& loss, const at::Tensor& slope) {
  const std::int64_t rows = logits.size(0), classes = logits.size(1);
  const T* z = logits.const_data_ptr<T>();
  const std::int64_t* y = labels.const_data_ptr<std::int64_t>();
  T* s = slope.data_ptr<T>();
  double sum = 0;
  const auto n = static_cast<double>(rows);
  for (std::int64_t i = 0; i < rows; ++i)
    sum += classes == 1 ? binary_row(z[i], y[i], n, s + i)
                        : softmax_row(z + i * classes, classes, y[i], n, s + i * classes);
  const double mean = rows == 0 ? 0.0 : sum / n;
  *loss.data_ptr<T>() = static_cast<T>(mean + static_cast<double>(*penalty.const_data_ptr<T>()));
}

class CrossEntropy : public torch::autograd::Function<CrossEntropy> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits,
                            const at::Tensor& labels, const at::Tensor& penalty) {
    const at::Tensor loss = at::empty({}, logits.options()), slope = at::empty_like(logits);
    if (logits.scalar_type() == at::kFloat) {
      evaluate<float>(logits, labels, penalty, loss, slope);
    } else {
      evaluate<double>(logits, labels, penalty, loss, slope);
    }
    context->save_for_backward({slope});
    return loss;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const at::Tensor slope = context->get_saved_variables()[0];
    return {slope * grads[0], {}, grads[0]};
  }
};

}  // namespace

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels,
                         const at::Tensor& penalty) {
  check(logits, labels.contiguous(), penalty);
  const at::Tensor extra = penalty.defined() ? penalty : at::zeros({}, logits.options());
  return CrossEntropy::apply(logits.contiguous(), labels.contiguous(), extra);
}

}  // namespace attend::nn
