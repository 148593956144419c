// What a decoding step does row by row besides its products, once per Highway target.
#if defined(ATTEND_KERNELS_DECODING_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_DECODING_ROWS_INL_H_
#undef ATTEND_KERNELS_DECODING_ROWS_INL_H_
#else
#define ATTEND_KERNELS_DECODING_ROWS_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "attend/kernels/decoding.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

using DecodingTag = hn::ScalableTag<float>;
using DecodingVec = hn::Vec<DecodingTag>;
constexpr std::int64_t kDecodingLanes = hn::MaxLanes(DecodingTag());

/// f(load, store, i) for each vector of n numbers; the last one may be part of a vector, its other lanes `fill`.
template <class F>
HWY_INLINE void decoding_over(std::int64_t n, const F& f) {
  const DecodingTag d;
  std::int64_t i = 0;
  for (; i + kDecodingLanes <= n; i += kDecodingLanes)
    f([&](const float* p) HWY_ATTR { return hn::LoadU(d, p + i); },
      [&](DecodingVec v, float* p) HWY_ATTR { hn::StoreU(v, d, p + i); }, kDecodingLanes);
  if (i == n) return;
  const auto left = static_cast<std::size_t>(n - i);
  f([&](const float* p) HWY_ATTR { return load_n(d, p + i, left); },
    [&](DecodingVec v, float* p) HWY_ATTR { store_n(v, d, p + i, left); }, n - i);
}

HWY_INLINE float decoding_sum(DecodingVec v) {
  return hn::GetLane(hn::SumOfLanes(DecodingTag(), v));
}

inline void norm_row(const NormRows& p, std::int64_t r) {
  const DecodingTag d;
  const float* const x = p.x + r * p.width;
  float* const y = p.y + r * p.width;
  auto sum = hn::Zero(d);
  decoding_over(p.width,
                [&](auto load, auto, std::int64_t) HWY_ATTR { sum = hn::Add(sum, load(x)); });
  const auto mean = hn::Set(d, decoding_sum(sum) / static_cast<float>(p.width));
  auto squares = hn::Zero(d);
  decoding_over(p.width, [&](auto load, auto, std::int64_t n) HWY_ATTR {
    auto off = hn::Sub(load(x), mean);
    if (n < kDecodingLanes)
      off = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(n)), off);
    squares = hn::MulAdd(off, off, squares);
  });
  const float variance = decoding_sum(squares) / static_cast<float>(p.width);
  const auto scale = hn::Set(d, 1 / std::sqrt(variance + p.eps));
  decoding_over(p.width, [&](auto load, auto store, std::int64_t) HWY_ATTR {
    const auto normed = hn::Mul(hn::Sub(load(x), mean), scale);
    store(hn::MulAdd(normed, load(p.weight), p.bias ? load(p.bias) : hn::Zero(d)), y);
  });
}

HWY_INLINE const float* step_key(const StepAttention& p, std::int64_t r, std::int64_t t) {
  if (p.tape) return p.tape[t] + p.place[r * p.places + t] * p.key_row;
  return p.memory + (r / (p.rows / p.sources) * p.places + t) * p.key_row;
}

/// score[t] = scale · <q, key_t of the head at `from`> for t < n.
HWY_INLINE void step_scores(const StepAttention& p, std::int64_t r, std::int64_t n,
                            std::int64_t from, float* HWY_RESTRICT score) {
  const DecodingTag d;
  const float* const q = p.query + r * p.query_row + from;
  for (std::int64_t t = 0; t < n; t += 4) {
    const float* key[4];
    for (std::int64_t j = 0; j < 4; ++j) key[j] = step_key(p, r, std::min(t + j, n - 1)) + from;
    DecodingVec sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    decoding_over(p.width, [&](auto load, auto, std::int64_t) HWY_ATTR {
      const auto x = load(q);
      for (int j = 0; j < 4; ++j) sum[j] = hn::MulAdd(x, load(key[j]), sum[j]);
    });
    float found[4];
    store_four_sums(d, sum, found);
    for (std::int64_t j = 0; j < std::min<std::int64_t>(4, n - t); ++j)
      score[t + j] = p.scale * found[j];
  }
}

/// score ← softmax(score), n ≥ 1 numbers.
HWY_INLINE void step_softmax(float* HWY_RESTRICT score, std::int64_t n) {
  const DecodingTag d;
  const float most = *std::max_element(score, score + n);
  const auto top = hn::Set(d, most);
  auto sum = hn::Zero(d);
  decoding_over(n, [&](auto load, auto store, std::int64_t count) HWY_ATTR {
    auto e = exp(d, hn::Sub(load(score), top));
    if (count < kDecodingLanes)
      e = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(count)), e);
    sum = hn::Add(sum, e);
    store(e, score);
  });
  const auto scale = hn::Set(d, 1 / decoding_sum(sum));
  decoding_over(n, [&](auto load, auto store, std::int64_t)
                       HWY_ATTR { store(hn::Mul(load(score), scale), score); });
}

