#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "attend/base/error.h"
#include "data/readers.h"

namespace attend::data {
namespace {

constexpr std::int64_t kMostLabel = 999;  // a label is a class, not a measurement

/// An integer written as one ("07" and "+1" included, "1.0" not).
std::optional<std::int64_t> integer(const std::string& text) {
  const std::size_t skip = text.size() > 1 && text[0] == '+' ? 1 : 0;
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data() + skip, end, value);
  if (result.ptr != end) return std::nullopt;
  // Out of 64 bits is still an integer, only a hopeless one.
  if (result.ec == std::errc::result_out_of_range) return kMostLabel + 1;
  if (result.ec != std::errc()) return std::nullopt;
  return value;
}

std::string at(const RawRow& row) {
  return row.file + (row.line > 0 ? ":" + std::to_string(row.line) : "");
}

std::string shown(const std::string& label) {
  return label.size() <= 40 ? label : label.substr(0, 40) + "…";
}

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < 10; ++i) out += (i ? ", " : "") + shown(names[i]);
  return names.size() > 10 ? out + ", …" : out;
}

using Map = std::map<std::string, std::int64_t>;

void keep_labels_below(const Map& map, std::size_t most, const RawRow& row) {
  if (map.size() > most)
    fail_input(at(row) + ": more than " + std::to_string(most) +
               " different labels; is this the label column?");
}

/// Labels that a run already knows: by name, or 0, 1, … where the names are words.
Map known_labels(const std::vector<RawRow>& rows, const std::vector<std::string>& names) {
  Map map;
  bool are_words = true;
  for (std::size_t i = 0; i < names.size(); ++i) {
    map[names[i]] = static_cast<std::int64_t>(i);
    are_words = are_words && !integer(names[i]);
  }
  for (const RawRow& row : rows) {
    if (map.contains(row.label)) continue;
    const auto value = integer(row.label);
    if (value && are_words && *value >= 0 && *value < static_cast<std::int64_t>(names.size()))
      map[row.label] = *value;
    else
      fail_input(at(row) + ": the label '" + shown(row.label) + "' is not one of " + listed(names));
  }
  return map;
}

Map integer_labels(const std::vector<RawRow>& rows, const LoadOptions& options, bool only_zero_one,
                   std::vector<std::string>& names) {
  std::map<std::int64_t, std::vector<std::string>> spellings;
  Map map;
  for (const RawRow& row : rows) {
    const std::int64_t value = *integer(row.label);
    if (only_zero_one && value != 0 && value != 1)
      fail_input(at(row) + ": the label " + shown(row.label) +
                 " is out of range: this format has 0 and 1; save other labels as .tsv");
    if (value > kMostLabel || value < -kMostLabel)
      fail_input(at(row) + ": the label " + shown(row.label) + " is out of range (" +
                 std::to_string(-kMostLabel) + "…" + std::to_string(kMostLabel) +
                 "): number the classes from 0");
    if (map.emplace(row.label, 0).second) spellings[value].push_back(row.label);
    keep_labels_below(map, options.max_classes, row);
  }
  const bool is_binary = spellings.begin()->first >= 0 && spellings.rbegin()->first <= 1;
  if (is_binary) {
    names = {"negative", "positive"};
    for (const auto& [value, texts] : spellings)
      for (const std::string& text : texts) map[text] = value;
    return map;
  }
  for (const auto& [value, texts] : spellings) {
    for (const std::string& text : texts) map[text] = static_cast<std::int64_t>(names.size());
    names.push_back(std::to_string(value));
  }
  return map;
}

Map word_labels(const std::vector<RawRow>& rows, const LoadOptions& options,
                std::vector<std::string>& names) {
  Map map;
  for (const RawRow& row : rows) {
    map.emplace(row.label, 0);
    keep_labels_below(map, options.max_classes, row);
  }
  for (auto& [label, id] : map) {  // std::string orders by byte, which for UTF-8 is by code point
    id = static_cast<std::int64_t>(names.size());
    names.push_back(label);
  }
  return map;
}

Map map_of(const RawTable& table, const LoadOptions& options, std::vector<std::string>& names) {
  if (!options.label_names.empty()) {
    names = options.label_names;
    return known_labels(table.rows, names);
  }
  const auto is_integer = [](const RawRow& row) { return integer(row.label).has_value(); };
  const auto integers = std::count_if(table.rows.begin(), table.rows.end(), is_integer);
  const bool all = integers == static_cast<std::ptrdiff_t>(table.rows.size());
  if (all) return integer_labels(table.rows, options, table.only_zero_one, names);
  const bool integers_are_rare = 2 * integers < static_cast<std::ptrdiff_t>(table.rows.size());
  for (const RawRow& row : table.rows) {
    if (is_integer(row) == integers_are_rare && integers > 0)
      fail_input(at(row) + ": the label '" + shown(row.label) + "' is " +
                 (integers_are_rare ? "an integer among words" : "a word among integers") +
                 "; use one or the other");
    if (table.only_zero_one && !is_integer(row))
      fail_input(at(row) + ": the label '" + shown(row.label) +
                 "' is out of range: this format has 0 and 1; save other labels as .tsv");
  }
  return word_labels(table.rows, options, names);
}

}  // namespace

Dataset label_rows(RawTable table, const std::string& name, const LoadOptions& options) {
  Dataset out;
  out.name = name;
  out.bad_lines = std::move(table.bad_lines);
  if (table.rows.empty()) {
    if (out.bad_lines.empty()) fail_input(name + ": empty; expected one text and label a line");
    fail_input(name + ": no line could be used; " + describe_bad_lines(out, 1) +
               "; expected a text and a label a line");
  }
  const Map map = map_of(table, options, out.label_names);
  std::set<std::int64_t> seen;
  out.examples.reserve(table.rows.size());
  for (RawRow& row : table.rows) {
    const std::int64_t label = map.at(row.label);
    seen.insert(label);
    out.examples.push_back(
        {std::move(row.text), label, std::move(row.group), std::move(row.file), row.line, {}});
  }
  if (seen.size() < 2 && !options.allow_one_class)
    fail_input(name + ": every row has the label '" +
               shown(out.label_names[static_cast<std::size_t>(*seen.begin())]) +
               "'; training needs rows of at least two classes");
  return out;
}

}  // namespace attend::data
