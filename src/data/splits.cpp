#include "attend/data/splits.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <unordered_map>

#include "attend/base/error.h"
#include "attend/base/random.h"

namespace attend::data {
namespace {

/// Examples that stay together: one group, or one example without a group.
struct Unit {
  std::vector<std::size_t> places;
  std::vector<std::int64_t> counts;  // per class
};

std::vector<Unit> units_of(const Dataset& set) {
  std::vector<Unit> units;
  std::unordered_map<std::string, std::size_t> unit_of_group;
  for (std::size_t i = 0; i < set.examples.size(); ++i) {
    const Example& example = set.examples[i];
    std::size_t unit = units.size();
    if (!example.group.empty()) unit = unit_of_group.emplace(example.group, unit).first->second;
    if (unit == units.size()) {
      units.emplace_back();
      units.back().counts.resize(set.label_names.size());
    }
    units[unit].places.push_back(i);
    ++units[unit].counts.at(static_cast<std::size_t>(example.label));
  }
  return units;
}

void shuffle(std::vector<Unit>& units, std::uint64_t seed) {
  Random random(seed, Purpose::kSplit);
  for (std::size_t i = units.size(); i > 1; --i)
    std::swap(units[i - 1], units[static_cast<std::size_t>(random.below(i))]);
}

/// floor(n · (1 − fraction)), as Keras rounds.
std::size_t train_size(const Dataset& set, double fraction) {
  if (!(fraction > 0.0 && fraction < 1.0))
    fail_usage("split: the fraction is " + std::to_string(fraction) +
               "; give a number between 0 and 1");
  const std::size_t n = set.examples.size();
  return static_cast<std::size_t>(std::floor(static_cast<double>(n) * (1.0 - fraction)));
}

Split checked(Split split, double fraction) {
  if (split.train.empty() || split.held_out.empty())
    fail_input("split: " + std::to_string(split.train.size() + split.held_out.size()) +
               " rows with fraction " + std::to_string(fraction) + " would leave " +
               (split.train.empty() ? "nothing to train on" : "nothing held out") +
               "; give more rows or another fraction");
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.held_out.begin(), split.held_out.end());
  return split;
}

void append(std::vector<std::size_t>& to, const std::vector<std::size_t>& places) {
  to.insert(to.end(), places.begin(), places.end());
}

/// How many of each class to hold out so that they add up to `total`: largest remainders first.
std::vector<std::int64_t> class_targets(const std::vector<std::int64_t>& counts, std::int64_t n,
                                        std::int64_t total) {
  std::vector<std::int64_t> targets;
  std::vector<std::pair<double, std::size_t>> remainders;
  std::int64_t given = 0;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const double share =
        static_cast<double>(counts[c]) * static_cast<double>(total) / static_cast<double>(n);
    targets.push_back(static_cast<std::int64_t>(std::floor(share)));
    remainders.emplace_back(static_cast<double>(targets[c]) - share, c);
    given += targets[c];
  }
  std::sort(remainders.begin(), remainders.end());
  for (std::size_t i = 0; given < total && i < remainders.size(); ++i, ++given)
    ++targets[remainders[i].second];
  return targets;
}

/// Would holding this unit out bring the class counts nearer to their targets?
bool brings_nearer(const std::vector<std::int64_t>& held, const std::vector<std::int64_t>& targets,
                   const Unit& unit) {
  std::int64_t change = 0;  // of Σ (held − target)²
  for (std::size_t c = 0; c < held.size(); ++c)
    change += unit.counts[c] * (2 * (held[c] - targets[c]) + unit.counts[c]);
  return change < 0;
}

/// The fold whose class counts (or size) are furthest behind where this unit adds to them; then the
/// smallest.
std::size_t fold_for(const Unit& unit, const std::vector<std::vector<std::int64_t>>& folds,
                     const std::vector<std::size_t>& sizes,
                     const std::vector<std::int64_t>& totals) {
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t f = 0; f < folds.size(); ++f) {
    double overlap = 0.0;
    for (std::size_t c = 0; c < totals.size(); ++c)
      if (unit.counts[c] > 0)
        overlap += static_cast<double>(folds[f][c]) * static_cast<double>(unit.counts[c]) /
                   (static_cast<double>(totals[c]) * static_cast<double>(totals[c]));
    if (overlap < least || (overlap == least && sizes[f] < sizes[best])) {
      least = overlap;
      best = f;
    }
  }
  return best;
}

}  // namespace

