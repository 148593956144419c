// Word vectors as text. Aimed at, not planted: header taken for a word; a word with spaces cut at its first space; the last of a
// repeated word wins; row i instead of i + 1; NaN accepted; a short last line accepted; "\r" kept in the last number.
#include "attend/interop/word_vectors.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/file.h"

namespace attend::interop {
namespace {

using testing::HasSubstr;

class WordVectorsTest : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    write_file_atomically(path_, text);
    return path_;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string refusal(const std::string& text) {
    try {
      read_word_vectors(write(text));
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kBadInput) << e.what();
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
      return e.what();
    }
    return "accepted";
  }
  std::string path_ = testing::TempDir() + "attend_vectors_" + std::to_string(::getpid()) + ".txt";
};

std::vector<float> values(const at::Tensor& x) {
  const at::Tensor flat = x.contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

TEST_F(WordVectorsTest, GloveWord2vecTabsAndCarriageReturns) {
  const std::vector<float> want{1, -2.5f, 3, 0.125f, 0, 1e-3f};
  for (const std::string& text : std::vector<std::string>{
           "good 1 -2.5 3\nbad .125 0 1e-3\n", "2 3\ngood 1 -2.5 3 \nbad 0.125 0 +1e-3 \n",
           "good\t1\t-2.5\t3\r\nbad\t0.125\t0\t0.001\r\n",
           "\xEF\xBB\xBFgood 1 -2.5 3\nbad 0.125 0 0.001"}) {
    const WordVectors v = read_word_vectors(write(text));
    EXPECT_EQ(v.width, 3) << text;
    EXPECT_EQ(v.words, (std::vector<std::string>{"good", "bad"})) << text;
    EXPECT_EQ(values(v.vectors), want) << text;
    EXPECT_EQ(v.lines, 2);
  }
}

TEST_F(WordVectorsTest, WordsWithSpacesNumbersAsWordsAndRepeats) {
  const WordVectors v =
      read_word_vectors(write("a 1 2\nat name@domain.com 3 4\n2000 5 6\na 7 8\n"));
  EXPECT_EQ(v.words, (std::vector<std::string>{"a", "at name@domain.com", "2000"}));
  EXPECT_EQ(values(v.vectors), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(v.repeated, 1);
  EXPECT_EQ(v.lines, 4);
}

TEST_F(WordVectorsTest, KeepsOnlyWantedWords) {
  const WordVectors v = read_word_vectors(write("a 1 2\nb 3 4\nc 5 6\n"), {"c", "missing"});
  EXPECT_EQ(v.words, (std::vector<std::string>{"c"}));
  EXPECT_EQ(values(v.vectors), (std::vector<float>{5, 6}));
  EXPECT_EQ(v.lines, 3);
}

TEST_F(WordVectorsTest, EveryBadLineIsNamed) {
  EXPECT_THAT(refusal(""), HasSubstr("no word vectors"));
  EXPECT_THAT(refusal("word\n"), HasSubstr(":1: no numbers after the word"));
  EXPECT_THAT(refusal("a 1 2\nb 1\n"), HasSubstr(":2: fewer than the 2 numbers"));
  EXPECT_THAT(refusal("a 1 2\nb 1 2 3\n"), HasSubstr(":2: more than the 2 numbers"));
  EXPECT_THAT(refusal("a 1 2\n\nb 1 2\n"), HasSubstr(":2: an empty line"));
  EXPECT_THAT(refusal("a 1 2\nb x 2\n"), HasSubstr(":2: \"x\" is not a finite number"));
  EXPECT_THAT(refusal("a 1 2\nb nan 2\n"), HasSubstr(":2: \"nan\" is not a finite number"));
  EXPECT_THAT(refusal("a 1 2\nb 1 inf\n"), HasSubstr("not a finite number"));
  EXPECT_THAT(refusal("a 1 2\nb 1 1e99\n"), HasSubstr("not a finite number"));
  EXPECT_THAT(refusal("a 1 2\nb 1 2,5\n"), HasSubstr("\"2,5\""));
  EXPECT_THAT(refusal(std::string("a 1 2\nb\0 1 2\n", 13)), HasSubstr(":2: a NUL byte"));
  EXPECT_THAT(refusal("3 2\na 1 2\nb 1 2\n"), HasSubstr("announces 3 vectors but 2 follow"));
  EXPECT_THAT(refusal("3 0\n"), HasSubstr("width 0"));
  EXPECT_THAT(refusal("a 1\nb " + std::string(2'000'000, '1') + "\n"),
              HasSubstr(":2: a line of more than 1 MiB"));
  try {
    read_word_vectors("/nonexistent/vectors.txt");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kIo);
  }
}

TEST_F(WordVectorsTest, TinyNumbersAreZeroNotErrors) {
  const WordVectors v = read_word_vectors(write("a 1e-60 1\n"));
  EXPECT_EQ(values(v.vectors), (std::vector<float>{0, 1}));
}

TEST_F(WordVectorsTest, FillsRowsOfKnownWords) {
  const WordVectors v = read_word_vectors(write("good 1 2\nBad 3 4\nbad 5 6\n"));
  at::Tensor table = at::full({5, 2}, 9.0).to(at::kFloat).set_requires_grad(true);
  const Coverage c = fill_table(table, {"unknown", "Good", "bad", "Bad"}, v);
  EXPECT_EQ(c.known, 3);
  EXPECT_EQ(c.vocabulary, 4);
  EXPECT_DOUBLE_EQ(c.share(), 0.75);
  EXPECT_EQ(values(table.detach()), (std::vector<float>{9, 9, 9, 9, 1, 2, 5, 6, 3, 4}));
  EXPECT_TRUE(table.is_leaf());
  EXPECT_THROW(fill_table(at::zeros({5, 3}), {"good"}, v), Error);
  EXPECT_THROW(fill_table(at::zeros({2, 2}), {"good", "bad"}, v), Error);
}

}  // namespace
}  // namespace attend::interop
