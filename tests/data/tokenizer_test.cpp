// tokenizer.json as an untrusted file, and the tokenizer's own checks. What it encodes is held to
// Keras in golden_test.cpp and to the `tokenizers` package in tokenizer_pytest.py.
//
// Killed mutations: a repeated id let through; a foreign normalizer taken as ours; a filter class
// without escapes; the start of a letter's half taken byte by byte.
#include "attend/data/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/random.h"

namespace attend::data {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Tokenizer small(TokenizerOptions options = {}) {
  Tokenizer tokenizer(std::move(options));
  tokenizer.fit_on_texts({"the good the bad"});
  return tokenizer;
}

std::string message(const std::string& text) {
  try {
    from_tokenizer_json(text, "run/tokenizer.json");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadInput);
    return e.what();
  }
  return "";
}

std::string changed(const std::string& from, const std::string& to, TokenizerOptions options = {}) {
  std::string text = to_tokenizer_json(small(std::move(options)));
  const std::size_t place = text.find(from);
  EXPECT_NE(place, std::string::npos) << from << " is not in\n" << text;
  return text.replace(place, from.size(), to);
}

TEST(TokenizerJson, RefusesBadVocabularies) {
  EXPECT_EQ(message(to_tokenizer_json(small())), "");
  EXPECT_THAT(message(changed("\"▁good\": 2", "\"▁good\": 4")),
              HasSubstr("run/tokenizer.json: model.vocab: the id of '▁good' is 4; expected 0…3"));
  EXPECT_THAT(message(changed("\"▁good\": 2", "\"▁good\": 1")), HasSubstr("is taken by"));
  EXPECT_THAT(message(changed("\"▁good\": 2", "\"▁good\": -1")), HasSubstr("is -1"));
  EXPECT_THAT(message(changed("\"▁good\": 2", "\"▁good\": 2.0")), HasSubstr("is 2.0"));
  EXPECT_THAT(message(changed("\"▁good\": 2", "\"▁good\": 99999999999999999999999")),
              HasSubstr("expected 0…3"));
  EXPECT_THAT(message(changed("\"▁good\": 2", "\"▁good\": \"2\"")), HasSubstr("is \"2\""));
  EXPECT_THAT(message(changed("\"▁good\": 2", "\"▁the\": 2")),
              HasSubstr("the key '▁the' occurs twice"));
  EXPECT_THAT(message(changed("\"▁good\": 2", "\"good\": 2")), HasSubstr("does not begin with ▁"));
  EXPECT_THAT(message(changed("\"▁good\": 2", "\"▁\": 2")), HasSubstr("is no word"));
}

TEST(TokenizerJson, RefusesWhatIsNotOurs) {
  EXPECT_THAT(message(""), HasSubstr("run/tokenizer.json: not JSON"));
  EXPECT_THAT(message("[]"), HasSubstr("model.vocab is missing"));
  EXPECT_THAT(message("{\"model\":{\"vocab\":{}}}"), HasSubstr("model.vocab"));
  EXPECT_THAT(message(std::string(1'000'000, '[')), HasSubstr("nested deeper than 64"));
  EXPECT_THAT(message(changed("\"Lowercase\"", "\"NFKC\"")),
              HasSubstr("'normalizer' is not as attend writes it"));
  EXPECT_THAT(message(changed("\"Removed\"", "\"Isolated\"")), HasSubstr("'pre_tokenizer'"));
  EXPECT_THAT(message(changed("\"added_tokens\": []", "\"added_tokens\": [1]")),
              HasSubstr("'added_tokens'"));
  EXPECT_THAT(message(changed("\"BPE\"", "\"WordPiece\"")), HasSubstr("'model'"));
  EXPECT_THAT(message(changed("\"version\"", "\"extra\": 1, \"version\"")),
              HasSubstr("keys that attend does not"));
  EXPECT_THAT(message(changed("\"String\": \" \"", "\"String\": \"\"")),
              HasSubstr("run/tokenizer.json: "));
  TokenizerOptions options;
  options.oov_token = "<OOV>";
  EXPECT_THAT(message(changed("\"unk_token\": \"<OOV>\"", "\"unk_token\": \"x\"", options)),
              HasSubstr("unk_token 'x' is not in model.vocab"));
}

TEST(TokenizerJson, EveryCutAndManyFlipsAreRefusedOrSound) {
  TokenizerOptions options;
  options.oov_token = "<OOV>";
  const std::string text = to_tokenizer_json(small(options));
  for (std::size_t n = 0; n + 2 < text.size(); ++n) EXPECT_NE(message(text.substr(0, n)), "") << n;
  Random random(1, Purpose::kGenerate);
  for (int i = 0; i < 3000; ++i) {
    std::string broken = text;
    broken[random.below(broken.size())] ^= static_cast<char>(1 << random.below(8));
    try {
      const Tokenizer read = from_tokenizer_json(broken);
      EXPECT_EQ(read.vocabulary(), 4);
      read.text_to_sequence("The good, the BAD and more");
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kBadInput);
    }
  }
}

TEST(TokenizerJson, FiltersThatAreSpecialInAPattern) {
  TokenizerOptions options;
  options.filters = "]\\^-[&&a-z\t\n\"'";
  const Tokenizer again = from_tokenizer_json(to_tokenizer_json(small(options)));
  EXPECT_EQ(again.options().filters, options.filters);
}

TEST(Tokenizer, ChecksItsOptionsAndTexts) {
  TokenizerOptions no_split;
  no_split.split = "";
  EXPECT_THROW(Tokenizer{no_split}, Error);
  TokenizerOptions negative;
  negative.num_words = -1;
  EXPECT_THROW(Tokenizer{negative}, Error);
  EXPECT_THROW(small().tokenize("\xFF"), Error);
  EXPECT_THROW(lower_case("\xC3"), Error);
  TokenizerOptions oov;
  oov.oov_token = "?";
  EXPECT_THROW(Tokenizer(oov).text_to_sequence("a"), Error);  // not fitted
  EXPECT_TRUE(Tokenizer().text_to_sequence("a").empty());
  EXPECT_THROW(Tokenizer::from_words({}, {"a", "a"}), Error);
  EXPECT_THROW(Tokenizer::from_words(oov, {"a"}), Error);
}

TEST(Tokenizer, PlacesInTheOriginal) {
  const std::string text = "  Été, İZMİR! ΣΑΣ";
  std::vector<std::string> pieces;
  std::vector<std::string> words;
  for (const Token& token : small().tokenize(text)) {
    pieces.push_back(text.substr(token.begin, token.end - token.begin));
    words.push_back(token.text);
  }
  EXPECT_THAT(pieces, testing::ElementsAre("Été", "İZMİR", "ΣΑΣ"));
  EXPECT_THAT(words, testing::ElementsAre("été", "i̇zmi̇r", "σας"));
}

TEST(Tokenizer, PlacesOfHalfALetter) {  // İ becomes i and a dot above, and the i is filtered out
  TokenizerOptions options;
  options.filters = "i";
  const auto tokens = Tokenizer(options).tokenize("aİb");
  ASSERT_EQ(tokens.size(), 2U);
  EXPECT_EQ(tokens[1].text, "\u0307b");
  EXPECT_EQ(tokens[1].begin, 1U);
  EXPECT_EQ(tokens[1].end, 4U);
}

}  // namespace
}  // namespace attend::data
