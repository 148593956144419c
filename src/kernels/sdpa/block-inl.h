// What a block of queries needs around its tiles: which keys it visits, hidden keys, bias, dropout. Once per Highway target.
#if defined(ATTEND_KERNELS_SDPA_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_SDPA_BLOCK_INL_H_
#undef ATTEND_KERNELS_SDPA_BLOCK_INL_H_
#else
#define ATTEND_KERNELS_SDPA_BLOCK_INL_H_
#endif

#include <cmath>

#include "kernels/attention/dropout.h"
#include "kernels/attention/visible.h"
#include "kernels/sdpa/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

constexpr std::int64_t kKeyBlock = 64;   // keys whose scores are kept at once: 64 × 64 floats fit half of L1
template <class T>
constexpr T kHidden = T(-1e30);          // score of a hidden key; not −inf, which gives NaN in differences
template <class T>
constexpr T kAboveHidden = T(-1e29);

/// Fetch ahead when all heads together outgrow L2, keys and values only of heads that leave room there for a second one.
constexpr std::int64_t kLeastAhead = 1 << 20, kMostAhead = 512 << 10;

template <class T>
std::int64_t head_bytes(const SdpaForward<T>& p) {
  return (p.queries + p.keys) * (p.width + p.value_width) * static_cast<std::int64_t>(sizeof(T));
}

/// The rows of one (batch × query head), and those of the key head that it reads.
template <class T>
struct HeadRows {
  Rows<T> query, key, value, output;

  HeadRows(const SdpaForward<T>& p, std::int64_t batch_head) {
    const std::int64_t b = batch_head / p.heads, h = batch_head % p.heads, kv = h / (p.heads / p.key_heads);
    const auto at = [b](const T* base, const RowStrides& s, std::int64_t head) {
      return Rows<T>{base + b * s.batch + head * s.head, s.row};
    };
    query = at(p.query, p.query_strides, h), output = at(p.output, p.output_strides, h);
    key = at(p.key, p.key_strides, kv), value = at(p.value, p.value_strides, kv);
  }
};

/// For `scores`: keeps them in an [n][queries] array.
template <class T>
auto store_to(T* s) {
  return [s](std::int64_t k, const auto& sum) HWY_ATTR {
    each_of<T>(sum, k, [s](std::int64_t at, int, auto v) HWY_ATTR { hn::Store(v, Tag<T>(), s + at); });
  };
}

/// How scores become exponents of 2: exp(score) = 2^(factor · S). The plain case leaves S = ± <q, k> as the product gives it
/// and the exponent is fma(factor, S, −factor · max), rounded once: scaling the queries first would round each of them, and
/// with large scores that decides between near ties. A bias, or a scale near 0, needs the finished score instead.
template <class T>
struct Scaling {
  bool plain;
  T query, after, factor;   // Q is multiplied by `query`, S by `after` (not when plain), the exponent's factor

  template <class Problem>
  explicit Scaling(const Problem& p)
      : plain(!p.bias && std::abs(p.scale) > T(1e-6)), query(plain && p.scale < 0 ? T(-1) : T(1)), after(p.scale),
        factor(plain ? std::abs(p.scale) * T(1.4426950408889634074) : T(1.4426950408889634074)) {}
};

/// 2^x for x ≤ 0, −inf included; relative error at most 2e-7 (float). The degree-5 polynomials are minimax fits.
HWY_INLINE hn::Vec<Tag<float>> exp2_nonpositive(Tag<float> d, hn::Vec<Tag<float>> x) {
#if HWY_TARGET <= HWY_AVX3
  // x − floor(x) in one instruction, 0 for −inf; scalef takes the floor itself. Fitted on [0, 1].
  static constexpr float kC[] = {0x1p+0f, 0x1.62e4bap-1f, 0x1.ebdb56p-3f, 0x1.c91ce6p-5f, 0x1.277854p-7f, 0x1.e974fcp-10f};
  const hn::Vec<Tag<float>> f{_mm512_reduce_ps(x.raw, 9)};
  return hn::Vec<Tag<float>>{_mm512_scalef_ps(polynomial(d, f, kC).raw, x.raw)};
#else
  static constexpr float kC[] = {1.000000072e+00f, 6.931469671e-01f, 2.402211972e-01f,
                                 5.550713290e-02f, 9.675541293e-03f, 1.327646679e-03f};   // on [−½, ½]
  x = hn::Max(x, hn::Set(d, -160.0f));   // low enough that the result is 0 and not the smallest denormal
  const auto n = hn::Round(x);
  return scale_by_power(d, polynomial(d, hn::Sub(x, n), kC), n);
#endif
}
HWY_INLINE hn::Vec<Tag<double>> exp2_nonpositive(Tag<double> d, hn::Vec<Tag<double>> x) { return exp2(d, x); }

