#pragma once
#include <cstdint>

namespace attend::kernels {

/// y[r][c] = (x[r][c] − mean_r) / √(variance_r + eps) · weight[c] + bias[c], the variance over all `width` numbers of the row
/// (Ba et al. 2016). Dense rows; y may be x; bias may be null. The bits do not depend on the number of threads or rows.
struct NormRows {
  std::int64_t rows = 0, width = 0;
  const float *x = nullptr, *weight = nullptr, *bias = nullptr;
  float eps = 1e-5f;
  float* y = nullptr;
};
void norm_rows(const NormRows& p);

/// Attention of one query a row, as decoding asks for it step by step (Vaswani et al. 2017, eq. 1):
///   out[r,h] = Σ_t w_t value(r,t)[h],  w = softmax_t(scale · <query[r,h], key(r,t)[h]>),  t < places of row r
/// A key of all heads lies in `key_row` elements beside its value, `value` elements behind. Where, one of two ways says:
///   memory:  rows / sources rows share a source; place t < length[source] at memory + (source · places + t) · key_row
///   tape:    what step t wrote, one key a hypothesis; row r's at tape[t] + place[r · places + t] · key_row; all rows see `places`
/// A row that sees nothing gives 0. Keys that are not seen are never read. `weights` [rows, places], if given, takes the mean over
/// the heads, 0 where nothing is seen. workspace: step_attention_workspace(p) elements. Same bits for any number of threads.
struct StepAttention {
  std::int64_t rows = 0, heads = 0, width = 0;  // width D of a head
  float scale = 1;
  const float* query = nullptr;
  std::int64_t query_row = 0;
  std::int64_t places = 0, key_row = 0, value = 0;
  const float* memory = nullptr;
  std::int64_t sources = 0;
  const std::int64_t* length = nullptr;
  const float* const* tape = nullptr;
  const std::int32_t* place = nullptr;
  float* out = nullptr;  // [rows, heads · width]
  float* weights = nullptr;
  float* workspace = nullptr;
};
std::int64_t step_attention_workspace(const StepAttention& p);
void step_attention(const StepAttention& p);

/// scores[r][i] ← scores[r][i] − log Σ_j exp(scores[r][j]); a row with a NaN becomes NaN. Dense rows of n ≥ 1 numbers.
void log_softmax_rows(float* scores, std::int64_t rows, std::int64_t n);

/// The k largest numbers of each dense row of n, largest first, of equals the lower index; −∞ is never among them: where there
/// are fewer, index −1. T is float or double. value and index [rows, k]. A row that holds a NaN gets index −2 at its first place, the rest undefined.
template <class T>
struct BestOfRows {
  std::int64_t rows = 0, n = 0, k = 0;
  const T* x = nullptr;
  T* value = nullptr;
  std::int64_t* index = nullptr;
};
template <class T>
void best_of_rows(const BestOfRows<T>& p);

}  // namespace attend::kernels
