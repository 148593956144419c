#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attend/models/classifier.h"
#include "attend/train/recipe.h"

namespace attend::train {

/// Changes parameters by their gradients. A parameter without a gradient is left as it is, and its
/// state too.
///   adam   m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  θ ← θ − lr·√(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε)
///          (Kingma & Ba 2015, the form before §2.1's end, which Keras uses: ε is outside the bias
///          correction)
///   adamw  θ ← θ − lr·λ·θ before the same step (Loshchilov & Hutter 2019)
///   sgd    u ← μu − lr·g,  θ ← θ + u;  nesterov: θ ← θ + μu − lr·g  (Keras' form)
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// One update with this learning rate; counts steps from 1.
  virtual void step(double lr) = 0;
  /// Everything a checkpoint needs beyond the parameters: tensors under "m.NAME", "v.NAME" or
  /// "u.NAME"; the very ones in use.
  virtual models::NamedTensors state() = 0;
  virtual std::int64_t steps() const = 0;
  virtual void set_steps(std::int64_t steps) = 0;
};

/// `parameters` are leaf tensors, held by reference. CPU float32/float64 take libtorch's fused
/// Adam.
std::unique_ptr<Optimizer> make_optimizer(const Recipe::Optim& options,
                                          const models::NamedTensors& parameters);

void zero_gradients(const models::NamedTensors& parameters);

/// Multiplies every gradient in place.
void scale_gradients(const models::NamedTensors& parameters, double factor);

/// ‖g‖₂ over all gradients together, in float64. When limit > 0 and the norm is larger, every
/// gradient is scaled by limit/norm (Pascanu et al. 2013). Returns the norm before.
double clip_gradients(const models::NamedTensors& parameters, double limit);

}  // namespace attend::train
