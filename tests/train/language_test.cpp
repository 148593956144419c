// Whole trainings of language models on generated text whose best perplexity is known, seconds in all; what stops and goes on,
// loads again, and is refused.
//
// Planted faults that these tests kill:
//   a row begins with its own first token instead of the one before; nats are called bits
#include "attend/train/language.h"

#include <ATen/ops/arange.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cmath>
#include <fstream>

#include "attend/base/random.h"
#include "attend/data/catalogue.h"
#include "attend/ops/machine.h"
#include "support/message_of.h"
#include "train/language.h"
#include "train/small.h"

namespace attend::train {
namespace {

using models::LanguageArchitecture;
using ::testing::HasSubstr;

constexpr std::int64_t kLine = 8;  // "abc=abc\n"

/// Lines of three random letters, "=", the same three and a line end: the second half follows from the first, so that no
/// model can do better than log2(6) · 3/8 bits a character, and one that remembers nothing needs more than twice as many.
std::string copied_lines(std::int64_t lines, std::uint64_t index) {
  Random random(5, Purpose::kGenerate, index);
  std::string out;
  for (std::int64_t i = 0; i < lines; ++i) {
    std::string word;
    for (int t = 0; t < 3; ++t) word += static_cast<char>('a' + random.below(6));
    out += word + "=" + word + "\n";
  }
  return out;
}
const double kBest = std::log2(6.0) * 3 / 8;

std::string write_text(const Folder& folder, std::int64_t lines = 600) {
  std::filesystem::create_directories(folder / "text");
  std::ofstream(folder / "text/train.txt") << copied_lines(lines, 0);
  std::ofstream(folder / "text/valid.txt") << copied_lines(40, 1);
  std::ofstream(folder / "text/test.txt") << copied_lines(40, 2);
  return folder / "text";
}

Recipe recipe_of(LanguageArchitecture architecture, const std::string& data) {
  Recipe r;
  r.name = "small";
  r.task.kind = TaskKind::kLanguage;
  r.data.name = data, r.data.lower = false, r.data.tokens = Tokens::kCharacters;
  r.data.row_tokens = kLine;
  r.model.language = architecture;
  r.model.embedding_width = 24, r.model.hidden = 32, r.model.attention_width = 16;
  r.model.heads = 2, r.model.feed_forward = 48, r.model.layers = 2, r.model.dropout = 0;
  r.train.epochs = 20, r.train.batch = 20, r.train.clip_norm = 1, r.train.checkpoint_seconds = 0;
  r.optim.lr = 1e-2;
  return r;
}

class EveryArchitecture : public ::testing::TestWithParam<LanguageArchitecture> {};
INSTANTIATE_TEST_SUITE_P(LanguageTraining, EveryArchitecture,
                         ::testing::Values(LanguageArchitecture::kLstm,
                                           LanguageArchitecture::kLstmn,
                                           LanguageArchitecture::kTransformer));

TEST_P(EveryArchitecture, LearnsToCopy) {
  Folder folder;
  const TrainResult result = train_small(recipe_of(GetParam(), write_text(folder)), folder / "run");
  EXPECT_EQ(result.rows_validation, 40);
  const double bits = result.validation.at("bits_per_character");
  EXPECT_GT(bits, kBest - 0.05);  // less would mean that it was told the answer
  EXPECT_LT(bits, kBest + 0.1);
  EXPECT_NEAR(result.validation.at("loss"), bits * std::log(2.0), 1e-9);  // one token a character
  EXPECT_NEAR(result.validation.at("perplexity"), std::exp(result.validation.at("loss")), 1e-9);
}

TEST(LanguageTraining, ResumedBitForBit) {
  Folder folder;
  const std::string data = write_text(folder, 100);
  for (const auto architecture :
       {LanguageArchitecture::kLstmn, LanguageArchitecture::kTransformer}) {
    Recipe recipe = recipe_of(architecture, data);
    recipe.train.epochs = 3, recipe.model.dropout = 0.2;
    const std::string name = std::to_string(static_cast<int>(architecture));
    const TrainResult whole = train_small(recipe, folder / ("whole" + name));
    std::atomic<int> stop{0};
    std::int64_t steps = 0;
    TrainOptions options;
    options.recipe = recipe, options.out = folder / ("parts" + name), options.threads = 1;
    options.stop = &stop;
    options.on_step = [&](const Progress&) {
      if (++steps == 7) stop = SIGINT;  // of 15
    };
    EXPECT_THROW(train(options), Interrupted);
    const TrainResult parts = resume_small(options.out);
    EXPECT_EQ(weights_of(options.out), weights_of(whole.run));
    EXPECT_EQ(parts.validation, whole.validation);
  }
}

TEST(LanguageTraining, LoadsAgainMeasuresAndContinues) {
  Folder folder;
  Recipe recipe = recipe_of(LanguageArchitecture::kTransformer, write_text(folder));
  recipe.data.row_tokens = 2 * kLine, recipe.decode.max_length = 4, recipe.decode.top_k = 1;
  const TrainResult result = train_small(recipe, folder / "run");
  const LanguageRun run = load_language(folder / "run");
  const LanguageEvaluation again = evaluate(run, "", "validation");
  EXPECT_EQ(again.n, 40 * kLine);
  EXPECT_NEAR(again.metrics.at("loss"), result.validation.at("loss"), 1e-6);
  EXPECT_EQ(evaluate(run).split, "test");
  std::ofstream(folder / "other.txt") << copied_lines(30, 3);
  EXPECT_NEAR(evaluate(run, folder / "other.txt").metrics.at("loss"), again.metrics.at("loss"),
              0.2);

  const auto found = continue_texts(run, {"abc=abc\nfed=", "cab="}, 1);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].text, "fed\n");
  EXPECT_EQ(found[1].text, "cab\n");
  EXPECT_LT(found[0].score, 0);
  EXPECT_EQ(continue_texts(run, {"cab="}, 2)[0].text, "cab\n");  // the likeliest, whatever the seed
}

