#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

// What a search does to the scores of a vocabulary.
namespace attend {

/// scores [N,V] ← log softmax of each row, in place; float, dense, on the CPU, V ≥ 1. Throws Error(kUsage) otherwise.
void log_softmax_in_place(const at::Tensor& scores);

/// The k largest of each row of scores [N,V] and their indices, both [N,k]: largest first, of equals the lower index. −∞ is never
/// among them: where there are fewer, index kBestOfNone. A row with a NaN has index kBestOfNaN in front. float, or double (slower).
inline constexpr std::int64_t kBestOfNone = -1, kBestOfNaN = -2;
std::tuple<at::Tensor, at::Tensor> best_of_rows(const at::Tensor& scores, std::int64_t k);

}  // namespace attend
