#pragma once
#include <string>
#include <string_view>
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

}  // namespace attend::data
