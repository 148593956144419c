// What a block of queries needs around its tiles: which keys it visits, hidden keys, bias, dropout. Once per Highway target.
#if defined(ATTEND_KERNELS_SDPA_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_KERNELS_SDPA_BLOCK_INL_H_
#undef ATTEND_KERNELS_SDPA_BLOCK_INL_H_
#else
#define ATTEND_KERNELS_SDPA_BLOCK_INL_H_
#endif

#include <atomic>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "attend/base/threads.h"

#include "kernels/attention/dropout-inl.h"
#include "kernels/attention/visible.h"
#include "kernels/sdpa/bfloat16_dot.h"
#include "kernels/sdpa/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::kernels::HWY_NAMESPACE {

constexpr std::int64_t kKeyBlock =
    64;  // keys whose scores are kept at once: 64 × 64 floats fit half of L1
template <class T>
constexpr T kHidden = T(-1e30);  // score of a hidden key; not −inf, which gives NaN in differences
template <class T>
constexpr T kAboveHidden = T(-1e29);

/// f(task, worker) for every task, `chunk` neighbours at a time to whichever worker is free.
template <class F>
void share_out(std::int64_t tasks, std::int64_t chunk, F f) {
  std::atomic<std::int64_t> next{0};
  parallel_run(static_cast<int>(std::min<std::int64_t>(threads(), tasks)), [&](int worker) {
    for (std::int64_t t = next.fetch_add(chunk); t < tasks; t = next.fetch_add(chunk))
      for (std::int64_t i = t; i < std::min(tasks, t + chunk); ++i) f(i, worker);
  });
}

/// f(vectors) with as few vectors of queries, a compile-time power of two up to QV, as hold the `queries` that are left: the last
/// block of a head is not always a full one (L 100: 112 queries are computed and not 128).
template <int QV, class T, class F>
void with_tile(std::int64_t queries, F f) {
  if constexpr (QV > 1) {
    if (queries <= QV / 2 * kLanes<T>) return with_tile<QV / 2, T>(queries, f);
  }
  f(std::integral_constant<int, QV>());
}

/// Fetch ahead when all heads together outgrow L2, keys and values only of heads that leave room there for a second one.
constexpr std::int64_t kLeastAhead = 1 << 20, kMostAhead = 512 << 10;

template <class I>
std::int64_t head_bytes(const SdpaForward<I>& p) {
  return (p.queries + p.keys) * (p.width + p.value_width) * static_cast<std::int64_t>(sizeof(I));
}

/// The rows of one (batch × query head), and those of the key head that it reads.
template <class I>
struct HeadRows {
  Rows<I> query, key, value, output;

  HeadRows(const SdpaForward<I>& p, std::int64_t batch_head) {
    const std::int64_t b = batch_head / p.heads, h = batch_head % p.heads,
                       kv = h / (p.heads / p.key_heads);
    const auto at = [b](const I* base, const RowStrides& s, std::int64_t head) {
      return Rows<I>{base + b * s.batch + head * s.head, s.row};
    };
    query = at(p.query, p.query_strides, h), output = at(p.output, p.output_strides, h);
    key = at(p.key, p.key_strides, kv), value = at(p.value, p.value_strides, kv);
  }
};

/// For `scores`: keeps them in an [n][queries] array.
template <class T>
auto store_to(T* s) {
  return [s](std::int64_t k, const auto& sum) HWY_ATTR {
    each_of<T>(sum, k,
               [s](std::int64_t at, int, auto v) HWY_ATTR { hn::Store(v, Tag<T>(), s + at); });
  };
}

/// Whether tiles of pairs of bfloat16 exist for I on this target: their lanes are 16 queries.
template <class I>
constexpr bool kPairs = std::is_same_v<I, BFloat16>&& HWY_TARGET <= HWY_AVX3;
/// Whether they run: the CPU must have the instruction, and what is summed over must come in pairs.
template <class I>
bool uses_pairs(const SdpaForward<I>& p, bool backward) {
  return kPairs<I> && has_bfloat16_dot() && p.width % 2 == 0 &&
         (!backward || p.value_width % 2 == 0);
}

/// How scores become exponents of 2: exp(score) = 2^(factor · S). The plain case leaves S = ± <q, k> as the product gives it
/// and the exponent is fma(factor, S, −factor · max), rounded once: scaling the queries first would round each of them, and
/// with large scores that decides between near ties. A bias, or a scale near 0, needs the finished score instead; so does a
/// negative one where queries stay the bfloat16 that they are.
template <class T>
struct Scaling {
  bool plain;
  T query, after,
      factor;  // Q is multiplied by `query`, S by `after` (not when plain), the exponent's factor

  template <class I>
  explicit Scaling(const SdpaForward<I>& p)
      : plain(!p.bias && (kPairs<I> ? p.scale : std::abs(p.scale)) > T(1e-6)),
        query(plain && p.scale < 0 ? T(-1) : T(1)),
        after(p.scale),
        factor(plain ? std::abs(p.scale) * T(1.4426950408889634074) : T(1.4426950408889634074)) {}
};

