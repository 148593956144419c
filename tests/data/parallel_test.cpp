#include "attend/data/parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "support/data.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::HasSubstr;

class Parallel : public testing::Test {
 protected:
  std::string put(const std::string& name, const std::string& text) {
    return temporary_.write(name, text);
  }
  test::TemporaryFolder temporary_;
  std::string folder_ = temporary_.path();
};

TEST(Pharaoh, ReadsWhatItWrites) {
  const Alignment links = {{0, 0}, {3, 1, false}, {2, 10}};
  EXPECT_EQ(to_pharaoh(links), "0-0 3?1 2-10");
  EXPECT_EQ(parse_pharaoh("0-0 3?1 2-10"), links);
  EXPECT_EQ(parse_pharaoh(" 0-0  3p1 2-10\r"), links);
  EXPECT_TRUE(parse_pharaoh("").empty());
  EXPECT_TRUE(parse_pharaoh("  ").empty());
}

TEST(Pharaoh, RefusesWhatIsNone) {
  for (const char* bad : {"0", "-1-2", "1-", "-", "1--2", "1-2-3", "1:2", "a-b", "1-2x", "+1-2",
                          "1-99999999999", "2147483648-0", "\t1-2", "1- 2"})
    EXPECT_THAT(message_of([&] { parse_pharaoh(bad); }), HasSubstr("is no link")) << bad;
  EXPECT_THAT(message_of([] { parse_pharaoh("1-2 0-0 1?2"); }), HasSubstr("occurs twice"));
}

TEST_F(Parallel, TwoFiles) {
  const auto en = put("a.en", "one\r\n\nthree\nbad \xff\nfive\n");
  const auto de = put("a.de", "eins\nzwei\n \nvier\nfünf");
  const ParallelSet set = load_parallel_files(en, de);
  ASSERT_EQ(set.pairs.size(), 2U);
  EXPECT_EQ(set.pairs[0].source, "one");
  EXPECT_EQ(set.pairs[0].target, "eins");
  EXPECT_EQ(set.pairs[1].target, "fünf");
  EXPECT_EQ(set.pairs[1].line, 5);
  EXPECT_EQ(set.empty, 2);
  EXPECT_EQ(describe_bad_lines(set),
            "3 lines could not be used: " + en + ":2: the source side is empty; " + de +
                ":3: the target side is empty; " + en + ":4: not UTF-8 (byte 4)");
  const auto bad = put("b.de", std::string("a\0b\nb\nc\nd\ne\n", 12));
  EXPECT_THAT(describe_bad_lines(load_parallel_files(en, bad)),
              HasSubstr("b.de:1: a NUL (byte 1)"));
}

TEST_F(Parallel, UnequalNumbersOfLines) {
  const auto three = put("a.en", "a\nb\nc\n"), two = put("a.de", "a\nb\n");
  EXPECT_THAT(message_of([&] { load_parallel_files(three, two); }),
              HasSubstr("a.en goes on at line 3 where " + two + " has ended after 2 lines"));
  EXPECT_THAT(message_of([&] { load_parallel_files(two, three); }),
              HasSubstr("a.en goes on at line 3"));
}

