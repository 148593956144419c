#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/catalogue.h"
#include "data/catalogue_name.h"
#include "data/line_reader.h"

namespace attend::data {
namespace {

std::string read_text(const std::string& path) {
  std::string text = read_file(path);
  const std::string problem = problem_of(text);
  if (!problem.empty()) fail_input(path + ": " + problem);
  return text;
}

/// The place behind the line end at or after `share` of the text.
std::size_t line_end_near(const std::string& text, double share) {
  const auto wanted = static_cast<std::size_t>(share * static_cast<double>(text.size()));
  const std::size_t end = text.find('\n', wanted);
  return end == std::string::npos ? text.size() : end + 1;
}

}  // namespace

RunningText load_running_text(const std::string& asked) {
  const CatalogueName name = require_set(asked);
  const CatalogueSet& set = *name.set;
  require_task(set, "language");
  if (!name.parts.empty()) fail_variant(set, asked);
  const auto folder = find_folder(set);
  if (!folder) fail_not_here(set, asked);
  RunningText out;
  out.train = read_text(*folder + "/" + set.files[0].name);
  if (set.files.size() == 3) {
    out.validation = read_text(*folder + "/" + set.files[1].name);
    out.test = read_text(*folder + "/" + set.files[2].name);
    return out;
  }
  const std::size_t train = line_end_near(out.train, 0.9);
  const std::size_t validation = line_end_near(out.train, 0.95);
  out.validation = out.train.substr(train, validation - train);
  out.test = out.train.substr(validation);
  out.train.resize(train);
  return out;
}

PartNotes describe_text_of(const CatalogueSet& set) {
  const RunningText text = load_running_text(set.name);
  PartNotes out;
  for (const auto& [part, title] :
       {std::pair{&text.train, " train"}, std::pair{&text.validation, " validation"},
        std::pair{&text.test, " test"}}) {
    std::int64_t lines = 0;
    for (const char c : *part) lines += c == '\n';
    out.emplace_back(set.name + title,
                     std::to_string(part->size()) + " bytes, " + std::to_string(lines) + " lines");
  }
  return out;
}

}  // namespace attend::data