/// 2^x for x ≤ 0, −inf included; relative error at most 2e-7 (float). The degree-5 polynomials are minimax fits.
HWY_INLINE hn::Vec<Tag<float>> exp2_nonpositive(Tag<float> d, hn::Vec<Tag<float>> x) {
#if HWY_TARGET <= HWY_AVX3
  // x − floor(x) in one instruction, 0 for −inf; scalef takes the floor itself. Fitted on [0, 1].
  static constexpr float kC[] = {0x1p+0f,        0x1.62e4bap-1f, 0x1.ebdb56p-3f,
                                 0x1.c91ce6p-5f, 0x1.277854p-7f, 0x1.e974fcp-10f};
  const hn::Vec<Tag<float>> f{_mm512_reduce_ps(x.raw, 9)};
  return hn::Vec<Tag<float>>{_mm512_scalef_ps(polynomial(d, f, kC).raw, x.raw)};
#else
  static constexpr float kC[] = {1.000000072e+00f, 6.931469671e-01f,
                                 2.402211972e-01f, 5.550713290e-02f,
                                 9.675541293e-03f, 1.327646679e-03f};  // on [−½, ½]
  x = hn::Max(
      x, hn::Set(d, -160.0f));  // low enough that the result is 0 and not the smallest denormal
  const auto n = hn::Round(x);
  return scale_by_power(d, polynomial(d, hn::Sub(x, n), kC), n);
#endif
}
HWY_INLINE hn::Vec<Tag<double>> exp2_nonpositive(Tag<double> d, hn::Vec<Tag<double>> x) {
  return exp2(d, x);
}

/// The keys that each query of a block sees by the facts, and their union [begin, end).
template <class T, int QV>
struct BlockRange {
  static constexpr std::int64_t kQueries = QV * kLanes<T>;
  std::int64_t begin = 0, end = 0;          // some query sees these
  std::int64_t all_begin = 0, all_end = 0;  // every query sees these
  HWY_ALIGN T from[kQueries],
      to[kQueries];  // one query's keys are [from, to); exact up to 2^24 keys

  std::int64_t used = 0;  // later queries see nothing

