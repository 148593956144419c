#include "attend/data/batches.h"

#include <algorithm>

#include "attend/base/error.h"
#include "attend/base/random.h"

namespace attend::data {
namespace {

template <class T>
void mix(std::vector<T>& items, Random& random) {
  for (std::size_t i = items.size(); i > 1; --i)
    std::swap(items[i - 1], items[static_cast<std::size_t>(random.below(i))]);
}

std::int64_t longest_side(const PairLength& length) {
  return std::max({length.source, length.target, std::int64_t{1}});
}

void check_batches(const std::vector<PairLength>& lengths, const BatchOptions& options) {
  if (options.max_tokens < 1)
    fail_usage("length_batches: max_tokens is " + std::to_string(options.max_tokens) +
               "; give 1 or more");
  if (options.max_rows < 0)
    fail_usage("length_batches: max_rows is " + std::to_string(options.max_rows) +
               "; give 0 (no limit) or more");
  for (std::size_t i = 0; i < lengths.size(); ++i)
    if (lengths[i].source < 0 || lengths[i].target < 0)
      fail_input("length_batches: pair " + std::to_string(i) + " has a negative length");
}

}  // namespace

std::vector<std::vector<std::size_t>> length_batches(const std::vector<PairLength>& lengths,
                                                     const BatchOptions& options,
                                                     std::int64_t epoch) {
  check_batches(lengths, options);
  std::vector<std::size_t> order(lengths.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  Random random(options.seed, Purpose::kShuffle, static_cast<std::uint64_t>(epoch));
  if (options.shuffle) mix(order, random);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const std::int64_t x = longest_side(lengths[a]), y = longest_side(lengths[b]);
    return x != y ? x < y : lengths[a].source < lengths[b].source;
  });
  std::vector<std::vector<std::size_t>> out;
  for (const std::size_t place : order) {  // ascending: the newest is the longest of its batch
    const std::size_t rows = out.empty() ? 0 : out.back().size() + 1;
    const auto many = static_cast<std::int64_t>(rows);
    const bool is_full = rows == 0 || many > options.max_tokens / longest_side(lengths[place]) ||
                         (options.max_rows > 0 && many > options.max_rows);
    if (is_full) out.emplace_back();
    out.back().push_back(place);
  }
  if (options.shuffle) mix(out, random);
  return out;
}

double padding_share(const std::vector<PairLength>& lengths,
                     const std::vector<std::vector<std::size_t>>& batches) {
  double cells = 0, used = 0;
  for (const auto& batch : batches) {
    PairLength most;
    for (const std::size_t place : batch) {
      most.source = std::max(most.source, lengths[place].source);
      most.target = std::max(most.target, lengths[place].target);
      used += static_cast<double>(lengths[place].source + lengths[place].target);
    }
    cells += static_cast<double>(batch.size()) * static_cast<double>(most.source + most.target);
  }
  return cells > 0 ? 1 - used / cells : 0;
}

}  // namespace attend::data
