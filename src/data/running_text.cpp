#include <filesystem>
#include <tuple>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/catalogue.h"
#include "data/catalogue_name.h"
#include "data/line_reader.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;

std::string read_text(const std::string& path) {
  std::string text = read_file(path);
  const std::string problem = text.empty() ? "is empty: expected running text" : problem_of(text);
  if (!problem.empty()) fail_input(path + ": " + problem);
  return text;
}

/// The first of these files that the folder has, "" when it has none.
std::string read_first(const std::string& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (const std::string path = folder + "/" + name + ".txt"; fs::exists(path))
      return read_text(path);
  return "";
}

RunningText load_text_folder(const std::string& folder) {
  RunningText out;
  out.train = read_first(folder, {"train"});
  if (out.train.empty()) fail_input(folder + ": no train.txt in this folder");
  out.validation = read_first(folder, {"validation", "valid", "val", "dev"});
  out.test = read_first(folder, {"test"});
  return out;
}

RunningText load_text_set(const std::string& asked) {
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
  std::string held_out;
  std::tie(out.train, held_out) = cut_text(out.train, 0.9);
  std::tie(out.validation, out.test) = cut_text(held_out, 0.5);
  return out;
}

}  // namespace

std::pair<std::string, std::string> cut_text(const std::string& text, double share) {
  const auto wanted = static_cast<std::size_t>(share * static_cast<double>(text.size()));
  const std::size_t end = text.find('\n', wanted);
  const std::size_t cut = end == std::string::npos ? text.size() : end + 1;
  return {text.substr(0, cut), text.substr(cut)};
}

RunningText load_running_text(const std::string& path_or_name) {
  if (find_set(path_or_name) != nullptr) return load_text_set(path_or_name);
  std::error_code error;
  if (fs::is_directory(path_or_name, error)) return load_text_folder(path_or_name);
  if (!fs::exists(path_or_name, error)) fail_unknown_set(path_or_name);
  RunningText out;
  out.train = read_text(path_or_name);
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