TEST(LanguageTraining, TextBecomesRowsThatPredictEveryTokenOnce) {
  const data::TextCodec codec = data::train_codec({"abcdefg"}, {data::TextUnit::kCharacter});
  const TextRows rows("abcdefg", codec, 3);
  EXPECT_EQ(rows.count(), 3);
  EXPECT_EQ(rows.tokens(), 7);
  EXPECT_EQ(rows.characters(), 7);
  const at::Tensor all = rows.batch(at::arange(3, at::kLong));
  const std::vector<std::int64_t> read(all.const_data_ptr<std::int64_t>(),
                                       all.const_data_ptr<std::int64_t>() + 12);
  const std::int64_t a = codec.encode("a")[0];
  EXPECT_THAT(read,
              ::testing::ElementsAre(models::kBegin, a, a + 1, a + 2, a + 2, a + 3, a + 4, a + 5,
                                     a + 5, a + 6, models::kPadding, models::kPadding));
  EXPECT_EQ(TextRows("äöü", codec, 3).characters(), 3);
  EXPECT_EQ(TextRows("", codec, 3).count(), 0);
}

TEST(LanguageTraining, RefusesWhatMakesNoSense) {
  Folder folder;
  const auto message = [&](auto change) {
    Recipe r = recipe_of(LanguageArchitecture::kTransformer, write_text(folder, 20));
    change(r);
    return test::message_of([&] { train_small(r, folder / "refused"); });
  };
  EXPECT_THAT(message([](Recipe& r) { r.model.heads = 5; }),
              HasSubstr("multiple of model.heads = 5"));
  EXPECT_THAT(message([](Recipe& r) { r.train.watch = Metric::kBleu; }),
              HasSubstr("a language recipe has no such metric"));
  EXPECT_THAT(message([](Recipe& r) { r.data.name = "no-such-text"; }), HasSubstr("no-such-text"));
  std::ofstream(folder / "empty.txt");
  EXPECT_THAT(message([&](Recipe& r) { r.data.name = folder / "empty.txt"; }),
              HasSubstr("is empty"));
  std::ofstream(folder / "bytes.txt") << "ab\xff\n";
  EXPECT_THAT(message([&](Recipe& r) { r.data.name = folder / "bytes.txt"; }), HasSubstr("UTF-8"));
  std::filesystem::create_directories(folder / "bare");
  EXPECT_THAT(message([&](Recipe& r) { r.data.name = folder / "bare"; }),
              HasSubstr("no train.txt"));
  EXPECT_FALSE(std::filesystem::exists(folder / "refused"));

  Recipe r = recipe_of(LanguageArchitecture::kLstm, folder / "text");
  r.train.epochs = 1;
  train_small(r, folder / "run");
  EXPECT_THAT(test::message_of([&] { evaluate(load_language(folder / "run"), "", "tset"); }),
              HasSubstr("test"));
  EXPECT_THAT(test::message_of([&] { load_run(folder / "run"); }), HasSubstr("language"));
}

}  // namespace
}  // namespace attend::train
