#include "attend/data/alignment.h"

#include <charconv>
#include <set>

#include "attend/base/error.h"

namespace attend::data {
namespace {

constexpr std::int64_t kMostPlaces = (std::int64_t{1} << 31) - 1;

/// The number at the front of `text`, which loses it; -1 when there is none.
std::int64_t take_number(std::string_view& text) {
  std::int64_t value = -1;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || text.front() == '-' || value > kMostPlaces) return -1;
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
  return value;
}

Link parse_link(std::string_view word) {
  const auto fail = [word]() -> Link {
    fail_input("'" + std::string(word.substr(0, 40)) +
               "' is no link of an alignment; expected SOURCE-TARGET (sure) or SOURCE?TARGET "
               "(possible), places from 0");
  };
  std::string_view rest = word;
  Link link;
  link.source = take_number(rest);
  if (link.source < 0 || rest.empty()) return fail();
  const char kind = rest.front();
  if (kind != '-' && kind != '?' && kind != 'p') return fail();
  link.is_sure = kind == '-';
  rest.remove_prefix(1);
  if (rest.empty()) return fail();
  link.target = take_number(rest);
  if (link.target < 0 || !rest.empty()) return fail();
  return link;
}

}  // namespace

std::string to_pharaoh(const Alignment& alignment) {
  std::string out;
  for (const Link& link : alignment) {
    if (!out.empty()) out += ' ';
    out += std::to_string(link.source) + (link.is_sure ? '-' : '?') + std::to_string(link.target);
  }
  return out;
}

Alignment parse_pharaoh(std::string_view line) {
  Alignment out;
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  while (!line.empty()) {
    const std::size_t start = line.find_first_not_of(" \r");
    if (start == std::string_view::npos) break;
    line.remove_prefix(start);
    const std::string_view word = line.substr(0, line.find_first_of(" \r"));
    out.push_back(parse_link(word));
    if (!seen.emplace(out.back().source, out.back().target).second)
      fail_input("the link '" + std::string(word) + "' occurs twice");
    line.remove_prefix(word.size());
  }
  return out;
}

}  // namespace attend::data
