#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "attend/kernels/local.h"

namespace attend::kernels {

/// Queries of one task, and keys of one task of backward: fixed, so that sums do not depend on the number of threads.
inline constexpr std::int64_t kLocalQueries = 32, kLocalKeys = 64;

/// The keys j < length with |j − centre| ≤ window, the difference rounded as T rounds it (so the definition in ATen has it).
template <class T>
KeySpan local_window(const LocalForward<T>& p, std::int64_t b, std::int64_t i) {
  if (p.spans) return p.spans[b * p.queries + i];
  const T centre = p.centre[b * p.queries + i];
  const std::int64_t length = p.key_lengths ? p.key_lengths[b] : p.keys;
  const T radius = static_cast<T>(p.window);
  const auto near = [&](std::int64_t j) { return std::abs(static_cast<T>(j) - centre) <= radius; };
  const double c = centre, r = static_cast<double>(p.window), most = static_cast<double>(length);
  if (!(c + r >= -1 && c - r <= most)) return {};  // misses the row, or NaN
  std::int64_t begin = static_cast<std::int64_t>(std::clamp(std::ceil(c - r) - 1, 0.0, most));
  std::int64_t end = static_cast<std::int64_t>(std::clamp(std::floor(c + r) + 2, 0.0, most));
  while (begin < end && !near(begin)) ++begin;
  while (begin < end && !near(end - 1)) --end;
  return {begin, end - begin};
}

/// Blocks of keys in a row: one task of backward's second pass each.
template <class T>
std::int64_t local_key_blocks(const LocalForward<T>& p) {
  return (p.keys + kLocalKeys - 1) / kLocalKeys;
}

/// Queries of a row by the block of keys in which their window begins, ascending in each block; a counting sort. Queries without
/// keys are in none.
template <class T>
struct LocalOrder {
  LocalOrder(const LocalBackward<T>& q, std::int64_t b)
      : forward(q.forward),
        row(b),
        blocks(local_key_blocks(q.forward)),
        query(q.places + b * (q.forward.queries + blocks + 1)),
        first(query + q.forward.queries) {}

  void sort() const {
    std::fill_n(first, blocks + 1, std::int64_t(0));
    each([&](std::int64_t, std::int64_t block) { ++first[block]; });
    for (std::int64_t block = 0; block < blocks; ++block) first[block + 1] += first[block];
    each([&](std::int64_t i, std::int64_t block) { query[--first[block]] = i; });
  }

  const LocalForward<T>& forward;
  std::int64_t row, blocks;
  std::int64_t* query;  // [Lq]
  std::int64_t*
      first;  // [blocks + 1]: those of block k are query[first[k]] … query[first[k + 1] − 1]

 private:
  template <class Act>
  void each(
      const Act& act) const {  // from the last, so that placing from the end leaves them ascending
    for (std::int64_t i = forward.queries - 1; i >= 0; --i)
      if (const KeySpan w = local_window(forward, row, i); w.count > 0)
        act(i, w.begin / kLocalKeys);
  }
};

/// The longest window there can be.
template <class T>
std::int64_t local_span(const LocalForward<T>& p) {
  return std::min(p.keys, 2 * std::min(p.window, p.keys) + 1);
}

template <class T>
std::int64_t local_query_tasks(const LocalForward<T>& p) {
  return p.batch * ((p.queries + kLocalQueries - 1) / kLocalQueries);
}

/// What one task of the first pass of backward needs for itself: softmax, Gaussian and slopes of one window, and its share of
/// grad_score_weight.
template <class T>
std::int64_t local_task_scratch(const LocalForward<T>& p) {
  return 3 * local_span(p) + (p.score_weight ? p.width : 0);
}

}  // namespace attend::kernels
