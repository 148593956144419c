#include "attend/train/schedule.h"

#include <algorithm>
#include <cmath>

namespace attend::train {

double learning_rate(const Recipe::Optim& optim, std::int64_t step, std::int64_t total,
                     std::int64_t per_epoch) {
  const double now = static_cast<double>(step);
  const double warmup = optim.warmup * static_cast<double>(per_epoch);
  if (now < warmup) return optim.lr * std::min(1.0, (now + 1) / warmup);
  const double left = static_cast<double>(total) - warmup;
  const double x = left > 0 ? std::clamp((now - warmup) / left, 0.0, 1.0) : 1.0;
  const double factors = (now - warmup) / static_cast<double>(per_epoch) / optim.every;
  const double r = optim.final_ratio;
  constexpr double kPi = 3.141592653589793;
  switch (optim.schedule) {
    case ScheduleKind::kLinear:
      return optim.lr * (1 - (1 - r) * x);
    case ScheduleKind::kCosine:
      return optim.lr * (r + (1 - r) * (1 + std::cos(kPi * x)) / 2);
    case ScheduleKind::kExponential:
      return optim.lr * std::pow(optim.decay, factors);
    case ScheduleKind::kStep:
      return optim.lr * std::pow(optim.decay, std::floor(factors));
    case ScheduleKind::kInverseSqrt:
      return optim.lr * std::sqrt(std::max(warmup, 1.0) / (now + 1));
    case ScheduleKind::kConstant:
      break;
  }
  return optim.lr;
}

}  // namespace attend::train