  template <class Problem>
  BlockRange(const Problem& p, std::int64_t b, std::int64_t first, std::int64_t count) {
    const Visibility& v = p.visible;
    const std::int64_t nq = v.query_lengths ? v.query_lengths[b] : p.queries;
    if (!v.causal && v.window_left < 0 && v.window_right < 0 &&
        first + count <= nq) {  // all see the same: from, to stay unused
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

  bool all_see(std::int64_t j, std::int64_t stop) const {
    return j >= all_begin && stop <= all_end;
  }

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
template <int QV, class T, class I>
void finish_scores(T scale, const I* bias, const ScoreStrides& st, std::int64_t b, std::int64_t h,
                   std::int64_t first, std::int64_t count, std::int64_t j, std::int64_t n, T* s) {
  for (std::int64_t at = 0; at < n * QV * kLanes<T>; ++at) s[at] *= scale;
  if (!bias) return;
  const I* base = bias + b * st.batch + h * st.head + first * st.row + j * st.column;
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t k = 0; k < n; ++k)
      s[k * QV * kLanes<T> + i] += widen(base[i * st.row + k * st.column]);
}

/// Which of keys [j, j + n) each query of a block sees by the dense mask and the facts together, a bit a key.
template <class T, int QV>
class MaskTile {
 public:
  static constexpr std::int64_t kQueries = QV * kLanes<T>;
  using Bits = hwy::MakeUnsigned<T>;  // a lane holds as many keys as its own bits

  bool empty() const { return any_ == 0; }  // nothing to do for these keys
  bool every_key_seen(std::int64_t n) const { return any_ == first_bits(n); }
  bool key_seen(std::int64_t k) const { return any_ >> k & 1; }

  template <class Problem>
  void load(const Problem& p, const BlockRange<T, QV>& range, std::int64_t batch_head,
            std::int64_t first, std::int64_t count, std::int64_t j, std::int64_t n) {
    const ScoreStrides& st = p.visible.mask_strides;
    const bool* base = p.visible.mask + batch_head / p.heads * st.batch +
                       batch_head % p.heads * st.head + first * st.row + j * st.column;
    const bool partial = !range.all_see(j, j + n);
    any_ = 0, all_ = first_bits(n);
    std::uint64_t row = 0;
    for (std::int64_t i = 0; i < kQueries; ++i) {
      if (i == 0 || (st.row != 0 && i < count)) row = row_bits(base + i * st.row, st.column, n);
      std::uint64_t seen = i < count ? row : 0;
      if (partial)
        seen &= first_bits(static_cast<std::int64_t>(range.to[i]) - j) &
                ~first_bits(static_cast<std::int64_t>(range.from[i]) - j);
      any_ |= seen, all_ &= seen;
      for (int part = 0; part < kParts; ++part)
        bits_[part][i] = static_cast<Bits>(seen >> (part * kBits));
    }
    all_seen_ = all_ == first_bits(n);
  }

  /// Scores of keys that a query doesn't see become kHidden.
  void hide(std::int64_t n, T* s) const {
    if (all_seen_) return;
    const Tag<T> d;
    const hn::RebindToUnsigned<Tag<T>> du;
    for (std::int64_t k = 0; k < n; ++k) {
      const auto bit = hn::Set(du, Bits{1} << (k % kBits));
      for (int g = 0; g < QV; ++g) {
        const auto seen =
            hn::RebindMask(d, hn::TestBit(hn::Load(du, bits_[k / kBits] + g * kLanes<T>), bit));
        T* at = s + k * kQueries + g * kLanes<T>;
        hn::Store(hn::IfThenElse(seen, hn::Load(d, at), hn::Set(d, kHidden<T>)), d, at);
      }
    }
  }

 private:
  static constexpr int kBits = 8 * sizeof(T), kParts = kKeyBlock / kBits;
  static std::uint64_t first_bits(std::int64_t n) {
    return n <= 0 ? 0 : n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
  }
  static std::uint64_t row_bits(const bool* row, std::int64_t stride, std::int64_t n) {
    std::uint64_t bits = 0;
    std::int64_t k = 0;
    for (; stride == 1 && k + 8 <= n; k += 8) {
      std::uint64_t bytes;  // each 0 or 1; the product gathers them in its top byte
      std::memcpy(&bytes, row + k, 8);
      bits |= (bytes * 0x0102040810204080u >> 56) << k;
    }
    for (; k < n; ++k) bits |= std::uint64_t{row[k * stride]} << k;
    return bits;
  }

  HWY_ALIGN Bits bits_[kParts][kQueries];
  std::uint64_t any_ = 0, all_ = 0;
  bool all_seen_ = false;
};

/// The first n rows that some query of the tile sees, and zeros for the others: 0 · NaN is NaN. `copy` holds kKeyBlock rows.
template <class T, int QV, class I>
Rows<I> seen_rows(const MaskTile<T, QV>& mask, Rows<I> rows, std::int64_t n, std::int64_t width,
                  I* copy) {
  if (mask.every_key_seen(n)) return rows;
  for (std::int64_t k = 0; k < n; ++k) {
    if (mask.key_seen(k))
      std::copy_n(rows.row(k), width, copy + k * width);
    else
      std::fill_n(copy + k * width, width, I{});
  }
  return {copy, width};
}

/// Rows as the tiles of Highway take them, in the type that sums are in: bfloat16 is widened into `copy`, [n][width].
template <class T>
Rows<T> in_sums_type(Rows<T> rows, std::int64_t, std::int64_t, T*) {
  return rows;
}
inline Rows<float> in_sums_type(Rows<BFloat16> rows, std::int64_t n, std::int64_t width,
                                float* HWY_RESTRICT copy) {
  const Tag<float> d;
  const hn::RebindToUnsigned<Tag<float>> words;
  const hn::Rebind<std::uint16_t, Tag<float>> halves;
  for (std::int64_t k = 0; k < n; ++k) {
    const auto* from = reinterpret_cast<const std::uint16_t*>(rows.row(k));
    float* to = copy + k * width;
    std::int64_t c = 0;
    for (; c + kLanes<float> <= width; c += kLanes<float>)
      hn::StoreU(
          hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(words, hn::LoadU(halves, from + c)))), d,
          to + c);
    for (; c < width; ++c) to[c] = widen(rows.row(k)[c]);
  }
  return {copy, width};
}

/// qt[c/2][i] = (row_i[c], row_i[c+1]) for a group of 16 rows, of which `rows` exist (the others become 0). `copy` holds 16 rows.
inline void transpose_pairs([[maybe_unused]] Rows<BFloat16> in, [[maybe_unused]] std::int64_t rows,
                            [[maybe_unused]] std::int64_t width,
                            [[maybe_unused]] std::uint32_t* copy,
                            [[maybe_unused]] std::uint32_t* qt,
                            [[maybe_unused]] std::int64_t pitch) {
#if HWY_TARGET <= HWY_AVX3
  const std::int64_t words = (width / 2 + 3) / 4 * 4;  // four at a time
  if (rows < kLanes<float> || words * 2 != width || in.stride % 2 != 0) {
    std::memset(copy, 0, static_cast<std::size_t>(kLanes<float> * words) * sizeof *copy);
    for (std::int64_t r = 0; r < rows; ++r)
      std::memcpy(copy + r * words, in.row(r), static_cast<std::size_t>(width) * sizeof *in.data);
    in = {reinterpret_cast<const BFloat16*>(copy), 2 * words};
  }
  const hn::ScalableTag<std::uint32_t> d;
  for (std::int64_t c = 0; c < words; c += 4) {
    hn::Vec<decltype(d)> v[4];
    ATTEND_UNROLL for (int i = 0; i < 4; ++i) v[i] =
        load_blocks(d, reinterpret_cast<const std::uint32_t*>(in.row(i)) + c, 2 * in.stride);
    transpose_blocks(d, v);
    ATTEND_UNROLL for (int i = 0; i < 4; ++i) if (c + i < width / 2)
        hn::StoreU(v[i], d, qt + (c + i) * pitch);
  }
#endif
}

}  // namespace attend::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // toggle
