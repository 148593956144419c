#pragma once
#include <nlohmann/json.hpp>
#include <vector>

#include "attend/explain/agreement.h"
#include "attend/explain/self_attention.h"

/// What the documents of this room are made of; null for what was not measured.
namespace attend::explain {

using Json = nlohmann::ordered_json;

Json number(double x);
Json numbers(const std::vector<double>& v);  // an empty list is null
Json matrix(const std::vector<std::vector<double>>& rows);
Json agreement_json(const Agreement& a);
Json comparison_json(const RowComparison& c);

/// One {"name": "self", "layer", "head", "query", "key", "weights"} a map.
Json self_attention_json(const std::vector<SelfAttention>& maps, const Json& tokens);

}  // namespace attend::explain
