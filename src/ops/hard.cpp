#include "attend/ops/hard.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/any.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <cmath>
#include <limits>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "ops/attention_arguments.h"
#include "ops/attention_check.h"
#include "ops/compose/masked_softmax.h"
#include "ops/dispatch.h"

namespace attend {
namespace {

using HardTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
constexpr const char* kHard = "attend::hard";
constexpr std::uint32_t kGumbelDomain =
    0x67756d62;  // keeps these counters apart from other uses of a seed

/// −log(−log u) for every element, a pure function of seed and index; on every device drawn on the CPU.
at::Tensor drawn_gumbel(const at::Tensor& like, std::int64_t seed) {
  at::Tensor noise = at::empty(like.sizes(), at::TensorOptions(at::kDouble));
  const auto key = static_cast<std::uint64_t>(seed);
  double* out = noise.mutable_data_ptr<double>();
  for (std::int64_t i = 0, n = noise.numel(); i < n; ++i) {
    const auto at = static_cast<std::uint64_t>(i);
    const auto block = philox(
        {static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at >> 32), 0, kGumbelDomain},
        {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
    const std::uint64_t bits = (std::uint64_t{block[0]} << 20) ^ (block[1] >> 12);  // 52 bits
    const double u = (static_cast<double>(bits) + 0.5) * 0x1p-52;  // in (0, 1), never an end
    out[i] = -std::log(-std::log(u));
  }
  return noise.to(like.options());
}

at::Tensor gumbel_meta(const at::Tensor& like, std::int64_t) {
  return at::empty_symint(like.sym_sizes(), like.options());
}

HardGradient hard_gradient(std::string_view name) {
  if (name == "reinforce") return HardGradient::kReinforce;
  if (name == "straight_through") return HardGradient::kStraightThrough;
  fail_usage(std::string(kHard) + ": gradient is '" + std::string(name) +
             "' but must be 'reinforce' or 'straight_through'");
}

void check_hard(const at::Tensor& scores, const at::Tensor& value, const AttentionOptions& o,
                double temperature) {
  ShapeCheck n(kHard);
  n("scores", scores, {"B", "Lq", "Lk"})("value", value, {"B", "Lk", "Dv"});
  check_attention_options(n, kHard, o, scores.sizes());
  if (!(temperature > 0) || !std::isfinite(temperature))
    fail_usage(std::string(kHard) + ": temperature is " + std::to_string(temperature) +
               " but must be finite and above 0");
  if (o.dropout != 0)
    fail_usage(std::string(kHard) + ": dropout is " + std::to_string(o.dropout) +
               " but a choice has none: must be 0");
}

/// Scores with hidden keys at −∞, and rows that see none at 0; who sees something, [B,Lq,1].
struct HardScores {
  at::Tensor visible, sees, scores;  // [B,Lq,Lk] bool, [B,Lq,1] bool, [B,Lq,Lk]

  HardScores(const at::Tensor& given, const AttentionOptions& options) {
    const AttentionOptions o = compose::with_head_axis(options);
    const at::Tensor v = compose::visibility(o, given.size(1), given.size(2), given.device());
    visible = v.defined()
                  ? v.squeeze(1).expand(given.sizes())
                  : at::ones({1, 1, 1}, given.options().dtype(at::kBool)).expand(given.sizes());
    sees = visible.any(-1, /*keepdim=*/true);
    at::Tensor s = options.scale ? given * *options.scale : given;
    if (options.bias.defined()) s = s + options.bias;
    const double lowest = -std::numeric_limits<double>::infinity();
    s = at::where(visible, s, at::scalar_tensor(lowest, s.options()));
    scores = at::where(sees, s, at::scalar_tensor(0, s.options()));
  }
  at::Tensor hide(const at::Tensor& t) const {
    return at::where(visible, t, at::scalar_tensor(0, t.options()));
  }
  at::Tensor hide_row(const at::Tensor& t) const {
    return at::where(sees, t, at::scalar_tensor(0, t.options()));
  }
};

at::Tensor straight_through_output(const HardScores& s, const at::Tensor& noisy,
                                   const at::Tensor& choice, const at::Tensor& value,
                                   double temperature) {
  const at::Tensor soft = s.hide((noisy / temperature).log_softmax(-1).exp());  // [B,Lq,Lk]
  const at::Tensor one_hot = at::zeros_like(soft).scatter(-1, choice, 1.0);
  const at::Tensor seen = s.visible.any(-2, /*keepdim=*/true).transpose(-1, -2);  // [B,Lk,1]
  const at::Tensor used = s.hide(one_hot + (soft - soft.detach()));
  return at::matmul(used, compose::hide_unseen(value, seen));
}

HardTensors hard_composed(const at::Tensor& scores, const at::Tensor& value,
                          std::string_view gradient, double temperature,
                          ATTEND_ATTENTION_PARAMETERS) {
  const AttentionOptions o = attention_options(ATTEND_ATTENTION_NAMES);
  const HardGradient way = hard_gradient(gradient);
  check_hard(scores, value, o, temperature);
  const std::int64_t batch = scores.size(0), queries = scores.size(1), width = value.size(2);
  const auto none = scores.options();
  if (scores.numel() == 0)
    return {at::zeros({batch, queries, width}, none),
            at::full({batch, queries}, -1, none.dtype(at::kLong)),
            at::zeros({batch, queries}, none), at::zeros({batch, queries}, none),
            at::zeros(scores.sizes(), none)};
  const HardScores s(scores, o);
  static const auto noise = dispatched<decltype(drawn_gumbel)>("attend::gumbel");
  const at::Tensor noisy =
      s.scores + noise.call(s.scores.detach(), static_cast<std::int64_t>(o.seed));
  const at::Tensor choice = noisy.detach().argmax(-1, /*keepdim=*/true);  // [B,Lq,1]
  const at::Tensor log_p = s.hide(s.scores.log_softmax(-1));
  const at::Tensor p = s.hide(log_p.exp());
  const at::Tensor output =
      way == HardGradient::kStraightThrough
          ? straight_through_output(s, noisy, choice, value, temperature)
          : s.hide_row(value.gather(1, choice.expand({batch, queries, width})));
  const at::Tensor log_probability = s.hide_row(log_p.gather(-1, choice)).squeeze(-1);
  const at::Tensor no_choice = at::scalar_tensor(-1, choice.options());
  return {output, at::where(s.sees, choice, no_choice).squeeze(-1), log_probability,
          -(p * log_p).sum(-1), p};
}

}  // namespace

HardResult hard(const at::Tensor& scores, const at::Tensor& value, const HardOptions& options) {
  if (!scores.defined() || !value.defined())
    check_hard(scores, value, options.attention, options.temperature);
  static const auto op = dispatched<decltype(hard_composed)>(kHard);
  const char* way = options.gradient == HardGradient::kReinforce ? "reinforce" : "straight_through";
  auto [output, choice, log_probability, entropy, weights] =
      op.call(scores, value, way, options.temperature, ATTEND_ATTENTION_FROM(options.attention));
  note_composed(kHard, "a choice has no fused kernel");
  return {output, choice, log_probability, entropy, weights};
}

at::Tensor reinforce_loss(const HardResult& result, const at::Tensor& reward, double baseline,
                          const ReinforceOptions& o) {
  ShapeCheck n("attend::reinforce_loss");
  n("log_probability", result.log_probability, {"B", "Lq"})("entropy", result.entropy, {"B", "Lq"})(
      "reward", reward, {"B"});
  n.finite("baseline", baseline)
      .finite("reward_weight", o.reward_weight)
      .finite("entropy_weight", o.entropy_weight);
  const at::Tensor advantage = (reward.detach() - baseline) * o.reward_weight;  // [B]
  const at::Tensor gain =
      advantage * result.log_probability.sum(1) + o.entropy_weight * result.entropy.sum(1);
  return -gain.mean();
}

at::Tensor doubly_stochastic_penalty(const at::Tensor& weights, const at::Tensor& key_lengths) {
  ShapeCheck n("attend::doubly_stochastic_penalty");
  n("weights", weights, {"B", "Lq", "Lk"}).lengths("key_lengths", key_lengths, "Lk");
  at::Tensor missing = 1 - weights.sum(1);  // [B,Lk]
  if (key_lengths.defined()) {
    const at::Tensor inside =
        at::arange(weights.size(2), key_lengths.options()) < key_lengths.unsqueeze(1);
    missing = at::where(inside, missing, at::scalar_tensor(0, missing.options()));
  }
  return (missing * missing).sum(1);
}

at::Tensor context_gate(const at::Tensor& hidden, const at::Tensor& weight,
                        const at::Tensor& bias) {
  ShapeCheck n("attend::context_gate");
  n("hidden", hidden, {"B", "Lq", "C"})("weight", weight, {"C"}).optional("bias", bias, {});
  const at::Tensor score = at::matmul(hidden, weight);  // [B,Lq]
  return (bias.defined() ? score + bias : score).sigmoid().unsqueeze(-1);
}

TORCH_LIBRARY_FRAGMENT(attend, m) {
  m.def("gumbel(Tensor like, int seed) -> Tensor");
  m.def(
      "hard(Tensor scores, Tensor value, str gradient='reinforce', float "
      "temperature=1., " ATTEND_ATTENTION_SCHEMA
      ") -> (Tensor output, Tensor choice, Tensor log_probability, Tensor entropy, Tensor "
      "weights)");
}

TORCH_LIBRARY_IMPL(attend, CompositeExplicitAutograd, m) { m.impl("gumbel", &drawn_gumbel); }

TORCH_LIBRARY_IMPL(attend, Meta, m) { m.impl("gumbel", &gumbel_meta); }

TORCH_LIBRARY_IMPL(attend, CompositeImplicitAutograd, m) { m.impl("hard", &hard_composed); }

}  // namespace attend
