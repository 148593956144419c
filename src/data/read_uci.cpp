#include "data/readers.h"

namespace attend::data {

void read_uci(LineReader& lines, RawTable& table) {
  table.only_zero_one = true;
  const Columns columns;
  std::string line;
  while (next_text(lines, table, line)) {
    const std::size_t tab = line.rfind('\t');  // a sentence may hold tabs of its own
    if (tab == std::string::npos)
      table.bad_lines.push_back({lines.name(), lines.number(), "no label: no tab behind the text"});
    else
      add_row({line.substr(0, tab), line.substr(tab + 1)}, columns, lines.name(), lines.number(),
              table);
  }
}

}  // namespace attend::data
