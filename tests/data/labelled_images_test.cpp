// Killed mutations: little-endian lengths; bytes behind the end and missing ones let pass; another
// number of labels than of images; images of two axes; no image; five axes; the test part read from
// the training files; a box beyond the right or the bottom let pass; boxes of another number than of labels; labels of several
// objects not seen, their number always one, none at all let pass; lengths written little-endian.
#include "attend/data/labelled_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "attend/base/error.h"
#include "support/data.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::HasSubstr;

/// An IDX file of these lengths, big-endian, and values.
std::string idx(const std::vector<std::uint32_t>& lengths, const std::string& values) {
  std::string out("\0\0\x8", 3);
  out += static_cast<char>(lengths.size());
  for (const std::uint32_t n : lengths)
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift);
  return out + values;
}

class Labelled : public testing::Test {
 protected:
  Labelled() {
    put("train-images-idx3-ubyte", idx({2, 1, 3}, "abcdef"));
    put("train-labels-idx1-ubyte", idx({2}, std::string("\1\0", 2)));
    put("t10k-images-idx3-ubyte", idx({1, 1, 3}, "xyz"));
    put("t10k-labels-idx1-ubyte", idx({1}, "\2"));
  }
  void put(const std::string& name, const std::string& bytes) { temporary_.write(name, bytes); }
  std::string told() {
    return message_of([&] { load_labelled_images(folder_); });
  }
  test::TemporaryFolder temporary_;
  std::string folder_ = temporary_.path();
};

TEST(Idx, ShapeAndValues) {
  const IdxArray array = read_idx_bytes(idx({2, 1, 258}, std::string(516, 'v')), "f");
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 1, 258}));
  EXPECT_EQ(array.bytes.size(), 516U);
  EXPECT_TRUE(read_idx_bytes(idx({0, 5}, ""), "f").bytes.empty());
}

