#include "attend/train/optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

namespace attend::train {
namespace {

using models::NamedTensors;

class Adam final : public Optimizer {
 public:
  Adam(const Recipe::Optim& options, const NamedTensors& parameters)
      : options_(options), count_(at::full({}, 0.0, at::kFloat)) {
    for (const auto& [name, tensor] : parameters)
      slots_.push_back({name, tensor, at::zeros_like(tensor), at::zeros_like(tensor)});
  }

  void step(double lr) override {
    const at::NoGradGuard no_grad;
    ++steps_;
    std::vector<at::Tensor> p, g, m, v, none, counts;
    for (const Slot& s : slots_) {
      if (!s.parameter.grad().defined()) continue;
      p.push_back(s.parameter);
      g.push_back(s.parameter.grad());
      m.push_back(s.mean);
      v.push_back(s.square);
      counts.push_back(count_);
    }
    if (p.empty()) return;
    count_.fill_(static_cast<double>(steps_));
    // libtorch adds ε to √v/√(1−β₂ᵗ), Keras to √v: the same with ε scaled.
    const double epsilon =
        options_.epsilon / std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(steps_)));
    if (options_.kind == OptimizerKind::kAdamW)
      at::_fused_adamw_(p, g, m, v, none, counts, lr, options_.beta1, options_.beta2,
                        options_.weight_decay, epsilon, false, false);
    else
      at::_fused_adam_(p, g, m, v, none, counts, lr, options_.beta1, options_.beta2, 0.0, epsilon,
                       false, false);
  }

  NamedTensors state() override {
    NamedTensors out;
    for (const Slot& s : slots_) {
      out.emplace_back("m." + s.name, s.mean);
      out.emplace_back("v." + s.name, s.square);
    }
    return out;
  }
  std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override { steps_ = steps; }

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter, mean, square;
  };
  Recipe::Optim options_;
  std::vector<Slot> slots_;
  at::Tensor count_;
  std::int64_t steps_ = 0;
};

class Sgd final : public Optimizer {
 public:
  Sgd(const Recipe::Optim& options, const NamedTensors& parameters)
      : options_(options), parameters_(parameters) {
    if (options.momentum == 0) return;
    for (const auto& parameter : parameters) update_.push_back(at::zeros_like(parameter.second));
  }

  void step(double lr) override {
    const at::NoGradGuard no_grad;
    ++steps_;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      at::Tensor parameter = parameters_[i].second;
      const at::Tensor& gradient = parameter.grad();
      if (!gradient.defined()) continue;
      if (options_.momentum == 0) {
        parameter.add_(gradient, -lr);
        continue;
      }
      update_[i].mul_(options_.momentum).add_(gradient, -lr);
      if (options_.nesterov)
        parameter.add_(update_[i], options_.momentum).add_(gradient, -lr);
      else
        parameter.add_(update_[i]);
    }
  }

  NamedTensors state() override {
    NamedTensors out;
    for (std::size_t i = 0; i < update_.size(); ++i)
      out.emplace_back("u." + parameters_[i].first, update_[i]);
    return out;
  }
  std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override { steps_ = steps; }

 private:
  Recipe::Optim options_;
  NamedTensors parameters_;
  std::vector<at::Tensor> update_;
  std::int64_t steps_ = 0;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const Recipe::Optim& options,
                                          const NamedTensors& parameters) {
  if (options.kind == OptimizerKind::kSgd) return std::make_unique<Sgd>(options, parameters);
  return std::make_unique<Adam>(options, parameters);
}

void zero_gradients(const NamedTensors& parameters) {
  for (const auto& parameter : parameters) at::Tensor(parameter.second).mutable_grad().reset();
}

void scale_gradients(const NamedTensors& parameters, double factor) {
  const at::NoGradGuard no_grad;
  for (const auto& parameter : parameters) {
    at::Tensor gradient = parameter.second.grad();
    if (gradient.defined()) gradient.mul_(factor);
  }
}

double clip_gradients(const NamedTensors& parameters, double limit) {
  const at::NoGradGuard no_grad;
  double squares = 0;
  for (const auto& parameter : parameters) {
    const at::Tensor& gradient = parameter.second.grad();
    if (!gradient.defined()) continue;
    const double norm = at::linalg_vector_norm(gradient).item<double>();
    squares += norm * norm;
  }
  const double norm = std::sqrt(squares);
  if (limit > 0 && norm > limit) scale_gradients(parameters, limit / norm);
  return norm;
}

}  // namespace attend::train
