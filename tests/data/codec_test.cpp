#include "attend/data/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "attend/base/error.h"
#include "attend/data/batches.h"
#include "support/message_of.h"

namespace attend::data {
namespace {

using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> kTexts = {"low low low low low", "lower lower",
                                         "newest newest newest newest newest newest",
                                         "widest widest widest", "Hi, you: 5-6!"};

TextCodec codec_of(TextUnit unit, std::int64_t size = 60) {
  CodecOptions options;
  options.unit = unit;
  options.size = size;
  return train_codec(kTexts, options);
}

TEST(Codec, WordsKeepTheirSpaces) {
  const TextCodec codec = codec_of(TextUnit::kWord);
  EXPECT_EQ(codec.pad(), 0);
  EXPECT_EQ(codec.unk(), 1);
  EXPECT_EQ(codec.bos(), 2);
  EXPECT_EQ(codec.eos(), 3);
  EXPECT_EQ(codec.vocabulary().token(4), "▁newest");  // the most frequent
  const auto ids = codec.encode(" Hi,  you:\t5-6!");
  EXPECT_THAT(codec.words(ids), ElementsAre("Hi", ",", "you", ":", "5", "-", "6", "!"));
  EXPECT_EQ(codec.decode(ids), "Hi, you: 5-6!");
  const auto unknown = codec.encode("Hi, stranger you");
  EXPECT_EQ(codec.decode(unknown), "Hi, <unk> you");
  EXPECT_TRUE(codec.encode("  ").empty());
  std::vector<std::int64_t> framed = {codec.bos()};
  framed.insert(framed.end(), ids.begin(), ids.end());
  framed.push_back(codec.eos());
  framed.push_back(codec.pad());
  EXPECT_EQ(codec.decode(framed), "Hi, you: 5-6!");
}

// The example of Sennrich et al. 2016, fig. 1, with a mark in front in place of one behind.
TEST(Codec, BpeMergesTheMostFrequentPairFirst) {
  const TextCodec codec = codec_of(TextUnit::kBpe);
  std::vector<std::string> merges;
  for (const auto& merge : codec.merges()) merges.push_back(codec.vocabulary().token(merge.result));
  ASSERT_GE(merges.size(), 3U);
  EXPECT_EQ(merges[0], "es");  // 9 times, as "st"; ids of e below those of s
  EXPECT_EQ(merges[1], "est");
  const std::string text = "lowest newer, Hi!";
  EXPECT_EQ(codec.decode(codec.encode(text)), text);
  EXPECT_EQ(codec.encode("xlow")[1], codec.unk());
}

TEST(Codec, DropoutAtItsEnds) {
  const TextCodec codec = codec_of(TextUnit::kBpe);
  Random random(1, Purpose::kDropout);
  const std::string text = "newest lower widest";
  EXPECT_EQ(codec.encode(text, 0, random), codec.encode(text));
  const auto characters = codec.encode(text, 1, random);
  EXPECT_EQ(characters.size(), text.size() + 1);  // spaces as marks, and one in front
  std::map<std::size_t, int> lengths;
  for (int i = 0; i < 300; ++i) {
    const auto ids = codec.encode(text, 0.3, random);
    EXPECT_EQ(codec.decode(ids), text);
    ++lengths[ids.size()];
  }
  EXPECT_GT(lengths.size(), 4U);
  EXPECT_THAT(message_of([&] { codec.encode(text, 1.5, random); }), HasSubstr("dropout is 1.5"));
}

TEST(Codec, CharactersKeepEverything) {
  const TextCodec codec = train_codec({"a b\nc\t e\u0301"}, {TextUnit::kCharacter});
  const std::string text = "b a\n\n\tc é ";
  EXPECT_EQ(codec.decode(codec.encode(text)), text);
  EXPECT_TRUE(codec.merges().empty());
}

TEST(Codec, AVocabularyOfBert) {
  const TextCodec codec =
      codec_from_vocab_txt("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\r\nun\n##aff\n##able\n,\n");
  const auto ids = codec.encode("The UNAFFABLE, x [MASK]");
  EXPECT_THAT(ids, ElementsAre(5, 6, 7, 8, 9, 1, 4));
  EXPECT_EQ(codec.bos(), 2);
  EXPECT_THAT(codec.words(ids), ElementsAre("the", "un", "aff", "able", ",", "[UNK]", "[MASK]"));
  const auto told = [](const std::string& text) {
    return message_of([&] { codec_from_vocab_txt(text, "v.txt"); });
  };
  EXPECT_EQ(told("[PAD]\na\n\nb"), "v.txt:3: an empty line where a token was expected");
  EXPECT_EQ(told("a\nb\na\n"), "v.txt:3: 'a' is in line 1 already");
  EXPECT_EQ(told("a\n\xff"), "v.txt:2: not UTF-8");
  EXPECT_THAT(told("a\nb\n"), HasSubstr("v.txt: vocabulary: the special token '[PAD]' is missing"));
  EXPECT_THAT(told(""), HasSubstr("missing"));
}

TEST(Codec, SavedAndLoaded) {
  const std::string path = testing::TempDir() + "attend-codec.json";
  for (const TextUnit unit : {TextUnit::kWord, TextUnit::kBpe, TextUnit::kCharacter}) {
    const TextCodec codec = codec_of(unit);
    save_codec(codec, path);
    const TextCodec again = load_codec(path);
    EXPECT_EQ(again.unit(), unit);
    EXPECT_EQ(to_json(again), to_json(codec));
  }
  std::filesystem::remove(path);
  EXPECT_THROW(load_codec(path), Error);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t place = text.find(from);
  EXPECT_NE(place, std::string::npos) << from;
  return text.replace(place, from.size(), to);
}

TEST(Codec, FilesThatAreNotOurs) {
  const std::string good = to_json(codec_of(TextUnit::kBpe));
  const auto told = [](const std::string& text) {
    return message_of([&] { codec_from_json(text, "t.json"); });
  };
  EXPECT_EQ(told(good), "");
  EXPECT_THAT(told("{"), HasSubstr("t.json: not JSON"));
  EXPECT_THAT(told("[]"), HasSubstr("t.json: not a tokenizer.json"));
  EXPECT_THAT(told(replaced(good, "\"<pad>\": 0", "\"<pad>\": 1")), HasSubstr("is taken by"));
  EXPECT_THAT(told(replaced(good, "\"<pad>\": 0", "\"<pad>\": 7000")), HasSubstr("without holes"));
  EXPECT_THAT(told(replaced(good, "[\"e\",\"s\"]", "[\"e\",\"zz\"]")),
              HasSubstr("t.json: model.merges[0]: 'zz' is not in model.vocab"));
  EXPECT_THAT(told(replaced(good, "[\"e\",\"s\"]", "[\"e\"]")),
              HasSubstr("merges[0] is not a pair"));
  EXPECT_THAT(told(replaced(good, "[\"es\",\"t\"]", "[\"e\",\"s\"]")), HasSubstr("a pair twice"));
  EXPECT_EQ(told(replaced(good, "[\"e\",\"s\"]", "\"e s\"")), "");  // as older files have it
  EXPECT_THAT(told(replaced(good, "\"byte_fallback\": false", "\"byte_fallback\": true")),
              HasSubstr("'model.byte_fallback' is true"));
  EXPECT_EQ(told(replaced(good, "\"byte_fallback\": false,", "")), "");
  EXPECT_THAT(told(replaced(good, "\"type\": \"BPE\"", "\"type\": \"Unigram\"")),
              HasSubstr("'model.type' is \"Unigram\""));
  EXPECT_THAT(told(replaced(good, "\"NFC\"", "\"NFKC\"")), HasSubstr("'normalizer' is"));
  EXPECT_THAT(told(replaced(good, "\"Isolated\"", "\"Removed\"")), HasSubstr("'pre_tokenizer"));
  EXPECT_THAT(told(replaced(good, "\"lstrip\": false", "\"lstrip\": true")),
              HasSubstr("'added_tokens.lstrip'"));
  EXPECT_THAT(told(replaced(good, "\"content\": \"<s>\"", "\"content\": \"<x>\"")),
              HasSubstr("added_tokens lacks <s> or [CLS]"));
  EXPECT_THAT(told(replaced(good, "\"unk_token\": \"<unk>\"", "\"unk_token\": null")),
              HasSubstr("model.unk_token is not a token"));
}

TEST(Codec, Messages) {
  const auto train = [](CodecOptions options, std::vector<std::string> texts = {"a"}) {
    return message_of([&] { train_codec(texts, options); });
  };
  EXPECT_THAT(train({TextUnit::kWordPiece}), HasSubstr("read, not learned"));
  EXPECT_THAT(train({TextUnit::kBpe, false, 4}), HasSubstr("size is 4; give 5"));
  EXPECT_THAT(train({TextUnit::kBpe, false, 9, 0}), HasSubstr("min_count is 0"));
  EXPECT_THAT(train({}, {"", "  "}), HasSubstr("not one character"));
  EXPECT_THAT(train({}, {"a\xff"}), HasSubstr("not valid UTF-8"));
  const TextCodec codec = codec_of(TextUnit::kBpe);
  EXPECT_THAT(message_of([&] { codec.encode("\xff"); }), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(message_of([&] { codec.decode(std::vector<std::int64_t>{-1}); }),
              HasSubstr("there is no id -1"));
  EXPECT_THAT(message_of([&] { codec.decode(std::vector<std::int64_t>{9999}); }),
              HasSubstr("there is no id 9999"));
}

TEST(Batches, HoldEveryPairOnceWithinTheirBudget) {
  std::vector<PairLength> lengths;
  Random random(3, Purpose::kGenerate);
  for (int i = 0; i < 3000; ++i)
    lengths.push_back({1 + static_cast<std::int64_t>(random.below(40)),
                       1 + static_cast<std::int64_t>(random.below(40))});
  lengths[17] = {900, 1};  // longer than the budget
  lengths[18] = {0, 0};
  BatchOptions options;
  options.max_tokens = 500;
  options.max_rows = 64;
  const auto first = length_batches(lengths, options, 0);
  std::vector<int> seen(lengths.size());
  for (const auto& batch : first) {
    std::int64_t longest = 0;
    for (const std::size_t place : batch) {
      ++seen[place];
      longest = std::max({longest, lengths[place].source, lengths[place].target});
    }
    if (batch.size() > 1) {
      EXPECT_LE(longest * static_cast<std::int64_t>(batch.size()), 500);
    }
    EXPECT_LE(batch.size(), 64U);
  }
  EXPECT_THAT(seen, testing::Each(1));
  EXPECT_EQ(first, length_batches(lengths, options, 0));
  EXPECT_NE(first, length_batches(lengths, options, 1));
  options.seed = 1;
  EXPECT_NE(first, length_batches(lengths, options, 0));
  std::vector<std::vector<std::size_t>> unsorted;  // in order of appearance
  for (std::size_t i = 0; i < lengths.size(); i += 12) {
    unsorted.emplace_back();
    for (std::size_t j = i; j < i + 12 && j < lengths.size(); ++j) unsorted.back().push_back(j);
  }
  EXPECT_LT(padding_share(lengths, first), 0.7 * padding_share(lengths, unsorted));
  options.shuffle = false;
  const auto sorted = length_batches(lengths, options, 0);
  EXPECT_EQ(sorted, length_batches(lengths, options, 5));
  EXPECT_EQ(sorted[0][0], 18U);
  EXPECT_EQ(sorted.back(), std::vector<std::size_t>{17});
  EXPECT_TRUE(length_batches({}, options).empty());
  options.max_tokens = 0;
  EXPECT_THAT(message_of([&] { length_batches(lengths, options); }), HasSubstr("max_tokens is 0"));
  options.max_tokens = 1, options.max_rows = -1;
  EXPECT_THAT(message_of([&] { length_batches(lengths, options); }), HasSubstr("max_rows is -1"));
  EXPECT_THAT(message_of([] {
                length_batches({{1, -1}}, {});
              }),
              HasSubstr("pair 0 has a negative"));
}

}  // namespace
}  // namespace attend::data
