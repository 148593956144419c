// Killed mutations: lengths before cutting; padding at the other end; cutting at the other end; the
// tokens of the columns cut at the other end.
#include "attend/data/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attend/base/error.h"

namespace attend::data {
namespace {

using testing::ElementsAre;

std::vector<std::int64_t> flat(const at::Tensor& tensor) {
  const auto* first = tensor.const_data_ptr<std::int64_t>();
  return {first, first + tensor.numel()};
}

Dataset three() {
  Dataset set;
  set.label_names = {"negative", "positive"};
  for (const char* text : {"a b c d", "a x", "?"})
    set.examples.push_back({text, 0, "", "f", 0, {}});
  set.examples[1].label = 1;
  return set;
}

Tokenizer known(std::optional<std::string> oov = std::nullopt) {
  TokenizerOptions options;
  options.oov_token = std::move(oov);
  Tokenizer tokenizer(options);
  tokenizer.fit_on_texts({"a a a a b b b c c d"});
  return tokenizer;
}

TEST(Encode, PadsBehindAndCutsInFront) {
  const Encoded out = encode(three(), known(), {3});
  EXPECT_THAT(flat(out.ids), ElementsAre(2, 3, 4, 1, 0, 0, 0, 0, 0));
  EXPECT_THAT(flat(out.lengths), ElementsAre(3, 1, 0));
  EXPECT_THAT(flat(out.labels), ElementsAre(0, 1, 0));
  EXPECT_EQ(out.ids.sizes().vec(), (std::vector<std::int64_t>{3, 3}));
  EXPECT_EQ(out.truncated, 1);
  EXPECT_EQ(out.empty, 1);
  EXPECT_EQ(out.words, 6);
  EXPECT_EQ(out.unknown, 1);
}

TEST(Encode, TheOtherEnds) {
  const Encoded out = encode_texts({"a b c d", "a x"}, known("<OOV>"), {3, End::kPre, End::kPost});
  EXPECT_THAT(flat(out.ids), ElementsAre(2, 3, 4, 0, 2, 1));
  EXPECT_THAT(flat(out.lengths), ElementsAre(3, 2));
  EXPECT_FALSE(out.labels.defined());
  EXPECT_EQ(out.unknown, 1);
}

TEST(Encode, TokensStandForColumns) {
  std::vector<std::string> words;
  for (const Token& token : encoded_tokens("x A b,C d", known(), {3})) {
    words.push_back(token.text);
    EXPECT_EQ(token.end, token.begin + 1);
  }
  EXPECT_THAT(words, ElementsAre("b", "c", "d"));
  EXPECT_EQ(encoded_tokens("a b c d", known(), {3, End::kPost, End::kPost}).front().text, "a");
}

TEST(Encode, SaysWhichRowIsNoText) {
  Dataset set = three();
  set.examples[1].text = "\xFF";
  set.examples[1].line = 7;
  try {
    encode(set, known());
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::StartsWith("f:7: "));
  }
  EXPECT_THROW(encode(three(), known(), {0}), Error);
}

TEST(Encode, NothingAtAll) {
  EXPECT_EQ(encode(Dataset{}, known()).ids.sizes().vec(), (std::vector<std::int64_t>{0, 32}));
}

}  // namespace
}  // namespace attend::data
