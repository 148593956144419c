#include "models/choice.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "attend/base/random.h"

namespace attend::models {
namespace {

constexpr double kBaselineDecay = 0.9;
constexpr double kNever = 1e-30;

/// Another seed for the choices of each step of a training and each word.
std::uint64_t seed_of_choice(const nn::Pass& pass, std::int64_t word) {
  constexpr std::uint32_t kDomain = 0x63617074;
  const auto step = static_cast<std::uint64_t>(pass.step);
  const auto block =
      philox({static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32),
              static_cast<std::uint32_t>(word), kDomain},
             {static_cast<std::uint32_t>(pass.seed), static_cast<std::uint32_t>(pass.seed >> 32)});
  return (std::uint64_t{block[0]} << 32 | block[1]) >> 1;
}

/// Sums over words from each one on: [B,T] -> [B,T].
at::Tensor from_here_on(const at::Tensor& x) { return x.flip({1}).cumsum(1).flip({1}); }

void move_baseline(const at::Tensor& baseline, const at::Tensor& place, const at::Tensor& reward) {
  const at::NoGradGuard off;
  const at::Tensor sums = at::zeros_like(baseline).index_add(0, place, reward);
  const at::Tensor counts = at::zeros_like(baseline).index_add(0, place, at::ones_like(reward));
  const at::Tensor mean = sums / counts;
  const at::Tensor moved =
      at::where(baseline == 0, mean, kBaselineDecay * baseline + (1 - kBaselineDecay) * mean);
  baseline.copy_(at::where(counts > 0, moved, baseline));
}

}  // namespace

at::Tensor rows_that_take_the_mean(std::int64_t batch, double share, const nn::Pass& pass,
                                   const nn::DropoutStream& stream) {
  return nn::dropout_mask(batch, 1, share, pass, stream) == 0;
}

Choices joined(const std::vector<Choices>& words) {
  if (words.empty() || !words[0].expected.defined()) return {};
  std::vector<at::Tensor> log_probabilities, entropies;
  for (const Choices& word : words) {
    log_probabilities.push_back(word.log_probability);
    entropies.push_back(word.entropy);
  }
  return {at::cat(log_probabilities, 1), at::cat(entropies, 1), words[0].expected};
}

Look sampled(const Sampling& sampling, const at::Tensor& mean, const at::Tensor& weights,
             const at::Tensor& value, std::int64_t word) {
  HardOptions options;
  options.attention.seed = seed_of_choice(sampling.pass, word);
  options.gradient = sampling.gradient, options.temperature = sampling.temperature;
  // softmax of log α is α again; a place of less than kNever is never drawn, and log 0 would have no slope.
  const HardResult r = hard((weights + kNever).log(), value, options);
  return {at::where(sampling.expected.unsqueeze(-1), mean, r.output),
          weights,
          {r.log_probability, r.entropy, sampling.expected}};
}

Look likeliest(const at::Tensor& weights, const at::Tensor& value) {
  const at::Tensor place = weights.argmax(-1, /*keepdim=*/true);  // [B,Lq,1]
  return {value.gather(1, place.expand({-1, -1, value.size(2)})), weights, {}};
}

at::Tensor reinforced(const Choices& choices, const at::Tensor& losses, const at::Tensor& counted,
                      const at::Tensor& baseline, const ReinforceOptions& options) {
  const at::Tensor reward = from_here_on(-losses.detach());
  const at::Tensor left = from_here_on(counted.to(at::kLong))  // 0 on padding
                              .clamp_max(baseline.size(0) - 1);
  const at::Tensor before = baseline.index_select(0, left.flatten()).view(left.sizes());
  at::Tensor advantage = at::where(before == 0, at::zeros_like(reward), reward - before);
  advantage = at::where(choices.expected, at::zeros_like(reward), advantage);
  move_baseline(baseline, left.flatten(), reward.flatten());
  const at::Tensor rows = counted.flatten().nonzero().squeeze(1);
  const auto of_words = [&](const at::Tensor& x) { return x.reshape({-1}).index_select(0, rows); };
  HardResult result;
  result.log_probability = of_words(choices.log_probability).unsqueeze(1);
  result.entropy = of_words(choices.entropy).unsqueeze(1);
  return reinforce_loss(result, of_words(advantage), 0, options) *
         static_cast<double>(rows.size(0));
}

}  // namespace attend::models
