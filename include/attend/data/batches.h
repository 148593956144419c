#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace attend::data {

/// How long the two sides of a pair are, in tokens; target 0 for one-sided data.
struct PairLength {
  std::int64_t source = 0;
  std::int64_t target = 0;
};

struct BatchOptions {
  std::int64_t max_tokens = 4096;  // rows · longest side of the batch, padding counted; at least 1
  std::int64_t max_rows = 0;       // 0: no limit
  std::uint64_t seed = 0;
  bool shuffle = true;  // false: batches by length, the shortest first, as for evaluation
};

/// The batches of one epoch as places in `lengths`: every place once, pairs of like length
/// together, so that little is padding. With shuffle, pairs of equal length and the order of the
/// batches are mixed anew each epoch. A pair longer than max_tokens is a batch of its own.
///
/// A pure function of its arguments: a run that stopped goes on at batch k of epoch e by asking
/// for epoch e again and leaving out the first k. Throws kUsage for max_tokens < 1 or max_rows < 0,
/// kBadInput for a negative length. Cost: n log n.
std::vector<std::vector<std::size_t>> length_batches(const std::vector<PairLength>& lengths,
                                                     const BatchOptions& options,
                                                     std::int64_t epoch = 0);

/// Share of cells that are padding when the batches are padded to their longest source and target.
double padding_share(const std::vector<PairLength>& lengths,
                     const std::vector<std::vector<std::size_t>>& batches);

}  // namespace attend::data