/// The keys that each query of a block sees by the facts, and their union [begin, end).
template <class T, int QV>
struct BlockRange {
  static constexpr std::int64_t kQueries = QV * kLanes<T>;
  std::int64_t begin = 0, end = 0;              // some query sees these
  std::int64_t all_begin = 0, all_end = 0;      // every query sees these
  HWY_ALIGN T from[kQueries], to[kQueries];     // one query's keys are [from, to); exact up to 2^24 keys

  std::int64_t used = 0;                        // later queries see nothing

  template <class Problem>
  BlockRange(const Problem& p, std::int64_t b, std::int64_t first, std::int64_t count) {
    const Visibility& v = p.visible;
    const std::int64_t nq = v.query_lengths ? v.query_lengths[b] : p.queries;
    if (!v.causal && v.window_left < 0 && v.window_right < 0 && first + count <= nq) {   // all see the same: from, to stay unused
      end = all_end = v.key_lengths ? v.key_lengths[b] : p.keys;
      used = end > 0 ? count : 0;
      return;
    }
    begin = p.keys, all_end = p.keys;
    for (std::int64_t i = 0; i < kQueries; ++i) {
      // Lanes beyond the last query copy it, so that they never make a block partial.
      const KeyRange r = visible_keys(v, b, first + std::min(i, count - 1), p.queries, p.keys);
      from[i] = static_cast<T>(r.begin), to[i] = static_cast<T>(r.end);
      all_begin = std::max(all_begin, r.begin), all_end = std::min(all_end, r.end);
      if (r.begin == r.end) continue;
      begin = std::min(begin, r.begin), end = std::max(end, r.end);
      used = std::min(i + 1, count);
    }
    begin = std::min(begin, end);
  }

  bool all_see(std::int64_t j, std::int64_t stop) const { return j >= all_begin && stop <= all_end; }

  /// Scores of keys [j, j + n) that a query doesn't see become kHidden.
  void hide(std::int64_t j, std::int64_t n, T* s) const {
    const Tag<T> d;
    for (int g = 0; g < QV; ++g) {
      const auto low = hn::Load(d, from + g * kLanes<T>), high = hn::Load(d, to + g * kLanes<T>);
      for (std::int64_t k = 0; k < n; ++k) {
        const auto place = hn::Set(d, static_cast<T>(j + k));
        const auto seen = hn::And(hn::Ge(place, low), hn::Lt(place, high));
        T* at = s + k * kQueries + g * kLanes<T>;
        hn::Store(hn::IfThenElse(seen, hn::Load(d, at), hn::Set(d, kHidden<T>)), d, at);
      }
    }
  }
};

/// s[k][i] = scale · s[k][i] + bias[b,h,first + i,j + k]
template <int QV, class T>
void finish_scores(T scale, const T* bias, const ScoreStrides& st, std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t count,
              std::int64_t j, std::int64_t n, T* s) {
  for (std::int64_t at = 0; at < n * QV * kLanes<T>; ++at) s[at] *= scale;
  if (!bias) return;
  const T* base = bias + b * st.batch + h * st.head + first * st.row + j * st.column;
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t k = 0; k < n; ++k) s[k * QV * kLanes<T> + i] += base[i * st.row + k * st.column];
}

/// s[k][i] = kHidden where the dense mask says no
template <int QV, class T>
void hide_masked(const Visibility& v, std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t count,
                 std::int64_t j, std::int64_t n, T* s) {
  const ScoreStrides& st = v.mask_strides;
  const bool* base = v.mask + b * st.batch + h * st.head + first * st.row + j * st.column;
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t k = 0; k < n; ++k) {
      T& score = s[k * QV * kLanes<T> + i];
      score = base[i * st.row + k * st.column] ? score : kHidden<T>;
    }
  for (std::int64_t i = count; i < QV * kLanes<T>; ++i)   // lanes without a query must not make a key look seen
    for (std::int64_t k = 0; k < n; ++k) s[k * QV * kLanes<T> + i] = kHidden<T>;
}

/// s[k][i] *= 0 or 1 / (1 − p), as AttentionDropout (kernels/attention/dropout.h) chooses.
template <int QV, class T>
void drop_weights(std::uint64_t seed, double probability, std::uint32_t batch_head, std::int64_t first, std::int64_t j,
                  std::int64_t n, T* s) {
  const AttentionDropout dropout(seed, probability);
  const T factor = static_cast<T>(dropout.factor());
  for (std::int64_t i = 0; i < QV * kLanes<T>; ++i)
    for (std::int64_t k = 0; k < n; ++k) {
      const bool keep = dropout.keeps(batch_head, static_cast<std::uint32_t>(first + i), static_cast<std::uint32_t>(j + k));
      T& weight = s[k * QV * kLanes<T> + i];
      weight = keep ? weight * factor : T{0};
    }
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
