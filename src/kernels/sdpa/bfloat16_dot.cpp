#include "kernels/sdpa/bfloat16_dot.h"

#include <atomic>
#include <cstring>

#include "attend/kernels/sdpa.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define ATTEND_BFLOAT16_DOT 1
#define ATTEND_AVX512_BF16 \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,avx2")))
#define ATTEND_UNROLL _Pragma("GCC unroll 32")
#else
#include <cstdlib>
#define ATTEND_BFLOAT16_DOT 0
#endif

namespace attend::kernels {
namespace {
std::atomic<bool> g_allowed{true};
thread_local bool t_used = false;
}  // namespace

void note_bfloat16_dot(bool used) { t_used = used; }
bool sdpa_used_bfloat16_dot() { return t_used; }

void allow_bfloat16_dot(bool allow) { g_allowed = allow; }

#if ATTEND_BFLOAT16_DOT

bool has_bfloat16_dot() {
  static const bool found =
      __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return found && g_allowed;
}

namespace {

constexpr std::int64_t kDotLanes = 16;
constexpr int kDotSums = 16;  // accumulators of a tile, of 32 registers

/// sum + the products of both halves of every 32 bits.
ATTEND_AVX512_BF16 inline __m512 dot(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

/// The pair at p, which need not be aligned, in every lane.
ATTEND_AVX512_BF16 inline __m512i both(const void* p) {
  int pair;
  std::memcpy(&pair, p, sizeof pair);
  return _mm512_set1_epi32(pair);
}

template <int K, int QV>
ATTEND_AVX512_BF16 void score_tile(const BFloat16* key, std::int64_t stride, std::int64_t width,
                                   const std::uint32_t* qt, float* s) {
  __m512 sum[K][QV];
  ATTEND_UNROLL for (int k = 0; k < K; ++k) ATTEND_UNROLL for (int g = 0; g < QV; ++g) sum[k][g] =
      _mm512_setzero_ps();
  for (std::int64_t c = 0; c < width; c += 2, qt += QV * kDotLanes) {
    __m512i q[QV];
    ATTEND_UNROLL for (int g = 0; g < QV; ++g) q[g] = _mm512_loadu_si512(qt + g * kDotLanes);
    ATTEND_UNROLL for (int k = 0; k < K; ++k) {
      const __m512i x = both(key + k * stride + c);
      ATTEND_UNROLL for (int g = 0; g < QV; ++g) sum[k][g] = dot(sum[k][g], x, q[g]);
    }
  }
  ATTEND_UNROLL for (int k = 0; k < K; ++k) ATTEND_UNROLL for (int g = 0; g < QV; ++g)
      _mm512_storeu_ps(s + (k * QV + g) * kDotLanes, sum[k][g]);
}

template <int QV>
ATTEND_AVX512_BF16 void all_scores(Rows<BFloat16> key, std::int64_t keys, std::int64_t width,
                                   const std::uint32_t* qt, float* s) {
  constexpr int kK = kDotSums / QV;
  std::int64_t k = 0;
  for (; k + kK <= keys; k += kK)
    score_tile<kK, QV>(key.row(k), key.stride, width, qt, s + k * QV * kDotLanes);
  for (; k < keys; ++k)
    score_tile<1, QV>(key.row(k), key.stride, width, qt, s + k * QV * kDotLanes);
}

template <int C, int QV>
ATTEND_AVX512_BF16 void value_tile(const std::uint32_t* value, std::int64_t pitch,
                                   const std::uint32_t* p, std::int64_t pairs, const float* fade,
                                   bool first, float* out) {
  __m512 sum[C][QV];
  ATTEND_UNROLL for (int c = 0; c < C; ++c) ATTEND_UNROLL for (int g = 0; g < QV; ++g) sum[c][g] =
      first ? _mm512_setzero_ps()
            : _mm512_mul_ps(_mm512_loadu_ps(fade + g * kDotLanes),
                            _mm512_loadu_ps(out + (c * QV + g) * kDotLanes));
  for (std::int64_t k = 0; k < pairs; ++k) {
    __m512i w[QV];
    ATTEND_UNROLL for (int g = 0; g < QV; ++g) w[g] =
        _mm512_loadu_si512(p + (k * QV + g) * kDotLanes);
    ATTEND_UNROLL for (int c = 0; c < C; ++c) {
      const __m512i x = both(value + k * pitch + c);
      ATTEND_UNROLL for (int g = 0; g < QV; ++g) sum[c][g] = dot(sum[c][g], x, w[g]);
    }
  }
  ATTEND_UNROLL for (int c = 0; c < C; ++c) ATTEND_UNROLL for (int g = 0; g < QV; ++g)
      _mm512_storeu_ps(out + (c * QV + g) * kDotLanes, sum[c][g]);
}

template <int QV>
ATTEND_AVX512_BF16 void all_values(const std::uint32_t* value, std::int64_t columns,
                                   const std::uint32_t* p, std::int64_t pairs, const float* fade,
                                   bool first, float* out) {
  constexpr int kC = kDotSums / QV;
  const std::int64_t pitch = pair_pitch(columns);
  std::int64_t c = 0;
  for (; c + kC <= columns; c += kC)
    value_tile<kC, QV>(value + c, pitch, p, pairs, fade, first, out + c * QV * kDotLanes);
  for (; c < columns; ++c)
    value_tile<1, QV>(value + c, pitch, p, pairs, fade, first, out + c * QV * kDotLanes);
}

/// K keys and C vectors of columns, of the last of which `last` lanes exist.
template <int K, int C>
ATTEND_AVX512_BF16 void outer_tile(const std::uint32_t* p, std::int64_t p_pitch,
                                   const std::uint32_t* rows, std::int64_t pitch,
                                   std::int64_t pairs, __mmask16 last, float* out,
                                   std::int64_t stride) {
  __m512 sum[K][C];
  ATTEND_UNROLL for (int k = 0; k < K; ++k) ATTEND_UNROLL for (int c = 0; c < C; ++c) sum[k][c] =
      _mm512_maskz_loadu_ps(c + 1 < C ? __mmask16(-1) : last, out + k * stride + c * kDotLanes);
  for (std::int64_t i = 0; i < pairs; ++i) {
    __m512i x[C];
    ATTEND_UNROLL for (int c = 0; c < C; ++c) x[c] =
        _mm512_loadu_si512(rows + i * pitch + c * kDotLanes);
    ATTEND_UNROLL for (int k = 0; k < K; ++k) {
      const __m512i w = both(p + k * p_pitch + i);
      ATTEND_UNROLL for (int c = 0; c < C; ++c) sum[k][c] = dot(sum[k][c], w, x[c]);
    }
  }
  ATTEND_UNROLL for (int k = 0; k < K; ++k) ATTEND_UNROLL for (int c = 0; c < C; ++c)
      _mm512_mask_storeu_ps(out + k * stride + c * kDotLanes, c + 1 < C ? __mmask16(-1) : last,
                            sum[k][c]);
}

template <int C>
ATTEND_AVX512_BF16 void outer_strip(const std::uint32_t* p, std::int64_t p_pitch, std::int64_t keys,
                                    const std::uint32_t* rows, std::int64_t pitch,
                                    std::int64_t pairs, __mmask16 last, float* out,
                                    std::int64_t stride) {
  constexpr int kK = kDotSums / C;
  std::int64_t k = 0;
  for (; k + kK <= keys; k += kK)
    outer_tile<kK, C>(p + k * p_pitch, p_pitch, rows, pitch, pairs, last, out + k * stride, stride);
  for (; k < keys; ++k)
    outer_tile<1, C>(p + k * p_pitch, p_pitch, rows, pitch, pairs, last, out + k * stride, stride);
}

}  // namespace

ATTEND_AVX512_BF16 void pair_rows(Rows<BFloat16> rows, std::int64_t n, std::int64_t columns,
                                  std::uint32_t* pairs) {
  const std::int64_t pitch = pair_pitch(columns);
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  // Lane by lane (i, 32 + i): the same element of both rows.
  const __m512i low =
      _mm512_or_si512(lane, _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(32)), 16));
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(0x00100010));
  for (std::int64_t k = 0; k < n; k += 2) {
    for (std::int64_t c = 0; c < columns; c += 32) {
      const __mmask32 there =
          columns - c >= 32 ? ~__mmask32{0} : (__mmask32{1} << (columns - c)) - 1;
      const auto load = [&](std::int64_t at) ATTEND_AVX512_BF16 {
        const bool real = at < n;
        return _mm512_maskz_loadu_epi16(real ? there : 0, real ? rows.row(at) + c : rows.data);
      };
      const __m512i a = load(k), b = load(k + 1);
      std::uint32_t* to = pairs + k / 2 * pitch + c;
      _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, low, b));
      _mm512_storeu_si512(to + kDotLanes, _mm512_permutex2var_epi16(a, high, b));
    }
  }
}

