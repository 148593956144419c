// Killed mutations: '\r' left in text or on an empty line; a byte order mark left in the first text;
// UCI split at the first tab; the last line without '\n' lost; NUL or bad UTF-8 let through; quotes
// not undoubled; a quoted line break lost; words as labels in reverse; a length checked only once the
// line is complete, or one byte off; JSON deeper than 64 or with a repeated key taken.
#include "attend/data/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "attend/base/error.h"
#include "data/line_reader.h"
#include "support/temporary_folder.h"

namespace attend::data {
namespace {

using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> texts(const Dataset& set) {
  std::vector<std::string> out;
  for (const Example& example : set.examples) out.push_back(example.text);
  return out;
}

std::vector<std::int64_t> labels(const Dataset& set) {
  std::vector<std::int64_t> out;
  for (const Example& example : set.examples) out.push_back(example.label);
  return out;
}

Dataset from(const std::string& bytes, Format format, const LoadOptions& options = {}) {
  return load_bytes(bytes, "f", format, options);
}

std::string message(const std::string& bytes, Format format, const LoadOptions& options = {}) {
  try {
    from(bytes, format, options);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadInput);
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return e.what();
  }
  return "";
}

TEST(Load, UciSentences) {
  const Dataset set = from("bad\t0\nwith\ttab \t1\r\nlast, no newline\t1", Format::kUci);
  EXPECT_THAT(texts(set), ElementsAre("bad", "with\ttab ", "last, no newline"));
  EXPECT_THAT(labels(set), ElementsAre(0, 1, 1));
  EXPECT_THAT(set.label_names, ElementsAre("negative", "positive"));
  EXPECT_EQ(set.examples[2].line, 3);
  EXPECT_EQ(set.examples[2].file, "f");
}

TEST(Load, CarriageReturns) {
  const Dataset uci = from("a\t1\r\n\r\nb\t0\r\n", Format::kUci);
  EXPECT_EQ(uci.examples.size(), 2U);
  EXPECT_TRUE(uci.bad_lines.empty());
  const Dataset tsv = from("label\ttext\r\n1\ta\r\n\r\n0\tb\r\n", Format::kTsv);
  EXPECT_THAT(texts(tsv), ElementsAre("a", "b"));
  EXPECT_TRUE(tsv.bad_lines.empty());
}

TEST(Load, OnlyNewlineEndsALine) {  // as in IMDb's file of the UCI set
  const Dataset set =
      from("a\xC2\x85 b\xC2\x96 c\xE2\x80\xA8 d\x0B\x0C\x1C e\t1\nx\t0\n", Format::kUci);
  EXPECT_EQ(set.examples.size(), 2U);
  EXPECT_EQ(set.examples[0].text, "a\xC2\x85 b\xC2\x96 c\xE2\x80\xA8 d\x0B\x0C\x1C e");
}

TEST(Load, BadLinesAreCountedWithTheirPlace) {
  using namespace std::string_literals;  // for the NUL
  const std::string bytes =
      "good\t1\nno tab here\n\nnul\0x\t1\nbroken \xFF utf\t0\n\xC0\x80 over-long\t0\n"
      "\xED\xA0\x80 surrogate\t1\nno label\t\n \t1\nfine\t0\n"s;
  const Dataset set = from(bytes, Format::kUci);
  EXPECT_THAT(texts(set), ElementsAre("good", "fine"));
  std::vector<std::string> reasons;
  for (const BadLine& bad : set.bad_lines)
    reasons.push_back(std::to_string(bad.line) + " " + bad.reason);
  EXPECT_THAT(reasons,
              ElementsAre("2 no label: no tab behind the text", "4 a NUL (byte 3)",
                          "5 not UTF-8 (byte 7)", "6 not UTF-8 (byte 0)", "7 not UTF-8 (byte 0)",
                          "8 the label is empty", "9 the text is empty"));
  EXPECT_EQ(describe_bad_lines(set, 1),
            "7 lines could not be used: f:2: no label: no tab behind the text; …");
}

TEST(Load, TsvWithAndWithoutHeader) {
  EXPECT_THAT(labels(from("text a\tpos\ntext b\tneg\n", Format::kTsv)), ElementsAre(1, 0));
  const Dataset set =
      from("id\tLabel\tSentence\n1\tspam\thello\n2\tham\tbye\n3\tham\n", Format::kTsv);
  EXPECT_THAT(texts(set), ElementsAre("hello", "bye"));
  EXPECT_THAT(set.label_names, ElementsAre("ham", "spam"));
  EXPECT_EQ(set.bad_lines.at(0).reason, "2 columns instead of 3");
  LoadOptions options;
  options.text_column = "q";
  options.label_column = "a";
  EXPECT_THAT(labels(from("a\tq\n1\tx\n0\ty\n", Format::kTsv, options)), ElementsAre(1, 0));
  EXPECT_THAT(message("a\tb\n1\tx\n", Format::kTsv, options),
              HasSubstr("f:1: no text column 'q' among: a, b; rename one to 'q'"));
  EXPECT_THAT(message("text\trating\nx\t1\n", Format::kTsv),
              HasSubstr("no label column among: text, rating"));
}

TEST(Load, CsvOfRfc4180) {
  const Dataset set = from(
      "\xEF\xBB\xBFtext,label\r\n\"a, \"\"b\"\"\r\nsecond line\",1\r\n\r\nplain 6\" tube,0\r\n"
      "\"\",0\r\n\"x\" y,0\r\n\"end\",1",
      Format::kCsv);
  EXPECT_THAT(texts(set), ElementsAre("a, \"b\"\r\nsecond line", "plain 6\" tube", "end"));
  EXPECT_THAT(labels(set), ElementsAre(1, 0, 1));
  EXPECT_EQ(set.examples[1].line, 5);
  ASSERT_EQ(set.bad_lines.size(), 2U);
  EXPECT_EQ(set.bad_lines[0].reason, "the text is empty");
  EXPECT_THAT(set.bad_lines[1].reason, HasSubstr("text behind a closing quote"));
  EXPECT_THAT(message("a,1\nb,0\n\"never closed,1\nc,0\n", Format::kCsv),
              HasSubstr("f:3: a quote is opened here and never closed"));
}

TEST(Load, Jsonl) {
  const Dataset set = from(
      "{\"text\": \"a\\u00e9\", \"label\": 2}\n{\"label\": \"4\", \"text\": \"b\", \"x\": [{}]}\n"
      "{\"text\": \"c\"}\n[1]\n{\"text\": 3, \"label\": 2}\n{\"text\": \"d\", \"label\": 2.5}\n"
      "{\"text\": \"e\", \"text\": \"f\", \"label\": "
      "2}\n{oops\n{\"text\":\"g\\u0000\",\"label\":2}\n",
      Format::kJsonl);
  EXPECT_THAT(texts(set), ElementsAre("a\xC3\xA9", "b"));
  EXPECT_THAT(set.label_names, ElementsAre("2", "4"));
  ASSERT_EQ(set.bad_lines.size(), 7U);
  EXPECT_EQ(set.bad_lines[0].reason, "no label: the key 'label' is missing");
  EXPECT_EQ(set.bad_lines[4].reason, "the key 'text' occurs twice");
  EXPECT_THAT(set.bad_lines[5].reason, HasSubstr("not JSON"));
  EXPECT_EQ(set.bad_lines[6].reason, "a NUL in the text");
}

TEST(Load, DeepJsonIsRefusedWithoutHarm) {
  const std::string deep = "{\"text\":\"a\",\"label\":0,\"x\":" + std::string(500000, '[') + "}\n";
  const Dataset set =
      from(deep + "{\"text\":\"a\",\"label\":0}\n{\"text\":\"b\",\"label\":1}\n", Format::kJsonl);
  EXPECT_EQ(set.bad_lines.at(0).reason, "nested deeper than 64 levels");
  EXPECT_EQ(set.examples.size(), 2U);
}

TEST(Load, SixtyFourLevelsOfJsonAreFine) {
  const auto nested = [](int arrays) {
    return R"({"text":"a","label":0,"x":)" + std::string(arrays, '[') + std::string(arrays, ']') +
           "}\n{\"text\":\"b\",\"label\":1}\n{\"text\":\"c\",\"label\":0}\n";
  };
  EXPECT_EQ(from(nested(63), Format::kJsonl).bad_lines.size(), 0U);
  EXPECT_EQ(from(nested(64), Format::kJsonl).bad_lines.size(), 1U);
}

TEST(Load, LabelsKeepTheirOrder) {
  EXPECT_THAT(from("a\t10\nb\t9\nc\t-1\n", Format::kTsv).label_names, ElementsAre("-1", "9", "10"));
  EXPECT_THAT(labels(from("a\t10\nb\t9\nc\t-1\n", Format::kTsv)), ElementsAre(2, 1, 0));
  EXPECT_THAT(labels(from("a\tz\nb\tÄ\nc\tB\n", Format::kTsv)), ElementsAre(1, 2, 0));
}

TEST(Load, LabelsThatCannotBe) {
  EXPECT_EQ(message("a\t0\nb\t7\n", Format::kUci),
            "f:2: the label 7 is out of range: this format has 0 and 1; save other labels as .tsv");
  EXPECT_THAT(message("a\t0\nb\tx\n", Format::kUci),
              HasSubstr("f:2: the label 'x' is a word among integers"));
  EXPECT_THAT(message("a\tp\nb\tn\n", Format::kUci),
              HasSubstr("f:1: the label 'p' is out of range"));
  EXPECT_THAT(message("a\t0\nb\t99999999999999999999999\n", Format::kTsv),
              HasSubstr("f:2: the label"));
  EXPECT_THAT(message("a\tno\nb\tyes\nc\t1\n", Format::kTsv),
              HasSubstr("f:3: the label '1' is an integer among words"));
  EXPECT_EQ(message("a\t1\nb\t1\n", Format::kUci),
            "f: every row has the label 'positive'; training needs rows of at least two classes");
  LoadOptions known;
  known.label_names = {"negative", "positive"};
  EXPECT_EQ(message("a\t0\nb\t2\n", Format::kTsv, known),
            "f:2: the label '2' is not one of negative, positive");
  EXPECT_THAT(labels(from("a\tpositive\nb\t0\n", Format::kTsv, known)), ElementsAre(1, 0));
  LoadOptions few;
  few.max_classes = 2;
  EXPECT_THAT(message("a\tx\nb\ty\nc\tz\n", Format::kTsv, few),
              HasSubstr("f:3: more than 2 different labels"));
}

TEST(Load, EmptyAndHopelessFiles) {
  EXPECT_THAT(message("", Format::kTsv), HasSubstr("f: empty"));
  EXPECT_THAT(message("\xEF\xBB\xBF\n\n", Format::kCsv), HasSubstr("f: empty"));
  EXPECT_THAT(message("text\tlabel\n", Format::kTsv), HasSubstr("f: empty"));
  EXPECT_EQ(message("just text\nno label\n", Format::kUci),
            "f: no line could be used; 2 lines could not be used: f:1: no label: no tab behind the "
            "text; …; "
            "expected a text and a label a line");
  EXPECT_THAT(message(std::string("\xFF\xFE"
                                  "a\0",
                                  4),
                      Format::kTsv),
              HasSubstr("f:1: this is UTF-16"));
}

TEST(Load, ALongLineIsRefusedBeforeItIsRead) {
  std::int64_t given = 0;
  LineReader lines(
      [&](char* into, std::size_t n) {
        std::fill_n(into, n, 'x');
        given += static_cast<std::int64_t>(n);
        return given > (std::int64_t{100} << 20) ? 0 : n;
      },
      "endless", 1 << 20);
  std::string line;
  EXPECT_THROW(lines.next(line), Error);
  EXPECT_LT(given, 2 << 20);
  EXPECT_THAT(message("a\t1\n" + std::string(2 << 20, 'x'), Format::kTsv),
              HasSubstr("f:2: longer than 1048576 bytes"));
  EXPECT_THAT(
      message("a,1\n\"" + std::string(1000, '\n') + std::string(2 << 20, '\n'), Format::kCsv),
      HasSubstr("f:2: longer than"));
}

TEST(Load, ALineOfExactlyTheLimitIsFine) {
  LoadOptions options;
  options.max_line_bytes = 6;
  EXPECT_EQ(from("1234\t1\nabcd\t0", Format::kUci, options).examples.size(), 2U);
  options.max_line_bytes = 5;
  EXPECT_THAT(message("1234\t1\n", Format::kUci, options), HasSubstr("f:1: longer than 5 bytes"));
  EXPECT_THAT(message("a\t0\n1234\t1", Format::kUci, options),
              HasSubstr("f:2: longer than 5 bytes"));
}

TEST(Load, LinesAcrossBlocks) {  // blocks of one byte
  const std::string bytes =
      "\xEF\xBB\xBF"
      "one\r\n\ntwo\nthree";
  std::size_t place = 0;
  LineReader lines(
      [&](char* into, std::size_t) {
        if (place == bytes.size()) return std::size_t{0};
        *into = bytes[place++];
        return std::size_t{1};
      },
      "f", 100);
  std::vector<std::string> all;
  std::string line;
  while (lines.next(line)) all.push_back(line);
  EXPECT_THAT(all, ElementsAre("one\r", "", "two", "three"));
  EXPECT_EQ(lines.number(), 4);
}

TEST(Load, FilesFoldersAndLists) {
  const TemporaryFolder folder;
  const std::string a = folder.write("a.txt", "x\t0\ny\t1\n");
  const std::string b = folder.write("b.tsv", "text\tlabel\nz\t1\n");
  EXPECT_THAT(texts(load(a + "," + b).train), ElementsAre("x", "y", "z"));
  EXPECT_THAT(texts(load(folder.path()).train), ElementsAre("x", "y", "z"));
  EXPECT_EQ(load(folder.path()).train.examples[2].file, b);
  const TemporaryFolder parts;
  parts.write("train.tsv", "a\tbad\nb\tgood\n");
  parts.write("dev.tsv", "c\tgood\n");
  parts.write("test.csv", "d,bad\n");
  const Corpus corpus = load(parts.path());
  EXPECT_THAT(labels(corpus.validation), ElementsAre(1));
  EXPECT_THAT(labels(corpus.test), ElementsAre(0));
  parts.write("test.csv", "d,awful\n");
  EXPECT_THROW(load(parts.path()), Error);
}

TEST(Load, WhatIsNotThere) {
  const TemporaryFolder folder;
  const auto text_of = [](const std::string& path) -> std::string {
    try {
      load(path);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(text_of("uci-sentimet"),
            "no data set or file 'uci-sentimet'; did you mean uci-sentiment?");
  EXPECT_THAT(text_of(folder.path()), HasSubstr("no *.txt, *.tsv, *.csv or *.jsonl file"));
  EXPECT_THAT(text_of(folder.write("a.doc", "x")), HasSubstr("unknown kind of file"));
  EXPECT_THAT(text_of("uci-sentiment:amazon+foo"), HasSubstr("uci-sentiment:amazon"));
}

TEST(ReadLines, HandsOnEveryLineAndStops) {
  const TemporaryFolder folder;
  const std::string path = folder.write("in", std::string("one\r\n\nbad \xFF\nnul\0\nlast", 21));
  std::vector<std::string> seen;
  read_lines(path, [&](const InputLine& line) {
    seen.push_back(std::to_string(line.number) + ":" + line.text + ":" + line.problem);
    return true;
  });
  EXPECT_THAT(
      seen, ElementsAre("1:one:", "2::", "3::not UTF-8 (byte 4)", "4::a NUL (byte 3)", "5:last:"));
  int count = 0;
  read_lines(path, [&](const InputLine&) { return ++count < 2; });
  EXPECT_EQ(count, 2);
  EXPECT_THROW(read_lines(folder.path(), [](const InputLine&) { return true; }), Error);
  EXPECT_THROW(read_lines(folder.path() + "/none", [](const InputLine&) { return true; }), Error);
}

}  // namespace
}  // namespace attend::data
