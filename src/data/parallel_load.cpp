#include <algorithm>
#include <filesystem>

#include "attend/base/error.h"
#include "attend/data/parallel.h"
#include "data/catalogue_name.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;

bool is_there(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// `path`, or `path`.gz when only that is there; "" when neither is.
std::string plain_or_gzipped(const std::string& path) {
  if (is_there(path)) return path;
  return is_there(path + ".gz") ? path + ".gz" : "";
}

/// Names of files in a folder up to their first '.', as "train", "test_2016_flickr", that begin
/// with one of `starts`; in order of name, each once.
std::vector<std::string> stems_in(const std::string& folder,
                                  const std::vector<std::string>& starts) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const std::string stem = name.substr(0, name.find('.'));
    for (const std::string& start : starts) {
      const bool goes_on = stem.size() > start.size() && stem[start.size()] != '_';
      if (stem.starts_with(start) && !goes_on) out.push_back(stem);
    }
  }
  if (error) fail_io(folder + ": cannot list: " + error.message());
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

/// The part of a folder whose file names begin with one of `starts`; empty when there is none.
ParallelSet load_part(const std::string& folder, const std::vector<std::string>& starts,
                      const ParallelOptions& options) {
  for (const std::string& stem : stems_in(folder, starts)) {
    const std::string path = folder + "/" + stem + ".";
    const std::string source = plain_or_gzipped(path + options.source);
    const std::string target = plain_or_gzipped(path + options.target);
    if (!source.empty() && !target.empty()) return load_parallel_files(source, target, options);
    for (const char* ending : {"tsv", "jsonl"})
      if (const std::string file = plain_or_gzipped(path + ending); !file.empty())
        return load_pairs(file, options);
  }
  return {};
}

ParallelCorpus load_pairs_folder(const std::string& folder, const ParallelOptions& options) {
  ParallelCorpus out;
  out.train = load_part(folder, {"train"}, options);
  if (out.train.pairs.empty())
    fail_input(folder + ": no train." + options.source + " with train." + options.target +
               " (perhaps .gz), train.tsv or train.jsonl in this folder");
  out.validation = load_part(folder, {"validation", "valid", "val", "dev"}, options);
  out.test = load_part(folder, {"test"}, options);
  return out;
}

ParallelCorpus load_pairs_set(const std::string& asked, ParallelOptions options) {
  const CatalogueName name = require_set(asked);
  const CatalogueSet& set = *name.set;
  require_task(set, "translation");
  if (set.generated) return make_pairs(asked);
  const std::string way = name.parts.empty() ? "en-de" : name.parts[0];
  if (name.parts.size() > 1 || (way != "en-de" && way != "de-en")) fail_variant(set, asked);
  const auto folder = find_folder(set);
  if (!folder) fail_not_here(set, asked);
  options.source = way.substr(0, 2);
  options.target = way.substr(3);
  ParallelCorpus out = load_pairs_folder(*folder, options);
  out.train.name = asked + " train";
  out.validation.name = asked + " validation";
  out.test.name = asked + " test";
  return out;
}

}  // namespace

ParallelCorpus make_pairs(const std::string& asked, const MakeOptions& options) {
  const CatalogueName name = require_set(asked);
  const std::string variant = name.parts.empty() ? "" : name.parts[0];
  if (name.parts.size() > 1) fail_variant(*name.set, asked);
  if (name.set->name == "dates" && variant.empty()) return make_dates(options);
  const bool is_known = variant.empty() || variant == "to-digits" || variant == "to-words";
  if (name.set->name != "number-words" || !is_known) fail_variant(*name.set, asked);
  return make_number_words(options, variant == "to-words");
}

ParallelCorpus load_parallel(const std::string& path_or_name, const ParallelOptions& options) {
  if (find_set(path_or_name) != nullptr) return load_pairs_set(path_or_name, options);
  std::error_code error;
  if (fs::is_directory(path_or_name, error)) return load_pairs_folder(path_or_name, options);
  ParallelCorpus out;
  if (is_there(path_or_name)) {
    out.train = load_pairs(path_or_name, options);
    return out;
  }
  const std::size_t comma = path_or_name.find(',');
  if (comma == std::string::npos) fail_unknown_set(path_or_name);
  const std::string source = path_or_name.substr(0, comma);
  const std::string target = path_or_name.substr(comma + 1);
  for (const std::string& path : {source, target})
    if (!is_there(path)) fail_unknown_set(path);
  out.train = load_parallel_files(source, target, options);
  return out;
}

PartNotes describe_pairs_of(const CatalogueSet& set) {
  const ParallelCorpus corpus = load_parallel(set.name);
  PartNotes out;
  for (const ParallelSet* part : {&corpus.train, &corpus.validation, &corpus.test})
    if (!part->pairs.empty()) out.emplace_back(part->name, describe_pairs(*part));
  return out;
}

}  // namespace attend::data
