#pragma once
#include <concepts>
#include <memory>

#include "attend/ops/attention.h"

namespace attend {

/// Where a score stands.
struct ScorePlace {
  std::int64_t batch = 0, head = 0, query = 0, key = 0;
};

/// What custom_score takes: f(s, place) is the new score, f.slope(s, place) its derivative with respect to s. Both are called for
/// T = float and double, from several threads at once, and so are const and touch nothing else.
template <class F>
concept ScoreFunction = requires(const F f, float s, double d, ScorePlace place) {
  { f(s, place) } -> std::convertible_to<float>;
  { f.slope(s, place) } -> std::convertible_to<float>;
  { f(d, place) } -> std::convertible_to<double>;
  { f.slope(d, place) } -> std::convertible_to<double>;
};

/// A ScoreFunction without its type: the loop over one query's scores, compiled where the function was, for each dtype.
struct ScoreLoops {
  std::shared_ptr<const void> function;
  void (*in_float)(const void* function, ScorePlace first, std::int64_t count, float* scores,
                   float* slopes) = nullptr;
  void (*in_double)(const void* function, ScorePlace first, std::int64_t count, double* scores,
                    double* slopes) = nullptr;
};

template <class T, class F>
void score_loop(const void* function, ScorePlace place, std::int64_t count, T* scores, T* slopes) {
  const F& f = *static_cast<const F*>(function);
  for (std::int64_t t = 0; t < count; ++t, ++place.key) {
    const T s = scores[t];
    if (slopes) slopes[t] = static_cast<T>(f.slope(s, place));
    scores[t] = static_cast<T>(f(s, place));
  }
}

/// What custom_score below calls.
AttentionResult custom_score(const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value, const ScoreLoops& loops,
                             const AttentionOptions& options);

/// Attention by any function of the score and its place, the guide's softmax(f(Q, K)) V with an f of your own:
///   w_ij = softmax_j(f(scale · <q_i, k_j>, place)),  output_i = Σ_j w_ij v_j
/// query [B,H,Lq,D], key [B,Hkv,Lk,D], value [B,Hkv,Lk,Dv]; scale 1 unless given. f is compiled into the kernel's loop, so it costs what
/// its arithmetic costs; a score of −∞ gives weight 0. Which keys are seen at all is said in options: lengths, causal, windows; those
/// that are hidden are not scored and never touched. mask, bias and dropout are refused: write them into f, or use sdpa.
///
///   struct Alibi {   // Press et al. 2022: nearer keys first, each head with a slope of its own
///     template <class T> T operator()(T s, attend::ScorePlace p) const { return s - T(0.5) / T(1 << p.head) * T(p.query - p.key); }
///     template <class T> T slope(T, attend::ScorePlace) const { return 1; }
///   };
///   const auto [output, weights] = attend::custom_score(query, key, value, Alibi{}, {.causal = true});
///
/// Float and double on the CPU, forward and backward in O(Lk) and O(Lq Lk) memory for one head at a time; anything else is refused.
/// Differentiable once, in query, key and value, through output and weights (parameters inside f get no gradient).
/// Throws Error(kUsage) naming argument, shape and rule. Returns [B,H,Lq,Dv] and [B,H,Lq,Lk].
template <ScoreFunction F>
AttentionResult custom_score(const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value, const F& f,
                             const AttentionOptions& options = {}) {
  return custom_score(
      query, key, value,
      ScoreLoops{std::make_shared<const F>(f), &score_loop<float, F>, &score_loop<double, F>},
      options);
}

}  // namespace attend
