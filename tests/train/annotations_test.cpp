// Annotations of a frozen encoder on disk: the same bits as computed, made once, and never taken from a file that is not whole or is of
// something else.
//
// Planted and seen to fail here: a file that is too short taken (SIGBUS); the encoder's weights left out of the key; annotations of a trained
// encoder kept. In tests/cli/test_image_encoders.py: the imported weights not loaded.
#include "train/annotations.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "attend/base/file.h"
#include "support/temporary_folder.h"
#include "train/feature_cache.h"

namespace attend::train {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    out.push_back(entry.path().filename());
  return out;
}

/// 70 rows of 2 × 3, counted up; `calls` counts rows computed.
CachedFeatures counted(std::int64_t& calls, const std::string& key = "abc") {
  CachedFeatures out{key, 70, 2, 3, {}};
  out.compute = [&calls](std::int64_t begin, std::int64_t end) {
    calls += end - begin;
    return at::arange(begin * 6, end * 6, at::kFloat).view({end - begin, 2, 3});
  };
  return out;
}

const at::Tensor kCounted = at::arange(70 * 6, at::kFloat).view({70, 2, 3});

TEST(FeatureCache, IsMadeOnceAndComesBackAsItWas) {
  const test::TemporaryFolder folder;
  std::int64_t calls = 0;
  EXPECT_TRUE(at::equal(mapped_features(counted(calls), folder / "deep/er"), kCounted));
  EXPECT_EQ(calls, 70);
  EXPECT_TRUE(at::equal(mapped_features(counted(calls), folder / "deep/er"), kCounted));
  EXPECT_EQ(calls, 70) << "the second time it's there";
  EXPECT_THAT(files_of(folder / "deep/er"), ::testing::ElementsAre("abc.safetensors"));
  mapped_features(counted(calls, "abd"), folder / "deep/er");
  EXPECT_EQ(calls, 140) << "another key is another file";
}

TEST(FeatureCache, WhatIsNotWholeIsMadeAnew) {
  const test::TemporaryFolder folder;
  std::int64_t calls = 0;
  mapped_features(counted(calls), folder.path());
  const std::string path = folder / "abc.safetensors", good = read_file(path);
  std::string other = good;
  other[other.find("abc")] = 'x';
  std::string shape = good;
  shape.replace(shape.find("[70,2,3]"), 8, "[70,3,2]");
  for (const std::string& bad : {good.substr(0, good.size() - 1), good + "x", std::string(),
                                 good.substr(0, 50), other, shape}) {
    write_file_atomically(path, bad);
    calls = 0;
    EXPECT_TRUE(at::equal(mapped_features(counted(calls), folder.path()), kCounted));
    EXPECT_EQ(calls, 70) << bad.size();
    EXPECT_EQ(read_file(path), good);
  }
  fs::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_TRUE(at::equal(mapped_features(counted(calls), folder.path()), kCounted))
      << "a FIFO is not waited for";
}

TEST(FeatureCache, AnInterruptedOneLeavesNothing) {
  const test::TemporaryFolder folder;
  std::int64_t calls = 0;
  CachedFeatures cut = counted(calls);
  cut.compute = [&](std::int64_t begin, std::int64_t end) {
    if (begin > 0) throw std::runtime_error("interrupted");
    return at::arange(6 * end, at::kFloat).view({end, 2, 3});
  };
  EXPECT_THROW(mapped_features(cut, folder.path()), std::runtime_error);
  EXPECT_TRUE(files_of(folder.path()).empty());
}

/// Four images of noise for a set, and the encoder that reads them.
class Kept : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("ATTEND_CACHE", cache_.path().c_str(), 1); }
  void TearDown() override { ::unsetenv("ATTEND_CACHE"); }

  static models::ImageEncoder encoder(std::uint64_t seed = 1, bool frozen = true) {
    models::ImageEncoderConfig c;
    c.network = models::EncoderNetwork::kMobileNet, c.image_size = 32, c.stride = 8,
    c.multiplier = 1. / 32;
    c.width = models::width_of(c.network, c.stride, c.multiplier), c.frozen = frozen;
    return {c, seed};
  }
  AnnotatedImages images(const models::ImageEncoder& encoder,
                         const std::vector<int>& order = {0, 1, 2, 3}) {
    data::CaptionSet set;
    for (const int i : order)
      set.images.push_back({"",
                            [i] {
                              data::Image image{40, 30, {}};  // 40 high
                              for (int k = 0; k < 40 * 30 * 3; ++k)
                                image.pixels.push_back(
                                    static_cast<unsigned char>((k * (i + 3)) % 251));
                              return image;
                            },
                            {}});
    return {encoder, SquareImages(set, 32, notes_)};
  }
  std::size_t kept_files() const { return files_of(cache_ / "features").size(); }

  test::TemporaryFolder cache_;
  std::vector<std::string> notes_;
};

TEST_F(Kept, AnnotationsAreTheSameBits) {
  const models::ImageEncoder frozen = encoder();
  const at::NoGradGuard off;
  AnnotatedImages kept = images(frozen);
  const at::Tensor computed = kept.batch({3, 0, 3});
  EXPECT_EQ(kept_files(), 0U) << "before it is asked for";
  kept.keep(notes_);
  EXPECT_TRUE(at::equal(kept.batch({3, 0, 3}), computed));
  EXPECT_EQ(kept.size_of(2), (std::pair<std::int64_t, std::int64_t>{30, 40}));
  EXPECT_EQ(kept_files(), 1U);
  EXPECT_TRUE(notes_.empty());
}

TEST_F(Kept, WhatDecidesThemMakesAnotherFile) {
  const models::ImageEncoder first = encoder(), second = encoder(2);
  images(first).keep(notes_);
  images(first).keep(notes_);
  EXPECT_EQ(kept_files(), 1U) << "nothing has changed";
  images(second).keep(notes_);
  EXPECT_EQ(kept_files(), 2U) << "other weights";
  images(first, {1, 0, 2, 3}).keep(notes_);
  EXPECT_EQ(kept_files(), 3U) << "another order";
  images(first, {0, 1, 2}).keep(notes_);
  EXPECT_EQ(kept_files(), 4U) << "fewer images";
}

TEST_F(Kept, OfATrainedEncoderThereAreNone) {
  const models::ImageEncoder trained = encoder(1, false);
  AnnotatedImages computed = images(trained);
  computed.keep(notes_);
  EXPECT_EQ(kept_files(), 0U);
  EXPECT_TRUE(computed.batch({0}).requires_grad());
}

TEST_F(Kept, InMemoryWhereTheDiskRefuses) {
  cache_.write("features", "a file where the folder should be");
  const models::ImageEncoder frozen = encoder();
  AnnotatedImages kept = images(frozen);
  const at::Tensor computed = kept.batch({1, 2});
  kept.keep(notes_);
  EXPECT_TRUE(at::equal(kept.batch({1, 2}), computed));
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_THAT(notes_[0], ::testing::HasSubstr("annotations are in memory, not kept on disk"));
}

}  // namespace
}  // namespace attend::train
