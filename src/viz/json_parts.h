#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "attend/viz/report.h"

/// What the data of every page are made of; null for what was not measured, six significant digits.
namespace attend::viz {

using Json = nlohmann::ordered_json;

Json number(double x);
Json numbers(const std::vector<double>& v);  // an empty list is null
Json agreement_json(const Agreement& a);
/// The text of a document with every `<` written \u003c, so that nothing in it can end a script element.
std::string in_script(const Json& page);

}  // namespace attend::viz
