#pragma once
#include <ATen/core/Tensor.h>

#include <cmath>
#include <functional>
#include <vector>

#include "attend/ops/attention.h"

/// The papers' equations as plain loops in double, written from the equations and sharing nothing with the library.
namespace attend::test {

struct Loops {
  std::vector<double> output, weights;  // [B,H,Lq,Dv], [B,H,Lq,Lk]
};

/// May query i of row b, head h see key j? From the words of AttentionOptions, one clause a sentence.
inline bool may_attend(const AttentionOptions& o, std::int64_t b, std::int64_t h, std::int64_t i,
                       std::int64_t j, std::int64_t lq, std::int64_t lk) {
  const std::int64_t nq = o.query_lengths.defined() ? o.query_lengths[b].item<std::int64_t>() : lq;
  const std::int64_t nk = o.key_lengths.defined() ? o.key_lengths[b].item<std::int64_t>() : lk;
  if (i >= nq || j >= nk) return false;
  const std::int64_t place = o.alignment == Alignment::kLast ? i + nk - nq : i;
  if (o.causal && j > place) return false;
  if (o.window_left >= 0 && j < place - o.window_left) return false;
  if (o.window_right >= 0 && j > place + o.window_right) return false;
  if (o.mask.defined()) {
    const at::Tensor m =
        o.mask.dim() == 4 ? o.mask : o.mask.view({1, 1, o.mask.size(-2), o.mask.size(-1)});
    const auto at0 = [&](std::int64_t d, std::int64_t x) { return m.size(d) == 1 ? 0 : x; };
    return m[at0(0, b)][at0(1, h)][at0(2, i)][at0(3, j)].item<bool>();
  }
  return true;
}

/// softmax over the keys that `sees` admits of score(b,h,i,j), times `after` (1 for a plain softmax), applied to value.
inline Loops attention_by_loops(std::int64_t B, std::int64_t H, std::int64_t Lq, std::int64_t Lk,
                                std::int64_t Dv,
                                const std::function<bool(int, int, int, int)>& sees,
                                const std::function<double(int, int, int, int)>& score,
                                const std::function<double(int, int, int, int)>& value,
                                const std::function<double(int, int, int, int)>& after = {}) {
  Loops out{std::vector<double>(B * H * Lq * Dv), std::vector<double>(B * H * Lq * Lk)};
  for (int b = 0; b < B; ++b)
    for (int h = 0; h < H; ++h)
      for (int i = 0; i < Lq; ++i) {
        const std::size_t row = (b * H + h) * Lq + i;
        double total = 0;
        std::vector<double> e(Lk, 0.0);
        double largest = -INFINITY;
        for (int j = 0; j < Lk; ++j)
          if (sees(b, h, i, j)) largest = std::max(largest, score(b, h, i, j));
        for (int j = 0; j < Lk; ++j)
          if (sees(b, h, i, j)) total += e[j] = std::exp(score(b, h, i, j) - largest);
        for (int j = 0; j < Lk; ++j) {
          if (!sees(b, h, i, j)) continue;
          const double w = e[j] / total * (after ? after(b, h, i, j) : 1.0);
          out.weights[row * Lk + j] = w;
          for (int d = 0; d < Dv; ++d) out.output[row * Dv + d] += w * value(b, h, j, d);
        }
      }
  return out;
}

}  // namespace attend::test