ATTEND_AVX512_BF16 void pair_scores(const float* s, std::int64_t n, int vectors,
                                    std::uint32_t* pairs) {
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i mix =
      _mm512_or_si512(lane, _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(16)), 16));
  const std::int64_t row = vectors * kDotLanes;
  for (std::int64_t k = 0; k < n; k += 2)
    for (std::int64_t at = 0; at < row; at += kDotLanes) {
      const __m512 a = _mm512_loadu_ps(s + k * row + at);
      const __m512 b = k + 1 < n ? _mm512_loadu_ps(s + (k + 1) * row + at) : _mm512_setzero_ps();
      const __m512i joined = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a));
      _mm512_storeu_si512(pairs + k / 2 * row + at, _mm512_permutexvar_epi16(mix, joined));
    }
}

ATTEND_AVX512_BF16 void pair_queries(const float* s, std::int64_t n, int vectors,
                                     std::uint32_t* pairs) {
  const std::int64_t size = n * vectors * kDotLanes;
  for (std::int64_t at = 0; at < size; at += kDotLanes)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(pairs + at / 2),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(s + at))));
}

void dot_scores(Rows<BFloat16> key, std::int64_t keys, std::int64_t width, const std::uint32_t* qt,
                int vectors, float* s) {
  if (vectors == 4)
    all_scores<4>(key, keys, width, qt, s);
  else if (vectors == 2)
    all_scores<2>(key, keys, width, qt, s);
  else
    all_scores<1>(key, keys, width, qt, s);
}

