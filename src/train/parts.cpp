#include "train/parts.h"

#include <algorithm>
#include <cctype>
#include <unordered_set>

#include "attend/base/error.h"
#include "attend/data/load.h"
#include "attend/data/splits.h"

namespace attend::train {
namespace {

/// Cuts `fraction` of `from` off into `held_out`, in the way that the recipe says.
void hold_out(data::Dataset& from, data::Dataset& held_out, double fraction,
              const Recipe::Data& options) {
  if (fraction <= 0) return;
  const auto seed = static_cast<std::uint64_t>(options.split_seed);
  const data::Split split = options.split == Split::kLast ? data::split_last(from, fraction)
                            : options.split == Split::kShuffled
                                ? data::split_shuffled(from, fraction, seed)
                                : data::split_stratified(from, fraction, seed);
  held_out = data::subset(from, split.held_out);
  from = data::subset(from, split.train);
}

void append(data::Dataset& to, const data::Dataset& from) {
  to.examples.insert(to.examples.end(), from.examples.begin(), from.examples.end());
}

/// Letters and digits alone, in lower case: what two copies of a sentence share.
std::string skeleton(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || std::isalnum(byte)) out += static_cast<char>(std::tolower(byte));
  }
  return out;
}

void take_fold(Parts& parts, const Recipe::Data& options) {
  const auto seed = static_cast<std::uint64_t>(options.split_seed);
  append(parts.train, parts.validation);
  append(parts.train, parts.test);
  const data::Dataset all = std::move(parts.train);
  const data::Split outer =
      data::k_fold(all, options.folds, seed)[static_cast<std::size_t>(options.fold)];
  parts.test = data::subset(all, outer.held_out);
  parts.train = data::subset(all, outer.train);
  parts.validation.examples.clear();
  if (options.inner_folds == 0) {
    hold_out(parts.train, parts.validation, options.validation, options);
    return;
  }
  const data::Dataset rest = std::move(parts.train);
  const data::Split inner =
      data::k_fold(rest, options.inner_folds, seed)[static_cast<std::size_t>(options.inner_fold)];
  parts.validation = data::subset(rest, inner.held_out);
  parts.train = data::subset(rest, inner.train);
}

void take_parts(Parts& parts, const Recipe::Data& options) {
  const bool own_test = !parts.test.examples.empty(),
             own_validation = !parts.validation.examples.empty();
  if (options.split == Split::kPredefined) {
    if (!own_test && !own_validation)
      fail_usage("data.split = \"predefined\", but " + options.name +
                 " brings no validation or test part; take last, shuffled, stratified or folds");
    return;
  }
  if (own_test || own_validation)
    parts.notes.push_back(options.name + " brings its own " +
                          (own_test && own_validation ? "validation and test parts"
                           : own_test                 ? "test part"
                                                      : "validation part") +
                          ": used as they are");
  const double test = own_test ? 0 : options.test;
  if (!own_test) hold_out(parts.train, parts.test, test, options);
  if (!own_validation)
    hold_out(parts.train, parts.validation, options.validation / (1 - test), options);
}

void add_extra(Parts& parts, const Recipe::Data& options) {
  std::unordered_set<std::string> known;
  for (const data::Dataset* set : {&parts.train, &parts.validation, &parts.test})
    for (const data::Example& e : set->examples) known.insert(skeleton(e.text));
  std::size_t begin = 0;
  while (begin <= options.extra.size()) {  // names are separated by ';'
    const std::size_t end = std::min(options.extra.find(';', begin), options.extra.size());
    const std::string name = options.extra.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty()) continue;
    data::Corpus corpus = data::load(name);
    std::int64_t added = 0, repeated = 0;
    for (data::Dataset* set : {&corpus.train, &corpus.validation, &corpus.test}) {
      if (set->examples.empty()) continue;
      rename_labels(*set, parts.train.label_names);
      for (data::Example& e : set->examples) {
        if (!known.insert(skeleton(e.text)).second) {
          ++repeated;
          continue;
        }
        parts.train.examples.push_back(std::move(e));
        ++added;
      }
    }
    parts.notes.push_back(std::to_string(added) + " training rows added from " + name + "; " +
                          std::to_string(repeated) + " left out that occur already");
  }
}

void check_classes(const data::Dataset& set) {
  std::int64_t present = 0;
  for (const std::int64_t n : data::class_counts(set)) present += n > 0;
  if (present < 2)
    fail_input(set.name +
               ": all training rows have one label; training needs two (is the file sorted by "
               "label? data.split=\"stratified\" helps)");
}

void note_balance(Parts& parts) {
  parts.notes.push_back("training: " + data::describe_balance(parts.train));
  if (!parts.validation.examples.empty())
    parts.notes.push_back("validation: " + data::describe_balance(parts.validation));
  if (!parts.test.examples.empty())
    parts.notes.push_back("test: " + data::describe_balance(parts.test));
}

}  // namespace

void rename_labels(data::Dataset& set, const std::vector<std::string>& names) {
  if (set.label_names == names) return;
  std::vector<std::int64_t> place;
  for (const std::string& name : set.label_names) {
    const auto at = std::find(names.begin(), names.end(), name);
    place.push_back(at == names.end() ? -1 : at - names.begin());
  }
  for (data::Example& e : set.examples) {
    const std::int64_t to = place[static_cast<std::size_t>(e.label)];
    if (to < 0) {
      std::string known;
      for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
      fail_input(e.file + ":" + std::to_string(e.line) + ": label '" +
                 set.label_names[static_cast<std::size_t>(e.label)] +
                 "' is unknown here; known are " + known);
    }
    e.label = to;
  }
  set.label_names = names;
}

Parts load_parts(const Recipe& recipe) {
  data::Corpus corpus = data::load(recipe.data.name);
  Parts parts{std::move(corpus.train), std::move(corpus.validation), std::move(corpus.test), {}};
  for (const data::Dataset* set : {&parts.train, &parts.validation, &parts.test}) {
    if (const std::string bad = data::describe_bad_lines(*set); !bad.empty())
      parts.notes.push_back(bad);
    parts.notes.insert(parts.notes.end(), set->notes.begin(), set->notes.end());
  }
  if (!parts.validation.examples.empty()) rename_labels(parts.validation, parts.train.label_names);
  if (!parts.test.examples.empty()) rename_labels(parts.test, parts.train.label_names);
  if (recipe.data.split == Split::kFolds)
    take_fold(parts, recipe.data);
  else
    take_parts(parts, recipe.data);
  if (!recipe.data.extra.empty()) add_extra(parts, recipe.data);
  check_classes(parts.train);
  note_balance(parts);
  return parts;
}

}  // namespace attend::train
