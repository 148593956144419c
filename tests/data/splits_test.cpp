// Killed mutations: groups ignored; the seed ignored; class shares ignored; folds that overlap; a
// fold chosen without regard to size; round() for floor().
#include "attend/data/splits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "attend/base/error.h"
#include "attend/base/random.h"

namespace attend::data {
namespace {

using testing::HasSubstr;

Dataset make(std::size_t n, std::size_t classes, std::size_t groups, std::uint64_t seed) {
  Dataset set;
  set.name = "made";
  for (std::size_t c = 0; c < classes; ++c) set.label_names.push_back("c" + std::to_string(c));
  Random random(seed, Purpose::kGenerate);
  for (std::size_t i = 0; i < n; ++i) {
    Example example;
    example.text = std::to_string(i);
    const auto r = random.below(2 * classes);  // class 0 is the most frequent
    example.label = static_cast<std::int64_t>(r < classes ? r : 0);
    if (groups > 0) example.group = "g" + std::to_string(random.below(groups));
    set.examples.push_back(example);
  }
  return set;
}

void expect_partition(const Dataset& set, const Split& split) {
  std::vector<std::size_t> all = split.train;
  all.insert(all.end(), split.held_out.begin(), split.held_out.end());
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), set.examples.size());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i);
  EXPECT_TRUE(std::is_sorted(split.train.begin(), split.train.end()));
  EXPECT_TRUE(std::is_sorted(split.held_out.begin(), split.held_out.end()));
  std::set<std::string> groups;
  for (const std::size_t i : split.train) groups.insert(set.examples[i].group);
  groups.erase("");
  for (const std::size_t i : split.held_out) EXPECT_FALSE(groups.contains(set.examples[i].group));
}

TEST(Splits, EveryOneIsAPartitionThatKeepsGroups) {
  for (const std::size_t groups : {0U, 7U, 60U}) {
    const Dataset set = make(500, 3, groups, groups);
    Dataset in_order = set;  // else every group would begin in the training part
    for (std::size_t i = 0; groups > 0 && i < 500; ++i)
      in_order.examples[i].group = "g" + std::to_string(i * groups / 500);
    expect_partition(in_order, split_last(in_order, 0.2));
    expect_partition(set, split_shuffled(set, 0.2, 1));
    expect_partition(set, split_stratified(set, 0.2, 1));
    for (const bool stratified : {false, true})
      for (const Split& split : k_fold(set, 5, 1, stratified)) expect_partition(set, split);
  }
}

TEST(Splits, SizesAndSharesWithoutGroups) {
  const Dataset set = make(1001, 4, 0, 3);
  EXPECT_EQ(split_shuffled(set, 0.2, 1).held_out.size(), 201U);
  const Split split = split_stratified(set, 0.2, 1);
  EXPECT_EQ(split.held_out.size(), 201U);
  const auto all = class_counts(set);
  const auto held = class_counts(subset(set, split.held_out));
  for (std::size_t c = 0; c < all.size(); ++c)
    EXPECT_NEAR(static_cast<double>(held[c]), 201.0 / 1001.0 * static_cast<double>(all[c]), 1.0);
  for (const Split& fold : k_fold(set, 7, 2)) {
    EXPECT_EQ(fold.held_out.size(), 143U);
    const auto counts = class_counts(subset(set, fold.held_out));
    for (std::size_t c = 0; c < all.size(); ++c)
      EXPECT_NEAR(static_cast<double>(counts[c]), static_cast<double>(all[c]) / 7.0, 1.0);
  }
}

TEST(Splits, SharesWithGroupsAreNear) {
  const Dataset set = make(2000, 2, 300, 5);
  const auto all = class_counts(set);
  const auto held = class_counts(subset(set, split_stratified(set, 0.25, 9).held_out));
  for (std::size_t c = 0; c < 2; ++c)
    EXPECT_NEAR(static_cast<double>(held[c]), 0.25 * static_cast<double>(all[c]), 12.0);
  EXPECT_NEAR(static_cast<double>(split_shuffled(set, 0.25, 9).held_out.size()), 500.0, 3.0);
  for (const Split& fold : k_fold(set, 4, 1))
    EXPECT_NEAR(static_cast<double>(fold.held_out.size()), 500.0, 12.0);
}

TEST(Splits, FoldsCoverOnce) {
  const Dataset set = make(103, 2, 20, 1);
  std::vector<int> times(103);
  for (const Split& fold : k_fold(set, 4, 8))
    for (const std::size_t i : fold.held_out) ++times[i];
  EXPECT_THAT(times, testing::Each(1));
}

TEST(Splits, APureFunctionOfTheSeed) {
  const Dataset set = make(200, 2, 0, 1);
  EXPECT_EQ(split_shuffled(set, 0.2, 4).held_out, split_shuffled(set, 0.2, 4).held_out);
  EXPECT_NE(split_shuffled(set, 0.2, 4).held_out, split_shuffled(set, 0.2, 5).held_out);
  EXPECT_NE(split_stratified(set, 0.2, 4).held_out, split_stratified(set, 0.2, 5).held_out);
  EXPECT_EQ(k_fold(set, 5, 4)[2].held_out, k_fold(set, 5, 4)[2].held_out);
  EXPECT_NE(k_fold(set, 5, 4)[2].held_out, k_fold(set, 5, 5)[2].held_out);
}

TEST(Splits, LastKeepsAStraddlingGroupInTraining) {
  Dataset set = make(10, 2, 0, 1);
  for (std::size_t i = 0; i < 10; ++i) set.examples[i].group = i < 7 ? "a" : i < 9 ? "b" : "c";
  EXPECT_EQ(split_last(set, 0.2).held_out, std::vector<std::size_t>{9});  // b begins before row 8
}

TEST(Splits, SayWhatIsWrong) {
  const Dataset set = make(10, 2, 0, 1);
  const auto text = [&](auto act) -> std::string {
    try {
      act();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  for (const double bad : {0.0, 1.0, -0.1, 1.5, std::nan("")})
    EXPECT_THAT(text([&] { split_last(set, bad); }), HasSubstr("give a number between 0 and 1"));
  EXPECT_THAT(text([&] { split_shuffled(set, 0.99, 1); }), HasSubstr("nothing to train on"));
  EXPECT_THAT(text([&] { split_last(Dataset{}, 0.5); }), HasSubstr("0 rows"));
  EXPECT_THAT(text([&] { split_stratified(Dataset{}, 0.5, 1); }), HasSubstr("0 rows"));
  EXPECT_THAT(text([&] { k_fold(set, 1, 1); }), HasSubstr("k is 1; give 2…10"));
  EXPECT_THAT(text([&] { k_fold(set, 11, 1); }), HasSubstr("k is 11"));
  Dataset one_group = set;
  for (Example& example : one_group.examples) example.group = "all";
  EXPECT_THAT(text([&] { split_stratified(one_group, 0.5, 1); }), HasSubstr("would leave"));
}

TEST(Splits, BalanceInWords) {
  Dataset set = make(4, 2, 0, 1);
  for (std::size_t i = 0; i < 4; ++i) set.examples[i].label = i == 3;
  EXPECT_EQ(describe_balance(set), "4 rows: c0 3 (75.0 %), c1 1 (25.0 %)");
  EXPECT_EQ(describe_balance(Dataset{}), "0 rows");
}

}  // namespace
}  // namespace attend::data
