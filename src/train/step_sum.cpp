#include "train/step_sum.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <csignal>

namespace attend::train {
namespace {

/// Places of the figures that are summed beside the gradients; behind them one for each parameter: how many ranks have a
/// gradient of it.
enum Figure : std::int64_t { kLoss, kRight, kRows, kKl, kWeighted, kInterrupts, kTerms, kFigures };

std::int64_t elements_of(const models::NamedTensors& parameters) {
  std::int64_t elements = 0;
  for (const auto& parameter : parameters) elements += parameter.second.numel();
  return elements;
}

}  // namespace

StepSum::StepSum(Ranks& ranks, const models::NamedTensors& parameters)
    : ranks_(ranks),
      parameters_(parameters),
      flat_(at::empty({elements_of(parameters)}, at::kFloat)),
      array_(ranks, flat_) {
  std::int64_t first = 0;
  for (const auto& parameter : parameters_) {
    const at::Tensor& p = parameter.second;
    gradients_.push_back(flat_.narrow(0, first, p.numel()).view(p.sizes()));
    given_.push_back(array_.mine().narrow(0, first, p.numel()).view(p.sizes()));
    first += p.numel();
  }
}

at::Tensor StepSum::share(const at::Tensor& rows) const {
  const std::int64_t n = rows.size(0), first = std::min<std::int64_t>(ranks_.rank(), n);
  return rows.slice(0, first, n, ranks_.size()).contiguous();
}

StepSums StepSum::sum(const StepSums& mine) {
  const at::NoGradGuard no_grad;
  const auto count = static_cast<std::int64_t>(parameters_.size());
  at::Tensor figures = at::zeros({kFigures + count}, at::kDouble);
  double* f = figures.mutable_data_ptr<double>();
  f[kLoss] = mine.tally.loss;
  f[kRight] = static_cast<double>(mine.tally.right);
  f[kRows] = static_cast<double>(mine.tally.rows);
  f[kKl] = mine.tally.kl;
  f[kWeighted] = mine.tally.rows > 0 ? mine.loss * f[kRows] : 0;
  f[kInterrupts] = mine.signal == SIGINT, f[kTerms] = mine.signal == SIGTERM;
  for (std::size_t i = 0; i < given_.size(); ++i) {
    const at::Tensor& gradient = parameters_[i].second.grad();
    if (gradient.defined())
      given_[i].copy_(gradient);
    else
      given_[i].zero_();
    f[kFigures + static_cast<std::int64_t>(i)] = gradient.defined();
  }
  const at::Tensor sum = array_.sum(figures);
  at::mul_out(flat_, sum, at::scalar_tensor(1 / f[kRows], at::kFloat));
  for (std::size_t i = 0; i < given_.size(); ++i)
    if (f[kFigures + static_cast<std::int64_t>(i)] > 0) {
      const at::Tensor& p = parameters_[i].second;
      p.mutable_grad() = gradients_[i].to(p.scalar_type());
    }
  StepSums all;
  all.tally = {f[kLoss], static_cast<std::int64_t>(f[kRight]), static_cast<std::int64_t>(f[kRows]),
               f[kKl]};
  all.loss = f[kWeighted] / f[kRows];
  all.signal = f[kTerms] > 0 ? SIGTERM : f[kInterrupts] > 0 ? SIGINT : 0;
  return all;
}

}  // namespace attend::train
