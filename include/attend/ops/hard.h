#pragma once
#include "attend/ops/attention.h"

namespace attend {

/// How a gradient gets past the choice of one location.
enum class HardGradient {
  kReinforce,  // none through the choice: the loss adds reinforce_loss (Xu et al. 2015, §4.1)
  kStraightThrough,  // forward the chosen value, backward as if softmax((s + g) / temperature) had been used (Jang et al. 2017)
};

struct HardOptions {
  AttentionOptions
      attention;  // mask, bias, lengths, windows, scale (1 unless given) and seed; dropout must be 0
  HardGradient gradient = HardGradient::kReinforce;
  double temperature = 1;  // of the straight-through softmax, > 0
};

struct HardResult {
  at::Tensor output;  // [B,Lq,Dv] the chosen value
  at::Tensor choice;  // [B,Lq] int64, its key; −1 where the query sees none
  at::Tensor
      log_probability;  // [B,Lq] log p(choice), differentiable in the scores; 0 where there is no choice
  at::Tensor entropy;  // [B,Lq] −Σ_j p_j log p_j, differentiable likewise
  at::Tensor weights;  // [B,Lq,Lk] the probabilities
};

/// Hard attention (Xu et al. 2015, §4.1): one location for each query, sampled from p_i = softmax_j(scale · s_ij + bias_ij) by the
/// Gumbel-max trick, choice_i = argmax_j(s_ij + g_ij), g = −log(−log u). The noise is a pure function of options.attention.seed and
/// the place, so one seed always chooses the same; give another seed at every step of a training.
/// scores [B,Lq,Lk] as any score makes them, value [B,Lk,Dv]. Keys that are hidden are never chosen and never touched; a query that
/// sees no key gives 0. value gets a gradient in the chosen rows; scores get theirs through log_probability and entropy
/// (kStraightThrough: through output too). Composed of ATen operations, O(B Lq Lk).
/// Throws Error(kUsage). Also torch.ops.attend.hard(scores, value, gradient='reinforce'|'straight_through', temperature=1., …).
HardResult hard(const at::Tensor& scores, const at::Tensor& value, const HardOptions& options = {});

/// The moving average that REINFORCE subtracts from the reward, b ← 0.9 b + 0.1 · mean reward (Xu et al. 2015, §4.1). The first
/// update takes the reward as it is, so that training does not begin with the whole reward as advantage.
class MovingBaseline {
 public:
  explicit MovingBaseline(double decay = 0.9) : decay_(decay) {}
  double value() const { return value_; }
  void update(double mean_reward) {
    value_ = started_ ? decay_ * value_ + (1 - decay_) * mean_reward : mean_reward;
    started_ = true;
  }

 private:
  double decay_, value_ = 0;
  bool started_ = false;
};

struct ReinforceOptions {
  double reward_weight = 1;   // λ_r
  double entropy_weight = 0;  // λ_e
};

/// What is added to a loss that is minimised so that its gradient has, on average, the part of ∂E[reward] that runs through the
/// choices, and that of the entropy (Xu et al. 2015, eq. 12):
///   −mean_b Σ_i [λ_r (reward_b − baseline) log p(choice_bi) + λ_e H_bi]
/// reward [B], of which no gradient is taken (the paper's log p(y | s)). Returns a scalar.
at::Tensor reinforce_loss(const HardResult& result, const at::Tensor& reward, double baseline,
                          const ReinforceOptions& options = {});

/// Σ_j (1 − Σ_i w_ij)² of each row of the batch (Xu et al. 2015, eq. 14): over a whole caption every place is looked at once.
/// weights [B,Lq,Lk]; key_lengths [B] int64 or undefined: places beyond do not count. Returns [B].
at::Tensor doubly_stochastic_penalty(const at::Tensor& weights, const at::Tensor& key_lengths = {});

/// β_i = σ(<weight, h_i> + bias), by which the context is multiplied (Xu et al. 2015, §4.2.1): the decoder says how much the image
/// matters for this word. hidden [B,Lq,C], weight [C], bias a scalar tensor or undefined. Returns [B,Lq,1].
at::Tensor context_gate(const at::Tensor& hidden, const at::Tensor& weight,
                        const at::Tensor& bias = {});

}  // namespace attend
