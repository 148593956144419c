// The text pipeline beside Keras' own answers (tests/golden/make_text.py), value for value.
//
// Killed mutations: a sort that is not stable; oov_token at the end instead of first; ids up to
// num_words instead of below; dropping instead of replacing words over num_words when there is an
// oov_token; a filter that misses one character; Turkish lower-casing; padding and truncating ends
// swapped; a range check one off; round() for floor() in the split.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/data/pad.h"
#include "attend/data/splits.h"
#include "attend/data/tokenizer.h"

namespace attend::data {
namespace {

using nlohmann::json;

const json& golden() {
  static const json all = json::parse(std::ifstream(ATTEND_GOLDEN "/text_keras.json"));
  return all;
}

Tokenizer fitted(const json& given) {
  TokenizerOptions options;
  options.filters = given.value("filters", options.filters);
  options.lower = given.value("lower", options.lower);
  options.split = given.value("split", options.split);
  options.num_words = given.value("num_words", options.num_words);
  if (given.contains("oov_token")) options.oov_token = given.at("oov_token").get<std::string>();
  Tokenizer tokenizer(options);
  for (const json& texts : golden().at("fit"))
    tokenizer.fit_on_texts(texts.get<std::vector<std::string>>());
  return tokenizer;
}

TEST(Tokenizer, CountsIdsAndSequencesAreKeras) {
  const auto texts = golden().at("texts").get<std::vector<std::string>>();
  ASSERT_GE(golden().at("tokenizer").size(), 20U);
  for (const json& one : golden().at("tokenizer")) {
    SCOPED_TRACE(one.at("options").dump());
    const Tokenizer tokenizer = fitted(one.at("options"));
    EXPECT_EQ(json(tokenizer.word_counts()), one.at("word_counts"));
    EXPECT_EQ(json(tokenizer.word_index()), one.at("word_index"));
    EXPECT_EQ(json(tokenizer.document_count()), one.at("document_count"));
    EXPECT_EQ(json(tokenizer.texts_to_sequences(texts)), one.at("sequences"));
    std::int64_t most = 0;
    for (const auto& [word, id] : tokenizer.word_index()) {
      EXPECT_EQ(*tokenizer.word_of(id), word);
      if (tokenizer.id_of(word) == id) most = std::max(most, id);
    }
    EXPECT_EQ(tokenizer.vocabulary(), most);
  }
}

TEST(Tokenizer, ReadBackFromItsFileItGivesTheSameIds) {
  const auto texts = golden().at("texts").get<std::vector<std::string>>();
  for (const json& one : golden().at("tokenizer")) {
    SCOPED_TRACE(one.at("options").dump());
    const Tokenizer tokenizer = fitted(one.at("options"));
    const Tokenizer again = from_tokenizer_json(to_tokenizer_json(tokenizer));
    EXPECT_EQ(again.texts_to_sequences(texts), tokenizer.texts_to_sequences(texts));
    EXPECT_EQ(again.vocabulary(), tokenizer.vocabulary());
    EXPECT_EQ(to_tokenizer_json(again), to_tokenizer_json(tokenizer));
  }
}

TEST(Tokenizer, KeptTokensAreTheIdsTokens) {
  for (const json& one : golden().at("tokenizer")) {
    const Tokenizer tokenizer = fitted(one.at("options"));
    for (const auto& text : golden().at("texts").get<std::vector<std::string>>()) {
      const auto tokens = tokenizer.kept_tokens(text);
      const auto ids = tokenizer.text_to_sequence(text);
      ASSERT_EQ(tokens.size(), ids.size());
      for (std::size_t i = 0; i < ids.size(); ++i)
        EXPECT_EQ(tokenizer.id_of(tokens[i].text), ids[i]);
    }
  }
}

template <class T>
void check_pad(const json& one) {
  const json& given = one.at("options");
  PadOptions options;
  if (!given.at("maxlen").is_null()) options.maxlen = given.at("maxlen").get<std::int64_t>();
  options.padding = given.at("padding") == "pre" ? End::kPre : End::kPost;
  options.truncating = given.at("truncating") == "pre" ? End::kPre : End::kPost;
  options.value = given.at("value");
  const auto sequences = one.at("sequences").get<std::vector<std::vector<std::int64_t>>>();
  if (one.contains("error")) {
    EXPECT_THROW(pad_sequences<T>(sequences, options), Error);
    return;
  }
  const Padded<T> out = pad_sequences<T>(sequences, options);
  EXPECT_EQ(json({out.rows, out.columns}), one.at("shape"));
  EXPECT_EQ(out.values, one.at("values").get<std::vector<T>>());
}

TEST(PadSequences, IsKeras) {
  std::size_t errors = 0;
  for (const json& one : golden().at("pad")) {
    SCOPED_TRACE(one.dump());
    const std::string type = one.at("options").at("dtype");
    errors += one.contains("error");
    if (type == "int8") check_pad<std::int8_t>(one);
    if (type == "int32") check_pad<std::int32_t>(one);
    if (type == "int64") check_pad<std::int64_t>(one);
    if (type == "uint8") check_pad<std::uint8_t>(one);
    if (type == "uint32") check_pad<std::uint32_t>(one);
    if (type == "float32") check_pad<float>(one);
    if (type == "float64") check_pad<double>(one);
  }
  EXPECT_GE(errors, 100U);
}

TEST(SplitLast, IsKerasValidationSplit) {
  for (const json& one : golden().at("split")) {
    SCOPED_TRACE(one.dump());
    Dataset set;
    set.label_names = {"negative", "positive"};
    set.examples.resize(one.at("n").get<std::size_t>());
    const double fraction = one.at("fraction");
    if (one.contains("error")) {
      EXPECT_THROW(split_last(set, fraction), Error);
      continue;
    }
    const Split split = split_last(set, fraction);
    EXPECT_EQ(split.train.size(), one.at("train").get<std::size_t>());
    EXPECT_EQ(split.held_out.size(), one.at("held_out").get<std::size_t>());
    EXPECT_EQ(split.held_out.front(), one.at("first").get<std::size_t>());
  }
}

}  // namespace
}  // namespace attend::data
