// Killed mutations: neutral ratings counted as negative; Amazon sentences grouped by their own id;
// SST's parts swapped; a folder with a missing file accepted; truth not marked on the negation, or
// marked on the hearsay clause; a negation that does not turn the label round; repeated texts.
#include "attend/data/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/load.h"
#include "attend/data/splits.h"
#include "support/data.h"
#include "support/temporary_folder.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Catalogue : public testing::Test {
 protected:
  Catalogue() {
    if (const char* given = std::getenv("ATTEND_DATA")) data_ = given;
    ::setenv("ATTEND_DATA", "", 1);
    ::setenv("ATTEND_CACHE", (folder_ + "/cache").c_str(), 1);
  }
  ~Catalogue() override {
    give_back();
    ::unsetenv("ATTEND_CACHE");
  }
  void put(const std::string& place, const CatalogueSet& set, std::size_t but_last = 0) {
    fs::create_directories(folder_ + place + "/" + set.name);
    for (std::size_t i = 0; i + but_last < set.files.size(); ++i)
      std::ofstream(folder_ + place + "/" + set.name + "/" + set.files[i].name) << "x\t0\ny\t1\n";
  }
  bool use_shared() {
    give_back();
    return test::has_set("uci-sentiment") && test::has_set("sst") && test::has_set("hutto-reviews");
  }
  void give_back() {  // ATTEND_DATA as it was
    if (data_)
      ::setenv("ATTEND_DATA", data_->c_str(), 1);
    else
      ::unsetenv("ATTEND_DATA");
  }
  std::optional<std::string> data_;
  test::TemporaryFolder temporary_;
  std::string folder_ = temporary_.path();
};

