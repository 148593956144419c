#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "attend/nn/dropout.h"
#include "attend/ops/hard.h"

namespace attend::models {

/// Looking at one place instead of the mean of all (Xu et al. 2015, §4.1): what the decoders of words and of captions share.

/// How a training samples places: the rows whose words take the mean all the same, [B,1] bool. Undefined: nothing is sampled.
struct Sampling {
  at::Tensor expected;
  nn::Pass pass;
  HardGradient gradient = HardGradient::kReinforce;
  double temperature = 1;
  bool on() const { return expected.defined(); }
};

/// Draws `share` of the rows of a batch for Sampling::expected, a pure function of pass and stream.
at::Tensor rows_that_take_the_mean(std::int64_t batch, double share, const nn::Pass& pass,
                                   const nn::DropoutStream& stream);

/// What was sampled for T words of each row; undefined where nothing was.
struct Choices {
  at::Tensor log_probability, entropy;  // [B,T]
  at::Tensor expected;                  // [B,1] bool
};
/// Of words that were sampled one after the other.
Choices joined(const std::vector<Choices>& words);

/// What one look at the source gave, for Lq words.
struct Look {
  at::Tensor context, weights;  // [B,Lq,D], [B,Lq,L]
  Choices choices;
};

/// One place for each query, drawn from `weights` [B,Lq,L] with another seed for each training step and `word`; `mean` [B,Lq,D] in
/// the rows that take it.
Look sampled(const Sampling& sampling, const at::Tensor& mean, const at::Tensor& weights,
             const at::Tensor& value, std::int64_t word);
/// The place of the largest weight.
Look likeliest(const at::Tensor& weights, const at::Tensor& value);

/// −Σ over the counted words of [λ_r (reward − baseline) log p(choice) + λ_e H], where the reward of a word's choice is Σ of
/// −losses [B,T] from that word on. counted [B,T] bool. Moves the baseline, a moving average (0.9 : 0.1) for each number of words
/// still to come: baseline [n], 0 = none seen yet; more words than it has places count as the last.
at::Tensor reinforced(const Choices& choices, const at::Tensor& losses, const at::Tensor& counted,
                      const at::Tensor& baseline, const ReinforceOptions& options);

}  // namespace attend::models