Split split_last(const Dataset& set, double fraction) {
  const std::size_t first_held_out = train_size(set, fraction);
  Split out;
  for (const Unit& unit : units_of(set))
    append(unit.places.front() < first_held_out ? out.train : out.held_out, unit.places);
  return checked(std::move(out), fraction);
}

Split split_shuffled(const Dataset& set, double fraction, std::uint64_t seed) {
  std::size_t room = set.examples.size() - train_size(set, fraction);
  std::vector<Unit> units = units_of(set);
  shuffle(units, seed);
  Split out;
  for (const Unit& unit : units) {
    const bool fits = unit.places.size() <= room;
    append(fits ? out.held_out : out.train, unit.places);
    if (fits) room -= unit.places.size();
  }
  return checked(std::move(out), fraction);
}

Split split_stratified(const Dataset& set, double fraction, std::uint64_t seed) {
  const auto n = static_cast<std::int64_t>(set.examples.size());
  const auto total = n - static_cast<std::int64_t>(train_size(set, fraction));
  std::vector<Unit> units = units_of(set);
  shuffle(units, seed);
  const std::vector<std::int64_t> targets =
      class_targets(class_counts(set), std::max<std::int64_t>(n, 1), total);
  std::vector<std::int64_t> held(targets.size());
  Split out;
  for (const Unit& unit : units) {
    const bool hold = brings_nearer(held, targets, unit);
    append(hold ? out.held_out : out.train, unit.places);
    for (std::size_t c = 0; hold && c < held.size(); ++c) held[c] += unit.counts[c];
  }
  return checked(std::move(out), fraction);
}

std::vector<Split> k_fold(const Dataset& set, std::int64_t k, std::uint64_t seed, bool stratified) {
  std::vector<Unit> units = units_of(set);
  if (k < 2 || k > static_cast<std::int64_t>(units.size()))
    fail_usage("k_fold: k is " + std::to_string(k) + "; give 2…" + std::to_string(units.size()) +
               " (the number of " + (units.size() == set.examples.size() ? "rows)" : "groups)"));
  std::vector<std::int64_t> totals = class_counts(set);
  if (!stratified) {  // all rows count as one class
    totals.assign(1, static_cast<std::int64_t>(set.examples.size()));
    for (Unit& unit : units) unit.counts.assign(1, static_cast<std::int64_t>(unit.places.size()));
  }
  shuffle(units, seed);
  std::stable_sort(units.begin(), units.end(),
                   [](const Unit& a, const Unit& b) { return a.places.size() > b.places.size(); });
  const auto folds = static_cast<std::size_t>(k);
  std::vector<std::vector<std::int64_t>> counts(folds, std::vector<std::int64_t>(totals.size()));
  std::vector<std::size_t> sizes(folds);
  std::vector<Split> out(folds);
  for (const Unit& unit : units) {
    const std::size_t chosen = fold_for(unit, counts, sizes, totals);
    for (std::size_t c = 0; c < totals.size(); ++c) counts[chosen][c] += unit.counts[c];
    sizes[chosen] += unit.places.size();
    for (std::size_t f = 0; f < folds; ++f)
      append(f == chosen ? out[f].held_out : out[f].train, unit.places);
  }
  for (Split& split : out) split = checked(std::move(split), 1.0 / static_cast<double>(k));
  return out;
}

Dataset subset(const Dataset& set, std::span<const std::size_t> places) {
  Dataset out;
  out.name = set.name;
  out.label_names = set.label_names;
  out.examples.reserve(places.size());
  for (const std::size_t place : places) out.examples.push_back(set.examples.at(place));
  return out;
}

std::vector<std::int64_t> class_counts(const Dataset& set) {
  std::vector<std::int64_t> counts(set.label_names.size());
  for (const Example& example : set.examples) ++counts.at(static_cast<std::size_t>(example.label));
  return counts;
}

std::string describe_balance(const Dataset& set) {
  const std::size_t n = set.examples.size();
  std::string out = std::to_string(n) + (n == 1 ? " row" : " rows");
  const std::vector<std::int64_t> counts = class_counts(set);
  for (std::size_t c = 0; c < counts.size(); ++c) {
    char share[32];
    std::snprintf(share, sizeof share, " (%.1f %%)",
                  n == 0 ? 0.0 : 100.0 * static_cast<double>(counts[c]) / static_cast<double>(n));
    out += (c == 0 ? ": " : ", ") + set.label_names[c] + " " + std::to_string(counts[c]) + share;
  }
  return out;
}

}  // namespace attend::data
