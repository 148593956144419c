#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attend/data/dataset.h"

namespace attend::data {

/// Places in Dataset::examples, each list ascending (kLast, stratified, k-fold) so that a subset
/// keeps its order.
struct Split {
  std::vector<std::size_t> train;
  std::vector<std::size_t> held_out;
};

/// Every split keeps examples of one group on one side. `fraction` is the share held out, in (0,
/// 1). All throw kUsage for a fraction outside that and kBadInput when a side would be empty,
/// naming the sizes.

/// Keras' validation_split: the last rows, before any shuffling; the first floor(n · (1 −
/// fraction)) train. With groups: a group is held out when its first example lies in the last part.
Split split_last(const Dataset& set, double fraction);

/// n − floor(n · (1 − fraction)) examples at random, a pure function of the seed. With groups as
/// many as fit under that.
Split split_shuffled(const Dataset& set, double fraction, std::uint64_t seed);

/// The same with the share of each class kept (within one example when there are no groups).
Split split_stratified(const Dataset& set, double fraction, std::uint64_t seed);

/// k splits whose held-out parts cover the set without overlap; sizes and (stratified) class shares
/// as even as the groups allow. Throws kUsage unless 2 ≤ k ≤ number of groups.
std::vector<Split> k_fold(const Dataset& set, std::int64_t k, std::uint64_t seed,
                          bool stratified = true);

/// The chosen examples in the order given, with the set's name and label names (not its bad lines).
Dataset subset(const Dataset& set, std::span<const std::size_t> places);

/// Number of examples of each class, in order of label_names.
std::vector<std::int64_t> class_counts(const Dataset& set);

/// "2000 rows: negative 1000 (50.0 %), positive 1000 (50.0 %)".
std::string describe_balance(const Dataset& set);

}  // namespace attend::data
