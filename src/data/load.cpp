#include "attend/data/load.h"

#include <algorithm>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/data/catalogue.h"
#include "data/catalogue_name.h"
#include "data/readers.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;

std::string ending_of(const std::string& name) {
  std::string ending = fs::path(name).extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return ending;
}

Format format_of(const std::string& name) {
  const std::string ending = ending_of(name);
  if (ending == ".txt") return Format::kUci;
  if (ending == ".tsv" || ending == ".tab") return Format::kTsv;
  if (ending == ".csv") return Format::kCsv;
  if (ending == ".jsonl" || ending == ".ndjson") return Format::kJsonl;
  return Format::kAuto;
}

void read_into(RawTable& table, LineReader& lines, Format format, const LoadOptions& options) {
  if (format == Format::kAuto) format = options.format;
  if (format == Format::kAuto) format = format_of(lines.name());
  const std::size_t before = table.rows.size() + table.bad_lines.size();
  switch (format) {
    case Format::kUci:
      read_uci(lines, table);
      break;
    case Format::kTsv:
      read_tsv(lines, options, table);
      break;
    case Format::kCsv:
      read_csv(lines, options, table);
      break;
    case Format::kJsonl:
      read_jsonl(lines, options, table);
      break;
    case Format::kAuto:
      fail_input(lines.name() +
                 ": unknown kind of file; name it *.txt (text TAB 0|1), *.tsv, "
                 "*.csv or *.jsonl");
  }
  if (table.rows.size() + table.bad_lines.size() == before)
    fail_input(lines.name() + ": empty; expected one text and label a line");
}

/// The files in a folder that could be data, in order of name.
std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.is_regular_file() && format_of(entry.path().string()) != Format::kAuto)
      files.push_back(entry.path().string());
  if (error) fail_io(folder + ": cannot list: " + error.message());
  std::sort(files.begin(), files.end());
  if (files.empty()) fail_input(folder + ": no *.txt, *.tsv, *.csv or *.jsonl file in this folder");
  return files;
}

std::vector<std::string> named(const std::vector<std::string>& files,
                               std::initializer_list<const char*> stems) {
  std::vector<std::string> out;
  for (const std::string& file : files)
    for (const char* stem : stems)
      if (fs::path(file).stem() == stem) out.push_back(file);
  return out;
}

Corpus load_folder(const std::string& folder, const LoadOptions& options) {
  const std::vector<std::string> files = files_in(folder);
  Corpus out;
  const auto train = named(files, {"train"});
  out.train = load_files(train.empty() ? files : train, options);
  if (train.empty()) return out;
  LoadOptions later = options;  // a part speaks of the classes of the training part
  later.label_names = out.train.label_names;
  later.allow_one_class = true;
  const auto validation = named(files, {"validation", "val", "dev"});
  const auto test = named(files, {"test"});
  if (!validation.empty()) out.validation = load_files(validation, later);
  if (!test.empty()) out.test = load_files(test, later);
  return out;
}

std::vector<std::string> at_commas(const std::string& list) {
  std::vector<std::string> out;
  std::size_t start = 0;
  for (;;) {
    const std::size_t comma = list.find(',', start);
    out.push_back(list.substr(start, comma - start));
    if (comma == std::string::npos) return out;
    start = comma + 1;
  }
}

/// Numbers a catalogue set's labels as a run does that knows these names.
void rename_labels(Dataset& set, const std::vector<std::string>& names) {
  std::vector<std::int64_t> ids;
  for (const std::string& label : set.label_names) {
    const auto found = std::find(names.begin(), names.end(), label);
    if (found == names.end())
      fail_input(set.name + ": its label '" + label + "' is not one that the run knows");
    ids.push_back(found - names.begin());
  }
  for (Example& example : set.examples)
    example.label = ids[static_cast<std::size_t>(example.label)];
  set.label_names = names;
}

}  // namespace

Dataset load_files(const std::vector<std::string>& paths, const LoadOptions& options) {
  if (paths.empty()) fail_usage("no file to load; give at least one");
  RawTable table;
  bool only_zero_one = true;
  std::string name;
  for (const std::string& path : paths) {
    LineReader lines(bytes_of_file(path), path, options.max_line_bytes);
    table.only_zero_one = false;
    read_into(table, lines, Format::kAuto, options);
    only_zero_one = only_zero_one && table.only_zero_one;
    name += (name.empty() ? "" : ",") + path;
  }
  table.only_zero_one = only_zero_one;
  return label_rows(std::move(table), name, options);
}

Dataset load_bytes(std::string_view bytes, const std::string& name, Format format,
                   const LoadOptions& options) {
  RawTable table;
  LineReader lines(bytes_of(bytes), name, options.max_line_bytes);
  read_into(table, lines, format, options);
  return label_rows(std::move(table), name, options);
}

Corpus load(const std::string& path_or_name, const LoadOptions& options) {
  if (find_set(path_or_name) != nullptr) {
    Corpus out = load_set(path_or_name);
    if (options.label_names.empty()) return out;
    for (Dataset* part : {&out.train, &out.validation, &out.test})
      rename_labels(*part, options.label_names);
    return out;
  }
  std::error_code error;
  if (fs::is_directory(path_or_name, error)) return load_folder(path_or_name, options);
  std::vector<std::string> paths = {path_or_name};
  if (!fs::exists(path_or_name, error)) paths = at_commas(path_or_name);
  for (const std::string& path : paths)
    if (!fs::exists(path, error)) fail_unknown_set(path);
  Corpus out;
  out.train = load_files(paths, options);
  return out;
}

void read_lines(const std::string& path, const std::function<bool(const InputLine&)>& use,
                std::size_t max_line_bytes) {
  LineReader lines(bytes_of_file(path), path == "-" ? "standard input" : path, max_line_bytes);
  InputLine line;
  while (lines.next(line.text)) {
    drop_carriage_return(line.text);
    line.number = lines.number();
    line.problem = problem_of(line.text);
    if (!line.problem.empty()) line.text.clear();
    if (!use(line)) return;
  }
}

std::string describe_bad_lines(const Dataset& set, std::size_t most) {
  const std::size_t n = set.bad_lines.size();
  if (n == 0) return "";
  std::string out = std::to_string(n) + (n == 1 ? " line" : " lines") + " could not be used";
  for (std::size_t i = 0; i < n && i < most; ++i) {
    const BadLine& bad = set.bad_lines[i];
    out += (i == 0 ? ": " : "; ") + bad.file + ":" + std::to_string(bad.line) + ": " + bad.reason;
  }
  return n > most ? out + "; …" : out;
}

}  // namespace attend::data