void dot_values(const std::uint32_t* value, std::int64_t columns, const std::uint32_t* p,
                std::int64_t keys, const float* fade, bool first, int vectors, float* out) {
  const std::int64_t pairs = (keys + 1) / 2;
  if (vectors == 4)
    all_values<4>(value, columns, p, pairs, fade, first, out);
  else if (vectors == 2)
    all_values<2>(value, columns, p, pairs, fade, first, out);
  else
    all_values<1>(value, columns, p, pairs, fade, first, out);
}

void dot_outer(const std::uint32_t* p, std::int64_t keys, int vectors, const std::uint32_t* rows,
               std::int64_t queries, std::int64_t columns, float* out, std::int64_t stride) {
  const std::int64_t p_pitch = vectors * kDotLanes / 2, pitch = pair_pitch(columns),
                     pairs = (queries + 1) / 2;
  std::int64_t c = 0;
  for (; c + 4 * kDotLanes <= columns; c += 4 * kDotLanes)
    outer_strip<4>(p, p_pitch, keys, rows + c, pitch, pairs, __mmask16(-1), out + c, stride);
  for (; c < columns; c += kDotLanes) {
    const std::int64_t rest = columns - c;
    const auto last = rest >= kDotLanes ? __mmask16(-1) : static_cast<__mmask16>((1 << rest) - 1);
    outer_strip<1>(p, p_pitch, keys, rows + c, pitch, pairs, last, out + c, stride);
  }
}

#else  // no such instruction: has_bfloat16_dot() is false and nothing here is called

bool has_bfloat16_dot() { return false; }
void pair_rows(Rows<BFloat16>, std::int64_t, std::int64_t, std::uint32_t*) { std::abort(); }
void pair_scores(const float*, std::int64_t, int, std::uint32_t*) { std::abort(); }
void pair_queries(const float*, std::int64_t, int, std::uint32_t*) { std::abort(); }
void dot_scores(Rows<BFloat16>, std::int64_t, std::int64_t, const std::uint32_t*, int, float*) {
  std::abort();
}
void dot_values(const std::uint32_t*, std::int64_t, const std::uint32_t*, std::int64_t,
                const float*, bool, int, float*) {
  std::abort();
}
void dot_outer(const std::uint32_t*, std::int64_t, int, const std::uint32_t*, std::int64_t,
               std::int64_t, float*, std::int64_t) {
  std::abort();
}

#endif

}  // namespace attend::kernels
