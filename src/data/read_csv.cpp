#include "attend/base/error.h"
#include "data/readers.h"

namespace attend::data {
namespace {

/// One record of RFC 4180, which may span lines. A quote that opens no field stays as it is, as
/// spreadsheets read it.
class Record {
 public:
  explicit Record(LineReader& lines) : lines_(lines) {}

  std::vector<std::string> fields;
  std::string problem;
  std::int64_t line = 0;  // where it begins

  bool next() {
    fields.clear();
    problem.clear();
    if (!lines_.next(text_)) return false;
    line = lines_.number();
    bytes_ = text_.size();
    if (text_.empty() || text_ == "\r") return true;  // an empty line: no fields
    place_ = 0;
    do fields.push_back(field());
    while (place_ < text_.size() && text_[place_++] == ',');
    return true;
  }

 private:
  std::string field() {
    if (place_ < text_.size() && text_[place_] == '"') return quoted();
    const std::size_t comma = text_.find(',', place_);
    std::string out = text_.substr(place_, comma - place_);
    place_ = comma == std::string::npos ? text_.size() : comma;
    if (comma == std::string::npos) drop_carriage_return(out);
    return out;
  }

  std::string quoted() {
    std::string out;
    ++place_;
    for (;;) {
      const std::size_t quote = text_.find('"', place_);
      out.append(text_, place_, quote - place_);
      if (quote == std::string::npos) {
        out += '\n';
        continue_on_next_line();
      } else if (quote + 1 < text_.size() && text_[quote + 1] == '"') {
        out += '"';
        place_ = quote + 2;
      } else {
        place_ = quote + 1;
        end_of_quoted();
        return out;
      }
    }
  }

  void continue_on_next_line() {
    if (!lines_.next(text_))
      fail_input(lines_.name() + ":" + std::to_string(line) +
                 ": a quote is opened here and never closed; write \"\" for a quote in the text");
    bytes_ += text_.size() + 1;
    if (bytes_ > lines_.max_line_bytes())
      fail_long_line(lines_.name(), line, lines_.max_line_bytes());
    place_ = 0;
  }

  void end_of_quoted() {
    if (place_ == text_.size() - 1 && text_[place_] == '\r') place_ = text_.size();
    if (place_ == text_.size() || text_[place_] == ',') return;
    problem = "text behind a closing quote (write \"\" for a quote in the text)";
    const std::size_t comma = text_.find(',', place_);
    place_ = comma == std::string::npos ? text_.size() : comma;
  }

  LineReader& lines_;
  std::string text_;
  std::size_t place_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace

void read_csv(LineReader& lines, const LoadOptions& options, RawTable& table) {
  Columns columns;
  bool is_first = true;
  Record record(lines);
  while (record.next()) {
    if (record.fields.empty()) continue;
    std::string problem = record.problem;
    for (const std::string& field : record.fields)
      if (problem.empty()) problem = problem_of(field);
    if (!problem.empty()) {
      table.bad_lines.push_back({lines.name(), record.line, problem});
      continue;
    }
    if (is_first) columns = find_columns(record.fields, options, lines.name(), record.line);
    if (!is_first || !columns.has_header)
      add_row(record.fields, columns, lines.name(), record.line, table);
    is_first = false;
  }
}

}  // namespace attend::data
