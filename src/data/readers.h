#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/data/load.h"
#include "data/line_reader.h"

namespace attend::data {

/// A row whose label is still as the file spells it.
struct RawRow {
  std::string text;
  std::string label;
  std::string file;
  std::int64_t line = 0;
  std::string group;
};

struct RawTable {
  std::vector<RawRow> rows;
  std::vector<BadLine> bad_lines;
  bool only_zero_one = false;  // the format allows no other label
};

/// One reader per format: appends what it finds; a line that is no good goes to bad_lines.
void read_uci(LineReader& lines, RawTable& table);
void read_tsv(LineReader& lines, const LoadOptions& options, RawTable& table);
void read_csv(LineReader& lines, const LoadOptions& options, RawTable& table);
void read_jsonl(LineReader& lines, const LoadOptions& options, RawTable& table);

/// The next line that holds text, without its '\r'; false at the end. Empty lines are passed over,
/// lines that cannot be text go to bad_lines.
bool next_text(LineReader& lines, RawTable& table, std::string& line);

/// Which columns hold text and label.
struct Columns {
  bool has_header = false;
  std::size_t text = 0;
  std::size_t label = 1;
  std::size_t count = 2;
};
/// Looks at a table's first row: a header when it names a text or label column known or asked for.
/// Throws kBadInput, naming the columns there are, when one of the two is missing.
Columns find_columns(const std::vector<std::string>& first, const LoadOptions& options,
                     const std::string& name, std::int64_t line);

/// Appends the row of `fields`, or says why it is no good.
void add_row(const std::vector<std::string>& fields, const Columns& columns,
             const std::string& name, std::int64_t line, RawTable& table);

std::string trim(const std::string& text);        // ASCII white space
std::int64_t count_words(std::string_view text);  // between ASCII white space

/// Turns spelled labels into numbers; see `load` for the rules and errors.
Dataset label_rows(RawTable table, const std::string& name, const LoadOptions& options);

}  // namespace attend::data
