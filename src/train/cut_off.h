#pragma once
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "attend/base/random.h"

namespace attend::train {

/// Moves `share` of the rows, chosen by seed and index, out of `from`; both keep their order.
template <class Row>
std::vector<Row> cut_off(std::vector<Row>& from, double share, std::uint64_t seed,
                         std::uint64_t index) {
  const auto n = static_cast<std::int64_t>(from.size());
  const auto wanted = static_cast<std::int64_t>(share * static_cast<double>(n));
  std::vector<std::int64_t> places(from.size());
  std::iota(places.begin(), places.end(), std::int64_t{0});
  Random random(seed, Purpose::kSplit, index);
  for (std::int64_t i = n - 1; i > 0; --i)
    std::swap(places[static_cast<std::size_t>(i)],
              places[random.below(static_cast<std::uint64_t>(i + 1))]);
  std::vector<bool> moved(from.size(), false);
  for (std::int64_t i = 0; i < wanted; ++i)
    moved[static_cast<std::size_t>(places[static_cast<std::size_t>(i)])] = true;
  std::vector<Row> out, kept;
  for (std::size_t i = 0; i < from.size(); ++i)
    (moved[i] ? out : kept).push_back(std::move(from[i]));
  from = std::move(kept);
  return out;
}

}  // namespace attend::train
