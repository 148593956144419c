#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace attend::interop {

/// One tensor as the header describes it, not yet checked against the file.
struct TensorEntry {
  std::string name, dtype;
  std::vector<std::uint64_t> shape, offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;
  std::map<std::string, std::string> metadata;
};

/// Parses the header's JSON, event by event, so that memory follows the tensors and not the nesting.
/// Throws kBadInput, each message starting with `where`.
SafetensorsHeader parse_header(std::string_view json, const std::string& where);

/// `text` as a JSON string with its quotes; throws kUsage when it isn't UTF-8.
std::string json_string(const std::string& text);

/// For messages: `name` shortened, control bytes replaced.
std::string shown(std::string_view name);

}  // namespace attend::interop
