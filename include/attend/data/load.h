#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "attend/data/dataset.h"

namespace attend::data {

/// How a file of labelled texts is laid out.
///   kUci    `text TAB label`, label 0 or 1 (UCI's Sentiment Labelled Sentences): *.txt
///   kTsv    `text TAB label` with or without a header row: *.tsv, *.tab
///   kCsv    RFC 4180: quotes, "" inside quotes, line breaks inside quotes: *.csv
///   kJsonl  one object a line, {"text": …, "label": …}: *.jsonl, *.ndjson
/// kAuto goes by the file's ending.
enum class Format { kAuto, kUci, kTsv, kCsv, kJsonl };

struct LoadOptions {
  Format format = Format::kAuto;
  std::string text_column;   // "": text, sentence, review (TSV, CSV by header; JSONL by key)
  std::string label_column;  // "": label, class, sentiment
  std::vector<std::string>
      label_names;  // when not empty, the labels a run knows; others are errors
  std::size_t max_line_bytes = std::size_t{1} << 20;  // a longer line is refused
  std::size_t max_classes = 1000;
  bool allow_one_class = false;  // for eval; training needs two
};

/// Loads labelled texts by the name of a catalogue set (see catalogue.h, e.g.
/// "uci-sentiment:amazon+yelp") or by path: a file, a comma-separated list of files (merged in
/// order), or a folder. A folder with files called train.*, validation.* (or val.*, dev.*) and
/// test.* gives those splits; any other folder's files are merged in order of name.
///
/// Labels: 0 and 1 are named negative and positive; other integers (−999…999) keep their value as
/// their name, in numeric order; words are sorted by code point. Lines end in '\n' (a '\r' before
/// it is dropped); a byte order mark is skipped; empty lines are skipped. A line that is not UTF-8,
/// holds a NUL, lacks text or label or is not in the format goes to `bad_lines` with its reason;
/// other control characters stay in the text.
///
/// Throws kIo when a file cannot be read; kBadInput, naming file and line and the mend, for: no
/// file or name like that (with the nearest one), an empty file, UTF-16, no labels, a label out of
/// range or unknown, integers and words mixed, one class only, a line over max_line_bytes (found
/// without reading it whole), a quote that never closes, no good line.
Corpus load(const std::string& path_or_name, const LoadOptions& options = {});

/// One data set from files merged in order; labels are named over all of them together.
Dataset load_files(const std::vector<std::string>& paths, const LoadOptions& options = {});

/// The same from bytes in memory; `name` stands for the file in messages.
Dataset load_bytes(std::string_view bytes, const std::string& name, Format format,
                   const LoadOptions& options = {});

/// A line of input without a label. `problem` is empty, or says why `text` cannot be used (then
/// text is empty).
struct InputLine {
  std::int64_t number = 0;  // 1-based
  std::string text;
  std::string problem;
};

/// Reads lines from a file, or from standard input when `path` is "-", and hands each one on as
/// soon as it is complete; stops early when `use` returns false. Empty lines are handed on. Memory:
/// one line. Throws as `load` does for unreadable files and over-long lines.
void read_lines(const std::string& path, const std::function<bool(const InputLine&)>& use,
                std::size_t max_line_bytes = std::size_t{1} << 20);

/// "2 lines could not be used: a.tsv:3: no tab between text and label; a.tsv:9: not UTF-8 (byte
/// 12)"; "" when none. Names at most `most` lines.
std::string describe_bad_lines(const Dataset& set, std::size_t most = 5);

}  // namespace attend::data
