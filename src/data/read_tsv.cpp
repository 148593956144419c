#include "data/readers.h"

namespace attend::data {
namespace {

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields;
  std::size_t start = 0;
  for (;;) {
    const std::size_t tab = line.find('\t', start);
    fields.push_back(line.substr(start, tab - start));
    if (tab == std::string::npos) return fields;
    start = tab + 1;
  }
}

}  // namespace

void read_tsv(LineReader& lines, const LoadOptions& options, RawTable& table) {
  Columns columns;
  bool is_first = true;
  std::string line;
  while (next_text(lines, table, line)) {
    const std::vector<std::string> fields = fields_of(line);
    if (is_first) columns = find_columns(fields, options, lines.name(), lines.number());
    if (!is_first || !columns.has_header)
      add_row(fields, columns, lines.name(), lines.number(), table);
    is_first = false;
  }
}

}  // namespace attend::data
