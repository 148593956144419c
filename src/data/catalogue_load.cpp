#include <charconv>
#include <cmath>

#include "attend/base/error.h"
#include "attend/data/catalogue.h"
#include "attend/data/load.h"
#include "attend/data/splits.h"
#include "data/catalogue_name.h"
#include "data/readers.h"

namespace attend::data {
namespace {

LineReader open_lines(const std::string& path) {
  return LineReader(bytes_of_file(path), path, LoadOptions().max_line_bytes);
}

/// `id TAB mean rating TAB sentence`: the sign of the rating is the label; ids of Amazon sentences
/// begin with the review's.
Dataset read_hutto(const std::string& path, bool is_film) {
  RawTable table;
  std::int64_t neutral = 0;
  LineReader lines = open_lines(path);
  std::string line;
  while (lines.next(line)) {
    drop_carriage_return(line);
    const std::string problem = problem_of(line);
    const std::size_t first = line.find('\t');
    const std::size_t second = first == std::string::npos ? first : line.find('\t', first + 1);
    double rating = NAN;
    if (second != std::string::npos)
      std::from_chars(line.data() + first + 1, line.data() + second, rating);
    if (!problem.empty() || std::isnan(rating)) {
      table.bad_lines.push_back(
          {path, lines.number(), problem.empty() ? "not `id TAB rating TAB sentence`" : problem});
    } else if (rating == 0.0) {
      ++neutral;
    } else {
      const std::string id = line.substr(0, first);
      table.rows.push_back({line.substr(second + 1), rating > 0 ? "1" : "0", path, lines.number(),
                            is_film ? "" : id.substr(0, id.find('_'))});
    }
  }
  Dataset out = label_rows(std::move(table), path, {});
  out.left_out = neutral;
  out.notes.push_back(std::to_string(neutral) +
                      " sentences with a mean rating of exactly 0 were left out");
  return out;
}

/// `LABEL sentence`.
Dataset read_sst(const std::string& path, const std::vector<std::string>& names) {
  RawTable table;
  LineReader lines = open_lines(path);
  std::string line;
  while (lines.next(line)) {
    drop_carriage_return(line);
    const std::string problem = problem_of(line);
    if (problem.empty() && line.size() > 2 && line[1] == ' ')
      table.rows.push_back({line.substr(2), line.substr(0, 1), path, lines.number(), ""});
    else
      table.bad_lines.push_back(
          {path, lines.number(), problem.empty() ? "not `LABEL sentence`" : problem});
  }
  LoadOptions options;
  options.label_names = names;
  return label_rows(std::move(table), path, options);
}

std::string only_part(const CatalogueName& name, const std::string& otherwise) {
  if (name.parts.empty()) return otherwise;
  return name.parts.size() == 1 ? name.parts[0] : "";
}

Corpus load_hutto(const CatalogueName& name, const std::string& folder, const std::string& asked) {
  const std::string part = only_part(name, "amazon");
  if (part != "amazon" && part != "film") fail_variant(*name.set, asked);
  const bool is_film = part == "film";
  Corpus out;
  out.train = read_hutto(folder + "/" + name.set->files[is_film ? 1 : 0].name, is_film);
  return out;
}

Corpus load_uci(const CatalogueName& name, const std::string& folder, const std::string& asked) {
  const auto parts =
      name.parts.empty() ? std::vector<std::string>{"amazon", "imdb", "yelp"} : name.parts;
  std::vector<std::string> paths;
  for (const std::string& part : parts) {
    std::string path;
    for (const CatalogueFile& file : name.set->files)
      if (file.name.compare(0, part.size() + 1, part + "_") == 0) path = folder + "/" + file.name;
    if (path.empty()) fail_variant(*name.set, asked);
    for (const std::string& earlier : paths)
      if (earlier == path) fail_input("data set '" + asked + "' names " + part + " twice");
    paths.push_back(path);
  }
  LoadOptions options;
  options.format = Format::kUci;
  Corpus out;
  out.train = load_files(paths, options);
  return out;
}

Corpus load_sst(const CatalogueName& name, const std::string& folder, const std::string& asked) {
  const std::string part = only_part(name, "binary");
  if (part != "binary" && part != "fine") fail_variant(*name.set, asked);
  const auto names = part == "binary"
                         ? std::vector<std::string>{"negative", "positive"}
                         : std::vector<std::string>{"very negative", "negative", "neutral",
                                                    "positive", "very positive"};
  const std::string stem = folder + "/stsa." + part + ".";
  Corpus out;
  out.train = read_sst(stem + "train", names);
  out.validation = read_sst(stem + "dev", names);
  out.test = read_sst(stem + "test", names);
  return out;
}

}  // namespace

Corpus load_set(const std::string& asked) {
  const CatalogueName name = require_set(asked);
  const CatalogueSet& set = *name.set;
  require_task(set, "classification");
  Corpus out;
  if (set.generated) {
    if (!name.parts.empty()) fail_variant(set, asked);
    out.train = make_synthetic_reviews();
    return out;
  }
  const auto folder = find_folder(set);
  if (!folder) fail_not_here(set, asked);
  if (set.name == "hutto-reviews") out = load_hutto(name, *folder, asked);
  if (set.name == "uci-sentiment") out = load_uci(name, *folder, asked);
  if (set.name == "sst") out = load_sst(name, *folder, asked);
  for (Dataset* part : {&out.train, &out.validation, &out.test}) part->name = asked;
  return out;
}

std::optional<std::string> place_of(const CatalogueSet& set) {
  if (!set.generated) return find_folder(set);
  if (!set.made_from.empty() && !place_of(*find_set(set.made_from))) return std::nullopt;
  return "generated";
}

SetState set_state(const CatalogueSet& set) {
  SetState out;
  out.folder = place_of(set);
  if (!out.folder) return out;
  if (set.task == "encoder" || set.task == "image-encoder") return out;  // nothing to count
  if (set.task != "classification") {
    out.balance = set.task == "translation"  ? describe_pairs_of(set)
                  : set.task == "captioning" ? describe_captions_of(set)
                  : set.task == "generation" ? describe_images_of(set)
                                             : describe_text_of(set);
    return out;
  }
  const auto names = set.variants.empty() ? std::vector<std::string>{set.name} : set.variants;
  for (const std::string& name : names) {
    const Corpus corpus = load_set(name);
    const bool has_parts = !corpus.test.examples.empty();
    for (const auto& [part, title] :
         {std::pair{&corpus.train, " train"}, std::pair{&corpus.validation, " validation"},
          std::pair{&corpus.test, " test"}}) {
      if (part->examples.empty()) continue;
      std::string text = describe_balance(*part);
      for (const std::string& note : part->notes) text += "; " + note;
      out.balance.emplace_back(has_parts ? name + title : name, text);
    }
  }
  return out;
}

}  // namespace attend::data
