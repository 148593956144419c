// attend data list | info | get | make: the sets that the program knows by name.
#include "attend/data/catalogue.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/nearest.h"
#include "output.h"
#include "program.h"

namespace attend::cli {
namespace {

using nlohmann::json;

const data::CatalogueSet& set_of(const std::string& name) {
  if (const data::CatalogueSet* set = data::find_set(name)) return *set;
  std::vector<std::string> names;
  for (const auto& set : data::catalogue()) names.push_back(set.name);
  fail_usage("no data set '" + name + "'" + did_you_mean(name, names) +
             " ('attend data list' lists them)");
}

int list(Output& out) {
  if (out.json()) {
    auto sets = json::array();
    for (const auto& set : data::catalogue()) {
      const std::string place = data::place_of(set).value_or("");
      sets.push_back({{"name", set.name},
                      {"task", set.task},
                      {"title", set.title},
                      {"variants", set.variants},
                      {"generated", set.generated},
                      {"folder", place.empty() || set.generated ? json() : json(place)}});
    }
    out.document({{"data", sets}});
    return 0;
  }
  Table table({Align::kLeft, Align::kLeft, Align::kLeft, Align::kLeft});
  table.head({"name", "task", "here", "what"});
  for (const auto& set : data::catalogue()) {
    const std::string place = data::place_of(set).value_or("");
    table.row({set.name, set.task,
               place.empty()   ? "no"
               : set.generated ? "generated"
                               : "yes",
               set.title});
  }
  out.table(table);
  return 0;
}

int info(Output& out, const std::string& name) {
  const data::CatalogueSet& set = set_of(name);
  const data::SetState state = data::set_state(set);
  if (out.json()) {
    auto files = json::array();
    for (const auto& file : set.files)
      files.push_back({{"name", file.name}, {"sha256", file.sha256}});
    auto balance = json::object();
    for (const auto& [part, text] : state.balance) balance[part] = text;
    out.document({{"name", set.name},
                  {"title", set.title},
                  {"task", set.task},
                  {"licence", set.licence},
                  {"citation", set.citation},
                  {"source", set.source},
                  {"variants", set.variants},
                  {"generated", set.generated},
                  {"fetchable", set.fetchable},
                  {"folder", state.folder ? json(*state.folder) : json()},
                  {"files", files},
                  {"balance", balance}});
    return 0;
  }
  Table table({Align::kLeft, Align::kLeft});
  table.row({"name", set.name});
  table.row({"what", set.title});
  table.row({"task", set.task});
  for (const auto& variant : set.variants) table.row({"variant", variant});
  table.row({"licence", set.licence});
  table.row({"cite", set.citation});
  table.row({"source", set.source});
  const std::string mend = set.generated ? "it is made from " + set.made_from +
                                               ", see 'attend data info " + set.made_from + "'"
                           : set.fetchable ? "fetch it with 'attend data get " + set.name + "'"
                                           : "it cannot be fetched; put it under ATTEND_DATA";
  table.row({"here", state.folder ? *state.folder : "no; " + mend});
  for (const auto& file : set.files) table.row({"file", file.name + "  sha256 " + file.sha256});
  for (const auto& [part, text] : state.balance) table.row({part, text});
  out.table(table);
  return 0;
}

int get(Output& out, const std::string& name) {
  const data::CatalogueSet& set = set_of(name);
  if (set.generated)
    fail_usage("'" + set.name + "' is generated and needs no fetching; 'attend data make " +
               set.name + " --out DIR' writes it to files");
  Progress bar;
  const std::string folder =
      data::get_set(name, [&](const std::string& what, std::int64_t done, std::int64_t total) {
        const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
        bar.update(what, share, bytes_text(static_cast<double>(done)));
      });
  bar.clear();
  if (out.json())
    out.document({{"name", set.name}, {"folder", folder}});
  else
    out.line(folder);
  return 0;
}

struct Make {
  std::string name, folder;
  std::optional<std::uint64_t> rows, seed, size, digits, clutter;
};

int make(Output& out, const Make& o) {
  data::MakeOptions options;
  if (o.rows) options.rows = static_cast<std::int64_t>(*o.rows);
  if (o.seed) options.seed = *o.seed;
  if (o.size) options.size = static_cast<std::int64_t>(*o.size);
  if (o.digits) options.digits = static_cast<std::int64_t>(*o.digits);
  if (o.clutter) options.clutter = static_cast<std::int64_t>(*o.clutter);
  const data::CatalogueSet& set = set_of(o.name);
  if (!set.generated)
    fail_usage("'" + set.name + "' is not generated; 'attend data get " + set.name +
               "' fetches it");
  const auto files = data::make_set(o.name, o.folder, options);
  if (out.json()) {
    out.document(
        {{"name", set.name}, {"rows", options.rows}, {"seed", options.seed}, {"files", files}});
    return 0;
  }
  for (const std::string& file : files) out.line(file);
  return 0;
}

}  // namespace

void add_data(Program& program) {
  const Verb verb = program.group("data", "List, describe, fetch or generate data sets");
  verb.verb("list", "List every data set the program knows, and whether it is on this machine")
      .run(list);

  const auto name = std::make_shared<std::string>();
  const Verb describe =
      verb.verb("info", "Describe a data set: source, licence, files, class balance");
  describe.positional("NAME", Kind::kData, *name, Need::kRequired,
                      "a name that 'attend data list' shows");
  describe.run([name](Output& out) { return info(out, *name); });

  const auto wanted = std::make_shared<std::string>();
  const Verb fetch = verb.verb("get", "Fetch a data set into the cache and print its folder");
  fetch.positional("NAME", Kind::kData, *wanted, Need::kRequired,
                   "a name that 'attend data list' shows");
  fetch.example("attend data get hutto-reviews");
  fetch.run([wanted](Output& out) { return get(out, *wanted); });

  const auto o = std::make_shared<Make>();
  const Verb generate =
      verb.verb("make", "Write a generated data set to files, and print their paths");
  generate.positional(
      "NAME", Kind::kData, o->name, Need::kRequired,
      "a generated set: synthetic-reviews, number-words, dates, shapes, cluttered-mnist");
  generate.text("--out", Kind::kFolder, o->folder,
                "folder to write to; made when missing (default: .)");
  generate.number("--rows", o->rows, 2, 10'000'000, "number of rows (default: 2000)");
  generate.number("--seed", o->seed, 0, ~std::uint64_t{0}, "seed of the generator (default: 0)");
  generate.number("--size", o->size, 24, 2048,
                  "side of the images in pixels (default: 64 of shapes, 60 of cluttered-mnist)");
  generate.number("--digits", o->digits, 1, 16,
                  "digits of an image of cluttered-mnist (default: 2)");
  generate.number("--clutter", o->clutter, 0, 256,
                  "pieces of other digits in an image of cluttered-mnist (default: 4)");
  generate.example("attend data make synthetic-reviews --rows 500 --out data");
  generate.run([o](Output& out) {
    if (o->folder.empty()) o->folder = ".";
    return make(out, *o);
  });
}

}  // namespace attend::cli