TEST(Idx, RefusesWhatIsNone) {
  const auto told = [](const std::string& bytes) {
    return message_of([&] { read_idx_bytes(bytes, "f"); });
  };
  EXPECT_THAT(told(""), HasSubstr("f: not an IDX file"));
  EXPECT_THAT(told("\x89PNG"), HasSubstr("f: not an IDX file"));
  EXPECT_THAT(told(std::string("\0\0\xD\1\0\0\0\1abcd", 12)), HasSubstr("type 13 and 1 axes"));
  EXPECT_THAT(told(std::string("\0\0\x8\0", 4)), HasSubstr("type 8 and 0 axes"));
  EXPECT_THAT(told(std::string("\0\0\x8\5", 4)), HasSubstr("type 8 and 5 axes"));
  EXPECT_THAT(told(std::string("\0\0\x8\3\0\0\0\1\0\0", 10)), HasSubstr("cut short in its header"));
  EXPECT_THAT(told(idx({2, 3}, "abcde")), HasSubstr("cut short: 2 × 3 values promised, 5 there"));
  EXPECT_THAT(told(idx({2, 3}, "abcdefg")), HasSubstr("goes on behind the 2 × 3 values"));
  // Neither is memory taken for what a header promises, nor does the product wrap round.
  EXPECT_THAT(told(idx({1 << 30}, "a")), HasSubstr("cut short"));
  EXPECT_THAT(told(idx({60'000, 100'000, 100'000}, "a")), HasSubstr("at most 2^30"));
  EXPECT_THAT(told(idx({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "a")),
              HasSubstr("promises 4294967295… values"));
}

TEST_F(Labelled, Folder) {
  const ImageCorpus corpus = load_labelled_images(folder_);
  EXPECT_EQ(corpus.train.count, 2);
  EXPECT_EQ(corpus.train.height, 1);
  EXPECT_EQ(corpus.train.width, 3);
  EXPECT_EQ(corpus.train.pixels[4], 'e');
  EXPECT_EQ(corpus.train.labels, (std::vector<std::uint8_t>{1, 0}));
  EXPECT_EQ(corpus.test.pixels[0], 'x');
  EXPECT_EQ(corpus.test.label_names, (std::vector<std::string>{"0", "1", "2"}));
}

TEST_F(Labelled, FilesThatDoNotFit) {
  put("t10k-images-idx3-ubyte", idx({1, 3, 1}, "xyz"));
  EXPECT_THAT(told(), HasSubstr("images of 1 × 3 pixels and test images of 3 × 1"));
  put("train-labels-idx1-ubyte", idx({3}, "abc"));
  EXPECT_THAT(told(), HasSubstr("3 labels for 2 images in"));
  put("train-images-idx3-ubyte", idx({2, 3}, "abcdef"));
  EXPECT_THAT(told(), HasSubstr("2 × 3 values; expected images × height × width"));
  put("train-images-idx3-ubyte", idx({0, 3, 3}, ""));
  EXPECT_THAT(told(), HasSubstr("0 × 3 × 3 values; expected"));
  fs::remove(folder_ + "/train-images-idx3-ubyte");
  EXPECT_THAT(told(), HasSubstr("no train-images-idx3-ubyte or train-images-idx3-ubyte.gz in"));
  put("train-images-idx3-ubyte.gz", "no gzip");
  EXPECT_THAT(told(), HasSubstr("not a gzip file"));
}

TEST_F(Labelled, SeveralObjectsAnImageAndTheirBoxes) {
  EXPECT_TRUE(load_labelled_images(folder_).train.boxes.empty());
  put("train-labels-idx2-ubyte", idx({2, 2}, std::string("\1\0\3\1", 4)));
  put("train-boxes-idx3-ubyte",
      idx({2, 2, 4}, std::string("\0\0\3\1\2\0\1\1\1\0\1\1\0\0\0\0", 16)));
  const ImageCorpus corpus = load_labelled_images(folder_);
  EXPECT_EQ(corpus.train.objects, 2);
  EXPECT_EQ(corpus.train.labels, (std::vector<std::uint8_t>{1, 0, 3, 1}));
  EXPECT_EQ(corpus.train.boxes.size(), 16U);
  EXPECT_EQ(corpus.train.label_names.size(), 4U);
  EXPECT_EQ(corpus.test.objects, 1);
  EXPECT_TRUE(corpus.test.boxes.empty());
  put("train-boxes-idx3-ubyte",
      idx({2, 2, 4}, std::string("\0\0\3\1\2\0\2\1\1\0\1\1\0\0\0\0", 16)));
  EXPECT_THAT(told(), HasSubstr("box 2 reaches beyond its image of 1 × 3 pixels"));
  put("train-boxes-idx3-ubyte",
      idx({2, 2, 4}, std::string("\0\0\3\1\2\1\1\1\1\0\1\1\0\0\0\0", 16)));
  EXPECT_THAT(told(), HasSubstr("box 2 reaches beyond"));
  put("train-boxes-idx3-ubyte", idx({2, 1, 4}, std::string(8, '\0')));
  EXPECT_THAT(told(), HasSubstr("2 × 1 × 4 values; expected 2 × 2 × 4: left, top"));
  put("train-labels-idx2-ubyte", idx({2, 0}, ""));
  EXPECT_THAT(told(), HasSubstr("2 × 0 labels for 2 images"));
}

TEST(Idx, WritesWhatItReads) {
  const std::string bytes = idx({2, 1, 258}, std::string(516, 'v'));
  EXPECT_EQ(idx_bytes(read_idx_bytes(bytes, "f")), bytes);
}

TEST_F(Labelled, KnownSets) {
  EXPECT_THAT(message_of([] { load_labelled_images("mnis"); }), HasSubstr("did you mean mnist"));
  EXPECT_THAT(message_of([] { load_labelled_images("mnist:x"); }), HasSubstr("'mnist:x'"));
  EXPECT_THAT(message_of([] { load_labelled_images("shapes"); }), HasSubstr("images (generation)"));
  for (const char* name : {"mnist", "fashion-mnist"}) {
    if (!test::has_set(name)) continue;
    const ImageCorpus corpus = load_labelled_images(name);
    EXPECT_EQ(corpus.train.count, 60'000);
    EXPECT_EQ(corpus.test.count, 10'000);
    EXPECT_EQ(corpus.train.height * corpus.train.width, 28 * 28);
    EXPECT_EQ(corpus.train.label_names.size(), 10U);
    std::array<int, 10> balance{};
    for (const std::uint8_t label : corpus.test.labels) ++balance[label];
    // As their authors give them.
    if (std::string(name) == "mnist")
      EXPECT_EQ(balance, (std::array{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}));
    else
      for (const int n : balance) EXPECT_EQ(n, 1000);
  }
}

}  // namespace
}  // namespace attend::data
