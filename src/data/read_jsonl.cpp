#include "attend/base/error.h"
#include "data/json.h"
#include "data/readers.h"

namespace attend::data {
namespace {

using nlohmann::json;

const json* member(const json& object, const std::string& asked,
                   std::initializer_list<const char*> known) {
  if (!asked.empty()) return object.contains(asked) ? &object.at(asked) : nullptr;
  for (const char* name : known)
    if (object.contains(name)) return &object.at(name);
  return nullptr;
}

/// The row of one object, or why there is none.
std::string row_of(const json& object, const LoadOptions& options, RawRow& row) {
  if (!object.is_object()) return "not an object";
  const json* text = member(object, options.text_column, {"text", "sentence", "review"});
  const json* label = member(object, options.label_column, {"label", "class", "sentiment"});
  if (text == nullptr) return "no text: the key 'text' is missing";
  if (label == nullptr) return "no label: the key 'label' is missing";
  if (!text->is_string()) return "the text is not a string";
  row.text = text->get<std::string>();
  if (row.text.find('\0') != std::string::npos) return "a NUL in the text";
  if (trim(row.text).empty()) return "the text is empty";
  if (label->is_string())
    row.label = trim(label->get<std::string>());
  else if (label->is_number_integer() || label->is_boolean())
    row.label = label->dump();
  else
    return "the label is neither an integer nor a string";
  if (row.label.empty()) return "the label is empty";
  return row.label.find('\0') == std::string::npos ? "" : "a NUL in the label";
}

}  // namespace

void read_jsonl(LineReader& lines, const LoadOptions& options, RawTable& table) {
  std::string line;
  while (lines.next(line)) {
    drop_carriage_return(line);
    if (trim(line).empty()) continue;
    RawRow row;
    row.file = lines.name();
    row.line = lines.number();
    std::string problem = problem_of(line);
    try {
      if (problem.empty()) problem = row_of(parse_json(line, "x"), options, row);
    } catch (const Error& e) {
      problem = std::string(e.what()).substr(3);  // without "x: "
    }
    if (problem.empty())
      table.rows.push_back(std::move(row));
    else
      table.bad_lines.push_back({row.file, row.line, problem});
  }
}

}  // namespace attend::data