std::string message(const std::string& name) {
  try {
    load_set(name);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST_F(Catalogue, LooksInTheFoldersInOrderThenInTheCache) {
  const CatalogueSet& set = *find_set("uci-sentiment");
  EXPECT_EQ(find_folder(set), std::nullopt);
  EXPECT_EQ(message("uci-sentiment"),
            "data set 'uci-sentiment' is not on this machine: run `attend data get uci-sentiment`");
  put("/cache/data", set);
  EXPECT_EQ(find_folder(set), folder_ + "/cache/data/uci-sentiment");
  put("/b", set);
  put("/a", set, 1);  // a file is missing
  ::setenv("ATTEND_DATA", (folder_ + "/none:" + folder_ + "/a:" + folder_ + "/b").c_str(), 1);
  EXPECT_EQ(find_folder(set), folder_ + "/b/uci-sentiment");
}

TEST_F(Catalogue, CacheFolder) {
  EXPECT_EQ(cache_folder(), folder_ + "/cache");
  ::unsetenv("ATTEND_CACHE");
  ::setenv("XDG_CACHE_HOME", "/x", 1);
  EXPECT_EQ(cache_folder(), "/x/attend");
  ::unsetenv("XDG_CACHE_HOME");
  EXPECT_THAT(cache_folder(), testing::EndsWith("/.cache/attend"));
}

TEST_F(Catalogue, NamesAndTheirNeighbours) {
  EXPECT_EQ(find_set("sst:fine")->name, "sst");
  EXPECT_EQ(find_set("hutto-reviews/film")->name, "hutto-reviews");
  EXPECT_EQ(find_set("sst2"), nullptr);
  EXPECT_THAT(nearest_names("hutto-review"), ElementsAre("hutto-reviews"));
  EXPECT_THAT(nearest_names("synthetic"), ElementsAre("synthetic-reviews"));
  EXPECT_TRUE(nearest_names("mnist-images").empty());
  EXPECT_THAT(message("uci-sentimnt"), HasSubstr("did you mean uci-sentiment?"));
}

TEST_F(Catalogue, TheFilesAreTheOnesOfTheirSums) {
  if (!use_shared()) GTEST_SKIP() << "no data: set ATTEND_DATA to a folder with the sets";
  for (const CatalogueSet& set : catalogue())
    for (const CatalogueFile& file : find_folder(set) ? set.files : std::vector<CatalogueFile>())
      EXPECT_EQ(sha256_of_file(*find_folder(set) + "/" + file.name), file.sha256) << file.name;
}

TEST_F(Catalogue, HuttoReviews) {
  if (!use_shared()) GTEST_SKIP() << "no data: set ATTEND_DATA to a folder with the sets";
  const Dataset amazon =
      load_set("hutto-reviews").train;  // counted with awk: 2128 > 0, 1482 < 0, 98 = 0
  EXPECT_THAT(class_counts(amazon), ElementsAre(1482, 2128));
  EXPECT_EQ(amazon.left_out, 98);
  EXPECT_TRUE(amazon.bad_lines.empty());
  EXPECT_EQ(amazon.examples[1].group, "1");
  EXPECT_THAT(amazon.examples.back().text, testing::EndsWith("out $ 300 for their piece of junk."));
  EXPECT_EQ(amazon.examples.back().group, "309");
  const Dataset film = load_set("hutto-reviews/film").train;
  EXPECT_THAT(class_counts(film), ElementsAre(5326, 5242));
  EXPECT_EQ(film.left_out, 37);
  EXPECT_EQ(film.examples[0].group, "");
  EXPECT_THAT(message("hutto-reviews:books"), HasSubstr("hutto-reviews:film"));
}

TEST_F(Catalogue, UciSentimentAndItsParts) {
  if (!use_shared()) GTEST_SKIP() << "no data: set ATTEND_DATA to a folder with the sets";
  EXPECT_THAT(class_counts(load_set("uci-sentiment").train), ElementsAre(1500, 1500));
  const Dataset two = load_set("uci-sentiment:amazon+yelp").train;
  EXPECT_THAT(class_counts(two), ElementsAre(1000, 1000));
  EXPECT_EQ(two.name, "uci-sentiment:amazon+yelp");
  EXPECT_EQ(two.examples[0].text,
            "So there is no way for me to plug it in here in the US unless I go by a converter.");
  EXPECT_EQ(two.examples[1000].text, "Wow... Loved this place.");
  EXPECT_THAT(message("uci-sentiment:yelp+yelp"), HasSubstr("twice"));
  EXPECT_THAT(message("uci-sentiment:"), HasSubstr("no data set"));
  LoadOptions turned;
  turned.label_names = {"positive", "negative"};
  EXPECT_EQ(load("uci-sentiment:yelp", turned).train.examples[0].label, 0);
}

TEST_F(Catalogue, SstWithItsOwnParts) {
  if (!use_shared()) GTEST_SKIP() << "no data: set ATTEND_DATA to a folder with the sets";
  const Corpus binary = load_set("sst");
  EXPECT_THAT(class_counts(binary.train), ElementsAre(3310, 3610));
  EXPECT_THAT(class_counts(binary.validation), ElementsAre(428, 444));
  EXPECT_THAT(class_counts(binary.test), ElementsAre(912, 909));
  EXPECT_EQ(binary.validation.examples[0].text, "one long string of cliches .");
  const Corpus fine = load_set("sst:fine");
  EXPECT_EQ(fine.train.examples.size(), 8544U);
  EXPECT_EQ(fine.train.label_names.size(), 5U);
  EXPECT_EQ(fine.test.examples.size(), 2210U);
}

TEST_F(Catalogue, InfoCountsWhatIsThere) {
  for (const CatalogueSet& set : catalogue()) {
    EXPECT_FALSE(set.licence.empty());
    EXPECT_FALSE(set.source.empty());
    if (set.name == "fashion-mnist") continue;  // Debian's package of it may be installed
    const SetState state = set_state(set);
    const bool is_here = set.generated && set.made_from.empty();
    EXPECT_EQ(state.folder.has_value(), is_here);
    const std::size_t parts = set.task == "classification" ? 1 : 3;
    EXPECT_EQ(state.balance.size(), is_here ? parts : 0U);
  }
}

/// Says the label from the marked words alone: the last is a sentiment word, one before it a
/// negation.
int label_of(const std::vector<std::string>& deciding) {
  static const std::set<std::string> positive = {
      "good",     "great",     "excellent", "lovely",   "superb",  "wonderful",
      "pleasant", "brilliant", "charming",  "splendid", "perfect", "delightful"};
  const bool is_positive = positive.contains(deciding.back());
  return deciding.size() == 2 ? !is_positive : is_positive;
}

TEST(SyntheticReviews, TheMarkedWordsDecide) {
  const Dataset set = make_synthetic_reviews({3000, 7});
  EXPECT_THAT(class_counts(set), ElementsAre(1500, 1500));
  std::size_t negated = 0;
  for (const Example& example : set.examples) {
    std::istringstream stream(example.text);
    std::vector<std::string> deciding;
    std::size_t n = 0;
    for (std::string word; stream >> word; ++n) {
      if (example.truth.at(n) == 0.0) continue;
      while (!word.empty() && word.back() == '.') word.pop_back();
      deciding.push_back(word);
    }
    ASSERT_EQ(n, example.truth.size()) << example.text;
    ASSERT_TRUE(deciding.size() == 1 || deciding.size() == 2) << example.text;
    ASSERT_EQ(label_of(deciding), example.label) << example.text;
    negated += deciding.size() == 2;
  }
  EXPECT_NEAR(static_cast<double>(negated) / 3000.0, 0.3, 0.04);
}

TEST(SyntheticReviews, APureFunctionOfItsOptions) {
  const auto text = [](const Dataset& set) {
    std::string out;
    for (const Example& example : set.examples) out += example.text + std::to_string(example.label);
    return sha256(out);
  };
  EXPECT_EQ(text(make_synthetic_reviews()), text(make_synthetic_reviews()));
  EXPECT_NE(text(make_synthetic_reviews({2000, 0})), text(make_synthetic_reviews({2000, 1})));
  EXPECT_EQ(make_synthetic_reviews().examples.size(), 2000U);
  EXPECT_THROW(make_synthetic_reviews({1, 0}), Error);
  EXPECT_THROW(make_synthetic_reviews({-5, 0}), Error);
}

TEST(SyntheticReviews, FewTextsRepeat) {
  std::set<std::string> seen;
  const Dataset set = make_synthetic_reviews();
  for (const Example& example : set.examples) seen.insert(example.text);
  EXPECT_EQ(seen.size(), set.examples.size());
}

TEST_F(Catalogue, MakeWritesWhatCanBeLoaded) {
  const auto paths = make_set("synthetic-reviews", folder_ + "/out", {100, 3});
  ASSERT_EQ(paths.size(), 2U);
  const Dataset set = make_synthetic_reviews({100, 3});
  for (const std::string& path : paths) {
    const Dataset read = load(path).train;
    ASSERT_EQ(read.examples.size(), 100U);
    EXPECT_TRUE(read.bad_lines.empty());
    for (std::size_t i = 0; i < 100; ++i) {
      EXPECT_EQ(read.examples[i].text, set.examples[i].text);
      EXPECT_EQ(read.examples[i].label, set.examples[i].label);
    }
  }
  EXPECT_THROW(make_set("sst", folder_ + "/out"), Error);
  std::ofstream(folder_ + "/file") << "x";
  EXPECT_THROW(make_set("synthetic-reviews", folder_ + "/file/out"), Error);
}

}  // namespace
}  // namespace attend::data