/// out[0 … width) of one head.
HWY_INLINE void step_values(const StepAttention& p, std::int64_t r, std::int64_t n,
                            std::int64_t from, const float* HWY_RESTRICT weight,
                            float* HWY_RESTRICT out) {
  const DecodingTag d;
  std::int64_t c = 0;
  for (; c + 4 * kDecodingLanes <= p.width; c += 4 * kDecodingLanes) {
    DecodingVec sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    for (std::int64_t t = 0; t < n; ++t) {
      const float* const value = step_key(p, r, t) + p.value + from + c;
      const auto w = hn::Set(d, weight[t]);
      for (int j = 0; j < 4; ++j)
        sum[j] = hn::MulAdd(w, hn::LoadU(d, value + j * kDecodingLanes), sum[j]);
    }
    for (int j = 0; j < 4; ++j) hn::StoreU(sum[j], d, out + c + j * kDecodingLanes);
  }
  decoding_over(p.width - c, [&](auto load, auto store, std::int64_t) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (std::int64_t t = 0; t < n; ++t)
      sum = hn::MulAdd(hn::Set(d, weight[t]), load(step_key(p, r, t) + p.value + from + c), sum);
    store(sum, out + c);
  });
}

/// Keys and values of one head come in while those of the one before are used.
HWY_INLINE void step_fetch(const StepAttention& p, std::int64_t r, std::int64_t n,
                           std::int64_t from) {
  for (std::int64_t t = 0; t < n; ++t) {
    const float* const key = step_key(p, r, t) + from;
    for (std::int64_t c = 0; c < p.width; c += 16)
      hwy::Prefetch(key + c), hwy::Prefetch(key + p.value + c);
  }
}

inline void step_row(const StepAttention& p, std::int64_t r, float* score) {
  const std::int64_t n =
      p.tape ? p.places : std::clamp<std::int64_t>(p.length[r / (p.rows / p.sources)], 0, p.places);
  float* const out = p.out + r * p.heads * p.width;
  float* const weights = p.weights ? p.weights + r * p.places : nullptr;
  if (weights) std::fill_n(weights, p.places, 0.0f);
  if (n == 0) return std::fill_n(out, p.heads * p.width, 0.0f), void();
  for (std::int64_t h = 0; h < p.heads; ++h) {
    if (h + 1 < p.heads) step_fetch(p, r, n, (h + 1) * p.width);
    step_scores(p, r, n, h * p.width, score);
    step_softmax(score, n);
    step_values(p, r, n, h * p.width, score, out + h * p.width);
    if (weights)
      for (std::int64_t t = 0; t < n; ++t) weights[t] += score[t] / static_cast<float>(p.heads);
  }
}

inline void log_softmax_row(float* x, std::int64_t n) {
  const DecodingTag d;
  auto most = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto lowest = most;
  decoding_over(n, [&](auto load, auto, std::int64_t count) HWY_ATTR {
    auto v = load(x);
    if (count < kDecodingLanes)
      v = hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(count)), v, lowest);
    most = hn::IfThenElse(hn::Lt(most, v), v, most);  // passes NaN over: the sum has it
  });
  const auto top = hn::MaxOfLanes(d, most);
  auto sum = hn::Zero(d);
  decoding_over(n, [&](auto load, auto, std::int64_t count) HWY_ATTR {
    auto e = exp(d, hn::Sub(load(x), top));
    if (count < kDecodingLanes)
      e = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(count)), e);
    sum = hn::Add(sum, e);
  });
  const auto shift = hn::Set(d, hn::GetLane(top) + std::log(decoding_sum(sum)));
  decoding_over(
      n, [&](auto load, auto store, std::int64_t) HWY_ATTR { store(hn::Sub(load(x), shift), x); });
}

/// The best so far in order, a new one put behind those that are not smaller.
template <class T>
HWY_INLINE void best_insert(T x, std::int64_t i, std::int64_t k, T* value, std::int64_t* index) {
  std::int64_t at = k - 1;
  for (; at > 0 && value[at - 1] < x; --at) value[at] = value[at - 1], index[at] = index[at - 1];
  value[at] = x, index[at] = i;
}

template <class T>
void best_of_row(const BestOfRows<T>& p, std::int64_t r) {
  const hn::ScalableTag<T> d;
  constexpr std::int64_t N = hn::MaxLanes(hn::ScalableTag<T>());
  const T* const x = p.x + r * p.n;
  T* const value = p.value + r * p.k;
  std::int64_t* const index = p.index + r * p.k;
  std::fill_n(value, p.k, -std::numeric_limits<T>::infinity());
  std::fill_n(index, p.k, -1);
  bool has_nan = false;
  const auto look = [&](std::int64_t first, std::int64_t last) HWY_ATTR {
    for (std::int64_t i = first; i < last; ++i)
      if (x[i] > value[p.k - 1]) best_insert(x[i], i, p.k, value, index);
  };
  constexpr std::int64_t kBlock = 4 * N;
  std::int64_t i = 0;
  for (; i + kBlock <= p.n; i += kBlock) {
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + i + N),
               c = hn::LoadU(d, x + i + 2 * N), e = hn::LoadU(d, x + i + 3 * N);
    const auto nan = hn::Or(hn::Or(hn::IsNaN(a), hn::IsNaN(b)), hn::Or(hn::IsNaN(c), hn::IsNaN(e)));
    has_nan = has_nan || !hn::AllFalse(d, nan);
    const auto least = hn::Set(d, value[p.k - 1]);
    const auto most = hn::Max(hn::Max(a, b), hn::Max(c, e));
    if (!hn::AllFalse(d, hn::Gt(most, least))) look(i, i + kBlock);
  }
  look(i, p.n);
  for (; i < p.n; ++i) has_nan |= std::isnan(x[i]);
  if (has_nan) index[0] = -2;
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
