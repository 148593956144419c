#include <algorithm>

#include "attend/base/error.h"
#include "data/readers.h"

namespace attend::data {
namespace {

constexpr const char* kTextNames[] = {"text", "sentence", "review"};
constexpr const char* kLabelNames[] = {"label", "class", "sentiment"};

std::string plain(const std::string& field) {
  std::string out = trim(field);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

template <std::size_t N>
std::size_t place_of(const std::vector<std::string>& fields, const std::string& asked,
                     const char* const (&known)[N]) {
  if (!asked.empty()) {
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (trim(fields[i]) == asked) return i;
    return fields.size();
  }
  for (const char* name : known)
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (plain(fields[i]) == name) return i;
  return fields.size();
}

std::string joined(const std::vector<std::string>& fields) {
  std::string out;
  for (std::size_t i = 0; i < fields.size() && i < 20; ++i)
    out += (i ? ", " : "") + trim(fields[i]).substr(0, 40);
  return out;
}

}  // namespace

std::string trim(const std::string& text) {
  constexpr char kSpace[] = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::int64_t count_words(std::string_view text) {
  std::int64_t out = 0;
  bool is_inside = false;
  for (const char c : text) {
    const bool is_blank = c == ' ' || (c >= '\t' && c <= '\r');
    out += !is_blank && !is_inside;
    is_inside = !is_blank;
  }
  return out;
}

bool next_text(LineReader& lines, RawTable& table, std::string& line) {
  while (lines.next(line)) {
    drop_carriage_return(line);
    if (line.empty()) continue;
    const std::string problem = problem_of(line);
    if (problem.empty()) return true;
    table.bad_lines.push_back({lines.name(), lines.number(), problem});
  }
  return false;
}

Columns find_columns(const std::vector<std::string>& first, const LoadOptions& options,
                     const std::string& name, std::int64_t line) {
  const std::size_t none = first.size();
  Columns out;
  out.text = place_of(first, options.text_column, kTextNames);
  out.label = place_of(first, options.label_column, kLabelNames);
  const bool asked = !options.text_column.empty() || !options.label_column.empty();
  if (out.text == none && out.label == none && !asked) return Columns{};
  out.has_header = true;
  out.count = first.size();
  for (const bool is_text : {true, false}) {
    if ((is_text ? out.text : out.label) != none) continue;
    const std::string& wanted = is_text ? options.text_column : options.label_column;
    const std::string what = is_text ? "text" : "label";
    fail_input(name + ":" + std::to_string(line) + ": no " + what + " column" +
               (wanted.empty() ? "" : " '" + wanted + "'") + " among: " + joined(first) +
               "; rename one to '" + (wanted.empty() ? what : wanted) + "' or set " + what +
               "_column");
  }
  return out;
}

void add_row(const std::vector<std::string>& fields, const Columns& columns,
             const std::string& name, std::int64_t line, RawTable& table) {
  const auto bad = [&](const std::string& reason) {
    table.bad_lines.push_back({name, line, reason});
  };
  if (fields.size() == 1 && columns.count > 1) return bad("no label: one column only");
  if (fields.size() != columns.count)
    return bad(std::to_string(fields.size()) + " columns instead of " +
               std::to_string(columns.count));
  const std::string text = trim(fields[columns.text]);
  const std::string label = trim(fields[columns.label]);
  if (text.empty()) return bad("the text is empty");
  if (label.empty()) return bad("the label is empty");
  table.rows.push_back({fields[columns.text], label, name, line, ""});
}

}  // namespace attend::data
