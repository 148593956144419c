#pragma once
#include <cstdint>

#include "attend/kernels/bfloat16.h"
#include "kernels/attention/ahead.h"

/// The tiles of kernels/sdpa/tile-inl.h in bfloat16, for CPUs with AVX512_BF16, whose one instruction multiplies pairs of
/// bfloat16 and adds both products to a float: twice the rate of float. What is multiplied lies in pairs of 32 bits along the
/// summed dimension. `vectors` (1, 2 or 4) are those of 16 queries in a row of [·][queries] arrays.
namespace attend::kernels {

/// Whether this CPU has the instruction, and allow_bfloat16_dot has not switched its use off.
bool has_bfloat16_dot();
/// For tests: false makes every machine convert to float.
void allow_bfloat16_dot(bool allow);

/// Called by a kernel with what it does, for sdpa_used_bfloat16_dot.
void note_bfloat16_dot(bool used);

/// Columns of an array of pairs whose rows hold `columns`.
inline std::int64_t pair_pitch(std::int64_t columns) { return (columns + 31) / 32 * 32; }

/// pairs[k/2][c] = (row_k[c], row_{k+1}[c]), rows of pair_pitch(columns); zeros beyond n and columns.
void pair_rows(Rows<BFloat16> rows, std::int64_t n, std::int64_t columns, std::uint32_t* pairs);
/// pairs[k/2][i] = (s[k][i], s[k+1][i]) of n rows of queries, rounded; may be in place.
void pair_scores(const float* s, std::int64_t n, int vectors, std::uint32_t* pairs);
/// pairs[k][i/2] = (s[k][i], s[k][i+1]), rounded; may be in place, with rows half as long.
void pair_queries(const float* s, std::int64_t n, int vectors, std::uint32_t* pairs);

/// s[k][i] = <key_k, q_i>; width even, qt[c/2][i] = (q_i[c], q_i[c+1]).
void dot_scores(Rows<BFloat16> key, std::int64_t keys, std::int64_t width, const std::uint32_t* qt,
                int vectors, float* s);
/// out[c][i] = fade[i] · out[c][i] + Σ_k value[k][c] p[k][i], both in pairs of keys; `first`: out is not read.
void dot_values(const std::uint32_t* value, std::int64_t columns, const std::uint32_t* p,
                std::int64_t keys, const float* fade, bool first, int vectors, float* out);
/// out[k][c] += Σ_i p[k][i] row_i[c], both in pairs of queries.
void dot_outer(const std::uint32_t* p, std::int64_t keys, int vectors, const std::uint32_t* rows,
               std::int64_t queries, std::int64_t columns, float* out, std::int64_t stride);

}  // namespace attend::kernels
