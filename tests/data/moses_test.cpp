// Killed mutations: a quotation mark that never closes.
#include "attend/data/moses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"

namespace attend::data {
namespace {

using nlohmann::json;

// What sacremoses gave (tests/golden/make_moses.py).
TEST(Moses, IsWhatItsPortGives) {
  const json all = json::parse(std::ifstream(ATTEND_GOLDEN "/moses.json"));
  for (const json& one : all) {
    const Language language = language_of(one.at("language").get<std::string>());
    const auto text = one.at("text").get<std::string>();
    const auto tokens = one.at("tokens").get<std::vector<std::string>>();
    EXPECT_EQ(moses_normalize(text, language), one.at("normal").get<std::string>());
    EXPECT_EQ(moses_tokenize(text, language), tokens) << text;
    EXPECT_EQ(moses_detokenize(tokens, language), one.at("joined").get<std::string>()) << text;
  }
}

TEST(Moses, EdgesAndMessages) {
  EXPECT_TRUE(moses_tokenize(" \t ", Language::kEnglish).empty());
  EXPECT_EQ(moses_detokenize({}, Language::kGerman), "");
  EXPECT_EQ(moses_detokenize({","}, Language::kGerman), ",");
  EXPECT_THROW(moses_tokenize("\xff", Language::kEnglish), Error);
  EXPECT_THROW(moses_normalize("\xff", Language::kEnglish), Error);
  EXPECT_THROW(moses_detokenize({"\xff"}, Language::kEnglish), Error);
  try {
    language_of("nl");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "moses: no rules for the language 'nl'; there are en, de, fr");
  }
}

}  // namespace
}  // namespace attend::data
