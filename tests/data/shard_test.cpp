#include "attend/data/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "support/temporary_folder.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Ids = std::vector<std::int64_t>;

class Shard : public testing::Test {
 protected:
  void make(const std::vector<std::pair<Ids, Ids>>& pairs) {
    PairShardWriter writer(path_);
    for (const auto& [source, target] : pairs) writer.add(source, target);
    writer.finish();
  }
  std::string told(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      const PairShard shard(path_);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  test::TemporaryFolder temporary_;
  std::string folder_ = temporary_.path();
  std::string path_ = folder_ + "/a.ids";
};

Ids ids_of(std::span<const std::int32_t> ids) { return {ids.begin(), ids.end()}; }

TEST_F(Shard, GivesBackWhatWasWritten) {
  for (int n = 0; n < 6; ++n) {
    std::vector<std::pair<Ids, Ids>> pairs;
    for (std::int64_t i = 0; i < n; ++i)
      pairs.push_back({Ids(static_cast<std::size_t>(i % 4), i), {7, i, 0x7fffffff}});
    make(pairs);
    const PairShard shard(path_);
    ASSERT_EQ(shard.size(), pairs.size());
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      EXPECT_EQ(ids_of(shard.source(i)), pairs[i].first);
      EXPECT_EQ(ids_of(shard.target(i)), pairs[i].second);
      EXPECT_EQ(shard.lengths()[i].source, static_cast<std::int64_t>(i % 4));
      EXPECT_EQ(shard.lengths()[i].target, 3);
    }
    EXPECT_THROW(shard.source(pairs.size()), Error);
    EXPECT_FALSE(fs::exists(path_ + ".part"));
  }
}

TEST_F(Shard, NothingIsLeftOfAnUnfinishedOne) {
  {
    PairShardWriter writer(path_);
    writer.add(Ids{1}, Ids{2});
    EXPECT_TRUE(fs::exists(path_ + ".part"));
    EXPECT_THROW(writer.add(Ids{-1}, Ids{}), Error);
    EXPECT_THROW(writer.add(Ids{std::int64_t{1} << 31}, Ids{}), Error);
  }
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_THROW(PairShardWriter("/proc/no/such"), Error);
}

TEST_F(Shard, DamagedFiles) {
  make({{{1, 2, 3}, {4}}, {{}, {5, 6}}});
  const std::string good = read_file(path_);
  EXPECT_EQ(told(good), "");
  EXPECT_THAT(told(""), HasSubstr("not a shard"));
  EXPECT_THAT(told("attend.pairs/1\n"), HasSubstr("not a shard"));
  EXPECT_THAT(told("x" + good.substr(1)), HasSubstr("not a shard"));
  EXPECT_THAT(told(good.substr(0, good.size() - 1)), HasSubstr("cut short"));
  std::string wrong = good;
  wrong[good.size() - 32] = 9;  // the number of pairs
  EXPECT_THAT(told(wrong), HasSubstr("size is not that of 9 pairs with 6 ids"));
  wrong = good;
  wrong[good.size() - 25] = '\x10';  // 2^60 pairs more: 0 bytes more, modulo 2^64
  EXPECT_THAT(told(wrong), HasSubstr("size is not that of"));
  wrong = good;
  wrong[16 + 24 + 8] = 5;  // the second offset
  EXPECT_THAT(told(wrong), HasSubstr("offsets do not rise"));
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_NE(told(good.substr(0, n)), "") << n;
  EXPECT_THROW(PairShard(folder_ + "/none"), Error);
  EXPECT_THROW(PairShard{folder_}, Error);
}

}  // namespace
}  // namespace attend::data