TEST_F(Parallel, LongSentencesAreCutAndCounted) {
  std::string words = "a";
  for (int i = 1; i < 100'000; ++i) words += " a";
  ParallelOptions options;
  options.max_words = 3;
  const auto en = put("a.en", words + "\nb c  d \nb c d e\n"),
             de = put("a.de", "x\ny\nx y z v w\n");
  const ParallelSet set = load_parallel_files(en, de, options);
  EXPECT_EQ(set.capped, 2);
  EXPECT_EQ(set.pairs[0].source, "a a a");
  EXPECT_EQ(set.pairs[1].source, "b c  d ");
  EXPECT_EQ(set.pairs[2].target, "x y z");
  EXPECT_EQ(describe_pairs(set), "3 pairs, 9 source and 5 target words; 2 cut to the most words");
  options.max_words = 0;
  EXPECT_EQ(load_parallel_files(en, de, options).capped, 0);
  options.max_line_bytes = 1000;
  EXPECT_THAT(message_of([&] { load_parallel_files(en, de, options); }),
              HasSubstr("a.en:1: longer than 1000 bytes"));
}

TEST_F(Parallel, Tables) {
  const auto tsv = put("a.tsv",
                       "source\ttarget\talignment\na b\tx\t1-0\nno tab\nc\td\te\tf\n\n\td\n"
                       "e\tf\t1-0\ng\th\t0-x\nlast\tone");
  const ParallelSet set = load_pairs(tsv);
  ASSERT_EQ(set.pairs.size(), 2U);
  EXPECT_EQ(set.pairs[0].alignment, (Alignment{{1, 0}}));
  EXPECT_EQ(set.pairs[1].target, "one");
  EXPECT_EQ(set.pairs[1].line, 9);
  EXPECT_EQ(set.empty, 2);
  const std::string told = describe_bad_lines(set, 10);
  for (const char* part :
       {":3: no tab", ":4: more than three", ":5: the source side is empty", ":6: the source side",
        ":7: the link 1-0 is beyond 1 source and 1", ":8: '0-x' is no link"})
    EXPECT_THAT(told, HasSubstr(part));
  EXPECT_EQ(set.bad_lines.size(), 6U);

  const auto jsonl = put("a.jsonl",
                         "{\"source\":\"a b\",\"target\":\"x\",\"alignment\":\"1-0\"}\n[]\n"
                         "{\"source\":\"a\"}\n{\"source\":1,\"target\":\"x\"}\n{\"source\n"
                         "{\"source\":\"a\\u0000\",\"target\":\"x\"}\n");
  const ParallelSet objects = load_pairs(jsonl);
  ASSERT_EQ(objects.pairs.size(), 1U);
  EXPECT_EQ(objects.pairs[0].alignment, (Alignment{{1, 0}}));
  EXPECT_EQ(objects.bad_lines.size(), 5U);
  EXPECT_THAT(describe_bad_lines(objects), HasSubstr(":3: the key 'target' is missing"));
  EXPECT_THAT(message_of([&] { load_pairs(put("a.txt", "a\tb\n")); }), HasSubstr("name it *.tsv"));
  EXPECT_THAT(message_of([&] { load_pairs(put("e.tsv", "")); }), HasSubstr("e.tsv: empty"));
  EXPECT_THAT(message_of([&] { load_pairs(put("n.tsv", "x\n")); }), HasSubstr("no good pair"));
}

TEST_F(Parallel, CappingKeepsOnlyLinksThatRemain) {
  ParallelOptions options;
  options.max_words = 2;
  const ParallelSet set = load_pairs_bytes("a b c\tx y z\t0-0 2-1 1-2 1-1\n", "f", false, options);
  EXPECT_EQ(set.pairs[0].alignment, (Alignment{{0, 0}, {1, 1}}));
}

TEST_F(Parallel, FoldersAndNames) {
  put("train.en", "a\nb\n"), put("train.de", "x\ny\n"), put("dev.tsv", "c\tz\n");
  put("test_x.en", "t\n"), put("test_x.de", "u\n"), put("trainer.en", "q\n");
  const ParallelCorpus corpus = load_parallel(folder_);
  EXPECT_EQ(corpus.train.pairs.size(), 2U);
  EXPECT_EQ(corpus.validation.pairs[0].target, "z");
  EXPECT_EQ(corpus.test.pairs[0].source, "t");
  ParallelOptions turned;
  turned.source = "de", turned.target = "en";
  EXPECT_EQ(load_parallel(folder_, turned).train.pairs[0].source, "x");
  turned.source = "fr";
  EXPECT_THAT(message_of([&] { load_parallel(folder_, turned); }), HasSubstr("no train.fr"));
  EXPECT_EQ(load_parallel(folder_ + "/train.en," + folder_ + "/train.de").train.pairs.size(), 2U);
  EXPECT_THAT(message_of([] { load_parallel("multi30"); }), HasSubstr("did you mean multi30k?"));
  EXPECT_THAT(message_of([] { load_parallel("sst"); }), HasSubstr("holds labelled texts"));
  EXPECT_THAT(message_of([] { load_parallel("multi30k:en-fr"); }), HasSubstr("multi30k:de-en"));
  EXPECT_THAT(message_of([] { load_parallel("dates:us"); }), HasSubstr("no data set 'dates:us'"));
  EXPECT_THAT(message_of([] { load_set("number-words"); }), HasSubstr("holds sentence pairs"));
}

TEST_F(Parallel, GzipFiles) {
  const auto plain = put("a.de", "x\ny\n");
  const auto en = put("a.en", "a\nb\n");
  ASSERT_EQ(std::system(("gzip -k " + plain + " " + en).c_str()), 0);
  EXPECT_EQ(load_parallel_files(en + ".gz", plain + ".gz").pairs[1].source, "b");
  const std::string whole = read_file(en + ".gz");
  const auto cut = put("cut.gz", whole.substr(0, whole.size() - 9));
  EXPECT_THAT(message_of([&] { load_parallel_files(cut, plain); }), HasSubstr("damaged gzip"));
  const auto text = put("text.gz", "a\nb\n");
  EXPECT_THAT(message_of([&] { load_parallel_files(text, plain); }), HasSubstr("not a gzip file"));
  EXPECT_THAT(message_of([&] { load_parallel_files(folder_ + "/no.gz", plain); }),
              HasSubstr("no.gz"));
}

TEST_F(Parallel, Multi30k) {
  ATTEND_SET_OR_SKIP("multi30k");
  const ParallelCorpus corpus = load_parallel("multi30k:de-en");
  EXPECT_EQ(corpus.train.pairs.size(), 29000U);  // as its authors give them
  EXPECT_EQ(corpus.validation.pairs.size(), 1014U);
  EXPECT_EQ(corpus.test.pairs.size(), 1000U);
  EXPECT_TRUE(corpus.train.bad_lines.empty());
  EXPECT_EQ(corpus.train.pairs[0].target, "Two young, White males are outside near many bushes.");
  if (!test::has_set("tinyshakespeare")) return;
  const RunningText text = load_running_text("tinyshakespeare");
  EXPECT_EQ(text.train.size() + text.validation.size() + text.test.size(), 1115394U);
  EXPECT_EQ(text.train.back(), '\n');
  EXPECT_NEAR(static_cast<double>(text.train.size()), 0.9 * 1115394, 100);
}

TEST_F(Parallel, GeneratedSetsAreWrittenAndReadBack) {
  for (const char* name : {"number-words", "number-words:to-words", "dates"}) {
    const auto paths = make_set(name, folder_ + "/" + name, {200, 5});
    ASSERT_EQ(paths.size(), 3U);
    const ParallelCorpus made = make_pairs(name, {200, 5});
    const ParallelCorpus read = load_parallel(fs::path(paths[0]).parent_path().string());
    ASSERT_EQ(read.test.pairs.size(), 20U);
    EXPECT_TRUE(read.train.bad_lines.empty());
    for (std::size_t i = 0; i < 160; ++i) {
      EXPECT_EQ(read.train.pairs[i].source, made.train.pairs[i].source);
      EXPECT_EQ(read.train.pairs[i].alignment, made.train.pairs[i].alignment);
    }
  }
  EXPECT_THAT(message_of([] {
                make_number_words({5, 0});
              }),
              HasSubstr("rows is 5; give 10…500000"));
  EXPECT_THAT(message_of([] { make_dates({50'001, 0}); }), HasSubstr("give 10…50000"));
  EXPECT_THAT(message_of([&] { make_set("sst", folder_); }), HasSubstr("dates, number-words"));
}

}  // namespace
}  // namespace attend::data
