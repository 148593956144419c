// Captions as Flickr8k's token file and CSV have them.
#include "attend/base/error.h"
#include "data/caption_rows.h"
#include "data/readers.h"

namespace attend::data {
namespace {

/// What the reader of labelled texts says, in the words of captions.
std::string in_caption_words(std::string reason) {
  for (const auto& [from, to] : {std::pair{"label", "image"}, std::pair{"text", "caption"}}) {
    const std::string_view word = from;
    if (const std::size_t at = reason.find(word); at != std::string::npos)
      reason.replace(at, word.size(), to);
  }
  return reason;
}

}  // namespace

void add_caption(CaptionTable& table, CaptionRow row) {
  const auto bad = [&](const std::string& reason) {
    table.bad_lines.push_back({table.name, row.line, reason});
  };
  const std::string problem = problem_of(row.caption.text + row.image);
  if (!problem.empty()) return bad(problem);
  std::string text;
  for (const char c : row.caption.text) {
    const bool is_space = c == ' ' || (c >= '\t' && c <= '\r');
    if (is_space && (text.empty() || text.back() == ' ')) continue;
    text += is_space ? ' ' : c;
  }
  if (!text.empty() && text.back() == ' ') text.pop_back();
  if (text.empty()) return bad("the caption is empty");
  if (row.image.empty()) return bad("the image is empty");
  const std::int64_t words = count_words(text);
  for (const Region& region : row.caption.regions)
    if (region.word < 0 || region.word >= words)
      return bad("a region of word " + std::to_string(region.word) + " in a caption of " +
                 std::to_string(words));
  row.caption.text = std::move(text);
  table.rows.push_back(std::move(row));
}

CaptionTable read_flickr_tokens(LineReader& lines) {
  CaptionTable out;
  out.name = lines.name();
  std::string line;
  while (lines.next(line)) {
    drop_carriage_return(line);
    if (line.empty()) continue;
    const std::size_t tab = line.find('\t');
    const std::size_t number = line.substr(0, tab).rfind('#');
    if (tab == std::string::npos || number == std::string::npos)
      out.bad_lines.push_back({out.name, lines.number(), "not `image.jpg#0 TAB caption`"});
    else
      add_caption(out, {line.substr(0, number), {line.substr(tab + 1), {}}, lines.number()});
  }
  return out;
}

CaptionTable read_caption_csv(LineReader& lines) {
  LoadOptions options;
  options.text_column = "caption";
  options.label_column = "image";
  RawTable raw;
  read_csv(lines, options, raw);
  CaptionTable out;
  out.name = lines.name();
  for (const BadLine& bad : raw.bad_lines)
    out.bad_lines.push_back({bad.file, bad.line, in_caption_words(bad.reason)});
  for (RawRow& row : raw.rows) add_caption(out, {row.label, {row.text, {}}, row.line});
  return out;
}

}  // namespace attend::data
