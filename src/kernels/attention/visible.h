#pragma once
#include <algorithm>
#include <cstdint>

#include "attend/kernels/sdpa.h"

namespace attend::kernels {

/// Keys [begin, end) of one query: lengths, causal and window are always an interval. Empty: begin = end.
struct KeyRange {
  std::int64_t begin = 0, end = 0;
};

inline KeyRange visible_keys(const Visibility& v, std::int64_t batch, std::int64_t query,
                             std::int64_t queries, std::int64_t keys) {
  const std::int64_t nq = v.query_lengths ? v.query_lengths[batch] : queries;
  const std::int64_t nk = v.key_lengths ? v.key_lengths[batch] : keys;
  if (query >= nq) return {};
  const std::int64_t place = v.align_last ? query + nk - nq : query;
  KeyRange r{0, nk};
  if (v.causal) r.end = std::min(r.end, place + 1);
  // A window wider than the keys hides nothing; comparing first keeps place + window from overflowing.
  if (v.window_left >= 0 && v.window_left < queries + keys)
    r.begin = std::max(r.begin, place - v.window_left);
  if (v.window_right >= 0 && v.window_right < queries + keys)
    r.end = std::min(r.end, place + v.window_right + 1);
  return r.begin < r.end ? r : KeyRange{};
}

}  // namespace attend::kernels
