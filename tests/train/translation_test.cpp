// Whole trainings of translators on generated pairs, seconds in all: every architecture × score × span learns, an interrupted
// training goes on bit for bit, the run loads again, and what makes no sense is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <fstream>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/ops/machine.h"
#include "attend/train/translation.h"
#include "train/small.h"

namespace attend::train {
namespace {

using models::Architecture;
using models::Choice;
using nn::Score;
using nn::Span;
using ::testing::HasSubstr;

/// `rows` pairs of 2 to 4 letters and the same letters in upper case: target token t comes from source token t.
std::string write_pairs(const Folder& folder, std::int64_t rows) {
  const std::string path = folder / "pairs.tsv";
  std::ofstream out(path);
  Random random(5, Purpose::kGenerate);
  for (std::int64_t i = 0; i < rows; ++i) {
    std::string source, target;
    const std::uint64_t length = 2 + random.below(3);
    for (std::uint64_t t = 0; t < length; ++t) {
      const auto letter = static_cast<char>(random.below(8));
      source += std::string(t > 0, ' ') + static_cast<char>('a' + letter);
      target += std::string(t > 0, ' ') + static_cast<char>('A' + letter);
    }
    out << source << '\t' << target << '\n';
  }
  return path;
}

struct Kind {
  const char* name;
  Architecture architecture;
  bool attention = true;
  Score score = Score::kAdditive;
  Span span = Span::kGlobal;
  Choice choice = Choice::kSoft;
  models::Fusion fusion = models::Fusion::kDeep;
};

const std::vector<Kind> kKinds = {
    {"rnnenc", Architecture::kBahdanau, false},
    {"bahdanau_additive", Architecture::kBahdanau},
    {"bahdanau_general", Architecture::kBahdanau, true, Score::kGeneral},
    {"bahdanau_concat", Architecture::kBahdanau, true, Score::kConcat},
    {"bahdanau_location", Architecture::kBahdanau, true, Score::kLocation},
    {"bahdanau_additive_local_m", Architecture::kBahdanau, true, Score::kAdditive, Span::kLocalM},
    {"bahdanau_general_local_p", Architecture::kBahdanau, true, Score::kGeneral, Span::kLocalP},
    {"luong_none", Architecture::kLuong, false},
    {"luong_additive", Architecture::kLuong},
    {"luong_dot", Architecture::kLuong, true, Score::kDot},
    {"luong_general", Architecture::kLuong, true, Score::kGeneral},
    {"luong_concat", Architecture::kLuong, true, Score::kConcat},
    {"luong_location", Architecture::kLuong, true, Score::kLocation},
    {"luong_scaled_dot", Architecture::kLuong, true, Score::kScaledDot},
    {"luong_cosine", Architecture::kLuong, true, Score::kCosine},
    {"luong_dot_local_m", Architecture::kLuong, true, Score::kDot, Span::kLocalM},
    {"luong_general_local_m", Architecture::kLuong, true, Score::kGeneral, Span::kLocalM},
    {"luong_concat_local_m", Architecture::kLuong, true, Score::kConcat, Span::kLocalM},
    {"luong_dot_local_p", Architecture::kLuong, true, Score::kDot, Span::kLocalP},
    {"luong_general_local_p", Architecture::kLuong, true, Score::kGeneral, Span::kLocalP},
    {"luong_concat_local_p", Architecture::kLuong, true, Score::kConcat, Span::kLocalP},
    {.name = "bahdanau_hard", .architecture = Architecture::kBahdanau, .choice = Choice::kHard},
    {.name = "bahdanau_gumbel", .architecture = Architecture::kBahdanau, .choice = Choice::kGumbel},
    {.name = "luong_dot_hard",
     .architecture = Architecture::kLuong,
     .score = Score::kDot,
     .choice = Choice::kHard},
    {.name = "luong_general_local_m_hard",
     .architecture = Architecture::kLuong,
     .score = Score::kGeneral,
     .span = Span::kLocalM,
     .choice = Choice::kHard},
    {.name = "luong_dot_gumbel",
     .architecture = Architecture::kLuong,
     .score = Score::kDot,
     .choice = Choice::kGumbel},
    {.name = "lstmn_deep", .architecture = Architecture::kLstmn},
    {.name = "lstmn_shallow",
     .architecture = Architecture::kLstmn,
     .fusion = models::Fusion::kShallow},
    {"transformer", Architecture::kTransformer},
};

Recipe recipe_of(const Kind& kind, const std::string& data) {
  Recipe r;
  r.name = "small";
  r.task.kind = TaskKind::kTranslation;
  r.data.name = data, r.data.source = "en", r.data.target = "de";
  r.data.lower = false, r.data.validation = 0.1, r.data.max_tokens = 8;
  r.model.architecture = kind.architecture, r.model.attend = kind.attention;
  r.model.score = kind.score, r.model.span = kind.span, r.model.window = 3;
  r.model.choice = kind.choice, r.model.fusion = kind.fusion;
  r.model.embedding_width = 16, r.model.hidden = 24, r.model.attention_width = 16;
  r.model.heads = 2, r.model.feed_forward = 32;
  r.model.dropout = 0.1;
  r.train.epochs = 15, r.train.batch = 20, r.train.clip_norm = 1, r.train.label_smoothing = 0.05;
  if (kind.choice == Choice::kHard) r.train.epochs = 30;  // what is sampled teaches more slowly
  r.train.checkpoint_seconds = 0;
  r.optim.lr = 2e-2;
  r.decode.beams = 2;
  return r;
}

class EveryKind : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Translation, EveryKind, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(EveryKind, LearnsFarBeyondChance) {
  use_threads(1);
  Folder folder;
  const TrainResult result =
      train_small(recipe_of(GetParam(), write_pairs(folder, 200)), folder / "run");
  ASSERT_EQ(result.rows_validation, 20);
  // Guessing among 8 letters: 1/8 a letter and 1/512 a sentence of three; a perplexity of 9 knows nothing of the source.
  EXPECT_LT(result.validation.at("perplexity"), 3);
  EXPECT_GT(result.validation.at("exact_match"), 0.3);
}

TEST(Translation, ResumedBitForBit) {
  Folder folder;
  const std::string data = write_pairs(folder, 100);
  Random random(3, Purpose::kGenerate);
  for (const char* name :
       {"bahdanau_additive", "luong_general_local_p", "bahdanau_hard", "transformer"}) {
    const Kind& kind = *std::find_if(kKinds.begin(), kKinds.end(),
                                     [&](const Kind& k) { return std::string(k.name) == name; });
    Recipe recipe = recipe_of(kind, data);
    recipe.train.epochs = 3;
    const TrainResult whole = train_small(recipe, folder / (std::string("whole-") + name));
    const std::string run = folder / (std::string("parts-") + name);
    std::atomic<int> stop{0};
    const auto at = static_cast<std::int64_t>(2 + random.below(10));  // of 15 steps
    std::int64_t steps = 0;
    TrainOptions options;
    options.recipe = recipe, options.out = run, options.threads = 1, options.stop = &stop;
    options.on_step = [&](const Progress&) {
      if (++steps == at) stop = SIGINT;
    };
    EXPECT_THROW(train(options), Interrupted);
    const TrainResult parts = resume_small(run);
    EXPECT_EQ(weights_of(run), weights_of(whole.run)) << name << ", stopped after step " << at;
    EXPECT_EQ(parts.train, whole.train);
    EXPECT_EQ(parts.validation, whole.validation);
  }
}

TEST(Translation, LoadsAgainAndTranslates) {
  Folder folder;
  Recipe recipe = recipe_of(kKinds.back(), write_pairs(folder, 200));
  recipe.data.lower = true, recipe.data.share_vocabulary = true;  // copies: one vocabulary
  recipe.model.share_embeddings = models::SharedEmbeddings::kAll;
  recipe.model.norm = models::NormPlace::kLast;
  train_small(recipe, folder / "run");
  const TranslationRun run = load_translation(folder / "run");
  EXPECT_EQ(run.config.architecture, Architecture::kTransformer);
  EXPECT_EQ(run.config.heads, 2);
  EXPECT_EQ(run.config.feed_forward, 32);
  EXPECT_EQ(run.config.norm, models::NormPlace::kLast);
  EXPECT_EQ(run.config.share_embeddings, models::SharedEmbeddings::kAll);
  const std::vector<Translation> together = translate(run, {"a b c", "", "h g"});
  ASSERT_EQ(together.size(), 3u);
  EXPECT_EQ(together[1].text, "");
  EXPECT_FALSE(together[0].text.empty());
  ASSERT_FALSE(together[0].weights.empty());
  EXPECT_EQ(together[0].weights[0].size(), 3u);
  const std::vector<Translation> alone = translate(run, {"h g"});
  EXPECT_EQ(alone[0].text, together[2].text);
  EXPECT_NEAR(alone[0].score, together[2].score, 1e-4);
  const TranslationEvaluation again = evaluate(run, "", "validation");
  EXPECT_EQ(again.n, 20);
  EXPECT_EQ(again.bleu.corpus(), again.metrics.at("bleu"));
  EXPECT_LE(again.bleu_interval[0], again.metrics.at("bleu") + 1e-9);
  EXPECT_GE(again.bleu_interval[1], again.metrics.at("bleu") - 1e-9);
  std::int64_t counted = 0;
  for (const LengthScore& part : again.by_length) counted += part.n;
  EXPECT_EQ(counted, again.n);
  EXPECT_TRUE(translate(run, std::vector<std::string>{}).empty());
}

void expect_refused(const Recipe& recipe, const std::string& out, const std::string& message) {
  try {
    train_small(recipe, out);
    FAIL() << "not refused: " << message;
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr(message));
  }
}

TEST(Translation, RefusesBadRuns) {
  Folder folder;
  const std::string data = write_pairs(folder, 40);
  const Recipe good = recipe_of(kKinds.back(), data);
  Recipe r = good;
  r.model.heads = 3;
  expect_refused(r, folder / "heads", "it must be a multiple of model.heads = 3");
  r = good, r.model.share_embeddings = models::SharedEmbeddings::kAll;
  expect_refused(r, folder / "share", "source and target must have one vocabulary");
  r = good, r.model.attend = false;
  expect_refused(r, folder / "none", "a Transformer is made of attention");
  r = good, r.data.max_tokens = 1;
  expect_refused(r, folder / "short", "no training pair is as short as data.max_tokens");

  r = good, r.train.epochs = 1;
  train_small(r, folder / "run");
  const TranslationRun run = load_translation(folder / "run");
  try {
    translate(run, {"a b", "a b c d e f g h a"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("sentence 2 has 9 tokens, more than the run's"));
  }
  try {
    load_run(folder / "run");
    FAIL() << "a translation read as a classification";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("translation"));
  }
  const std::string path = folder / "run/config.json";
  const std::string text = read_file(path);
  std::string changed = text;
  changed.replace(changed.find("\"heads\": 2"), 10, "\"heads\": 5");
  std::ofstream(path) << changed;
  try {
    load_translation(folder / "run");
    FAIL() << "heads that do not divide the width";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadInput) << e.what();
  }
}

}  // namespace
}  // namespace attend::train
