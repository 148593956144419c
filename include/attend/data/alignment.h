#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace attend::data {

/// One word pair of an alignment: places of a source and a target token, from 0. A sure link is one
/// that every annotator would draw; a possible link is one that is not wrong (Och and Ney 2003).
struct Link {
  std::int64_t source = 0;
  std::int64_t target = 0;
  bool is_sure = true;
  bool operator==(const Link&) const = default;
};
using Alignment = std::vector<Link>;

/// Pharaoh format: links separated by spaces, `3-4` a sure one, `3?4` or `3p4` a possible one.
/// Writes possible links with '?'.
std::string to_pharaoh(const Alignment& alignment);

/// Reads one line of it; an empty line is an empty alignment. Throws kBadInput, naming the link,
/// for anything else, for a place over 2^31 − 1 and for a link that occurs twice.
Alignment parse_pharaoh(std::string_view line);

}  // namespace attend::data
