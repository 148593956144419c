#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace attend::data {

/// Parses one JSON document; throws kBadInput "NAME: …" when it is not JSON, nests deeper than 64
/// or repeats a key.
nlohmann::json parse_json(std::string_view text, const std::string& name);

}  // namespace attend::data
