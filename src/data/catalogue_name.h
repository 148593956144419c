#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attend/data/catalogue.h"

namespace attend::data {

/// A catalogue name taken apart: "uci-sentiment:amazon+yelp" is set uci-sentiment with parts
/// amazon, yelp.
struct CatalogueName {
  const CatalogueSet* set = nullptr;  // nullptr: no set of that name
  std::vector<std::string> parts;
};
CatalogueName take_apart(std::string_view name);

/// The same, throwing kBadInput with the nearest names when there is no such set.
CatalogueName require_set(const std::string& name);

/// kBadInput: no set and no file of that name; with the nearest sets.
[[noreturn]] void fail_unknown_set(const std::string& asked);

/// kIo: the set's files are missing, and what to do about it.
[[noreturn]] void fail_not_here(const CatalogueSet& set, const std::string& asked);

/// kBadInput: the set has no such variant; names those there are.
[[noreturn]] void fail_variant(const CatalogueSet& set, const std::string& asked);

/// Throws kBadInput when the set is for another task.
void require_task(const CatalogueSet& set, const std::string& task);

/// describe_balance and the like of every part of the set, for `data info`.
using PartNotes = std::vector<std::pair<std::string, std::string>>;
PartNotes describe_pairs_of(const CatalogueSet& set);
PartNotes describe_text_of(const CatalogueSet& set);
PartNotes describe_captions_of(const CatalogueSet& set);
PartNotes describe_images_of(const CatalogueSet& set);

/// The sets of images, with captions or labels.
std::vector<CatalogueSet> image_sets();

}  // namespace attend::data
