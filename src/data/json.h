#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace attend::data {

/// Parses one JSON document; throws kBadInput "NAME: …" when it is not JSON, nests deeper than 64
/// or repeats a key.
nlohmann::json parse_json(std::string_view text, const std::string& name);

/// The tokens of a tokenizer.json's model.vocab by id. Throws kBadInput, naming the token, unless
/// it is an object whose values are 0…n−1, each once.
std::vector<std::string> tokens_by_id(const nlohmann::json& vocab, const std::string& name);

}  // namespace attend::data
