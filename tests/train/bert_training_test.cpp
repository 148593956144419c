// Fine-tuning of the tiny encoder of tests/golden/bert: it learns, goes on bit for bit, and its run stands alone.
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "attend/data/codec.h"
#include "attend/interop/safetensors.h"
#include "attend/train/run.h"
#include "support/message_of.h"
#include "train/classification.h"
#include "train/small.h"

namespace attend::train {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kBert = std::string(ATTEND_GOLDEN) + "/bert";

/// "the dog was great", 48 rows: the last word decides, and one that spells it in pieces.
void write_reviews(const std::string& path) {
  std::string text;
  const char* good[] = {"great", "good"};
  const char* bad[] = {"awful", "bad"};
  const char* things[] = {"dog", "film", "tea"};
  for (int i = 0; i < 48; ++i) {
    const bool is_good = i % 2 == 0;
    text += std::string("The ") + things[i % 3] + " was " + (is_good ? good : bad)[i / 2 % 2] +
            (i % 5 == 0 ? "ly!" : ".") + "\t" + (is_good ? "positive" : "negative") + "\n";
  }
  write_file_atomically(path, text);
}

Recipe bert_recipe(const Folder& folder) {
  write_reviews(folder / "reviews.tsv");
  Recipe r;
  r.name = "tiny-bert";
  r.data.name = folder / "reviews.tsv";
  r.data.max_length = 20;
  r.data.truncating = data::End::kPost;
  r.data.split = Split::kStratified;
  r.data.validation = 0.25;
  r.model.classifier = models::ClassifierArchitecture::kBert;
  r.model.pretrained = kBert;
  r.model.dropout = 0.1;
  r.train.epochs = 3;
  r.train.batch = 8;
  r.train.checkpoint_seconds = 0;
  r.optim.kind = OptimizerKind::kAdamW;
  r.optim.lr = 1e-2;
  r.optim.weight_decay = 0.01;
  r.optim.schedule = ScheduleKind::kLinear;
  r.optim.warmup = 1;
  return r;
}

TEST(BertTraining, LearnsASmallSet) {
  for (const models::Pooling pooling : {models::Pooling::kMean, models::Pooling::kFirst}) {
    Folder folder;
    Recipe recipe = bert_recipe(folder);
    recipe.model.pooling = pooling;
    recipe.model.dropout = 0;
    recipe.train.epochs = 20;
    const TrainResult result = train_small(recipe, folder / "run");
    EXPECT_EQ(result.train.at("accuracy"), 1);
    EXPECT_EQ(result.validation.at("accuracy"), 1);
  }
}

TEST(BertTraining, GoesOnBitForBit) {
  Folder folder;
  const Recipe recipe = bert_recipe(folder);
  const TrainResult whole = train_small(recipe, folder / "whole");
  for (const std::int64_t stop_at : {1, 7, 13}) {
    const std::string run = folder / ("parts" + std::to_string(stop_at));
    std::atomic<int> stop{0};
    std::int64_t steps = 0;
    TrainOptions options;
    options.recipe = recipe;
    options.out = run;
    options.threads = 1;
    options.stop = &stop;
    options.on_step = [&](const Progress&) {
      if (++steps == stop_at) stop = 2;
    };
    EXPECT_THROW(train(options), Interrupted);
    const TrainResult result = resume_small(run);
    EXPECT_EQ(weights_of(run), weights_of(folder / "whole")) << stop_at;
    EXPECT_EQ(result.validation, whole.validation);
  }
}

TEST(BertTraining, TheSeedDecides) {
  Folder folder;
  Recipe recipe = bert_recipe(folder);
  recipe.train.epochs = 1;
  train_small(recipe, folder / "a");
  train_small(recipe, folder / "b");
  recipe.train.seed = 2;
  train_small(recipe, folder / "other");
  EXPECT_EQ(weights_of(folder / "a"), weights_of(folder / "b"));
  EXPECT_NE(weights_of(folder / "a"), weights_of(folder / "other"));
}

TEST(BertTraining, TheRunStandsAlone) {
  Folder folder;
  Recipe recipe = bert_recipe(folder);
  fs::copy(kBert, folder / "encoder");
  recipe.model.pretrained = folder / "encoder";
  const TrainResult result = train_small(recipe, folder / "run");
  fs::remove_all(folder / "encoder");
  const train::Run run = load_run(folder / "run");
  EXPECT_EQ(run.config.architecture, models::ClassifierArchitecture::kBert);
  EXPECT_EQ(run.config.bert.width, 8);
  EXPECT_EQ(run.config.bert.activation, Activation::kGelu);
  EXPECT_EQ(run.config.bert.layer_norm_eps, 1e-12);
  EXPECT_EQ(evaluate(run, "", "validation").report.accuracy, result.validation.at("accuracy"));
  const auto together = predict(run, {"The dog was great.", "x", "The tea was bad."});
  const auto alone = predict(run, {"The tea was bad."});
  EXPECT_NEAR(together[2].probability, alone[0].probability, 1e-6);
  EXPECT_THAT(data::load_codec(folder / "run/tokenizer.json").encode("The dog"),
              ElementsAre(5, 22, 60, 52));
  const std::string words = to_config_json({run.config, run.label_names});
  EXPECT_EQ(words, read_file(folder / "run/config.json"));
}

TEST(BertTraining, WordsAreReadAsPieces) {
  Folder folder;
  Recipe recipe = bert_recipe(folder);
  recipe.train.epochs = 1;
  train_small(recipe, folder / "run");
  const train::Run run = load_run(folder / "run");
  const auto words = read_words(run, " The\tdog \u4e2d! ");
  std::vector<std::string> texts;
  for (const ReadWord& word : words) texts.push_back(word.text);
  EXPECT_THAT(texts, ElementsAre("the", "d", "##o", "##g", "[UNK]", "!"));
  EXPECT_EQ(words[2].begin, 5u);
  EXPECT_TRUE(words[4].unknown);
  EXPECT_FALSE(words[5].unknown);
  EXPECT_EQ(read_words(run, "dog \u4e2d")[3].text, "\u4e2d");
  EXPECT_TRUE(read_words(run, " \t").empty());
  const models::ClassifierBatch batch = encode(run, {"the dog", "[PAD] was", ""});
  EXPECT_TRUE(at::equal(batch.lengths, at::tensor({4, 1, 0}, at::kLong)));
  EXPECT_EQ(batch.ids[1][0].item<std::int64_t>(), 6);
}

TEST(BertTraining, AFrozenTableStays) {
  Folder folder;
  Recipe recipe = bert_recipe(folder);
  recipe.train.epochs = 1;
  recipe.model.freeze_embedding = true;
  train_small(recipe, folder / "run");
  const auto before = interop::read_safetensors(kBert + "/model.safetensors").tensors;
  const auto after = interop::read_safetensors(folder / "run/model.safetensors").tensors;
  const auto find = [](const auto& all, const std::string& name) {
    for (const auto& [other, tensor] : all)
      if (other == name) return tensor;
    return at::Tensor();
  };
  EXPECT_TRUE(at::equal(find(before, "embeddings.word_embeddings.weight"),
                        find(after, "embeddings.word.weight")));
  EXPECT_FALSE(at::equal(find(before, "embeddings.position_embeddings.weight"),
                         find(after, "embeddings.position.weight")));
}

TEST(BertTraining, RecipesThatMakeNoSense) {
  Folder folder;
  const auto says = [&](auto spoil) {
    Recipe r = bert_recipe(folder);
    spoil(r);
    return message_of([&] { train_small(r, folder / "run"); });
  };
  EXPECT_THAT(says([](auto& r) { r.model.pretrained = ""; }), HasSubstr("needs model.pretrained"));
  EXPECT_THAT(says([](auto& r) { r.model.pretrained = "minilmm"; }),
              HasSubstr("model.pretrained = \"minilmm\": no such folder"));
  EXPECT_THAT(says([](auto& r) { r.model.pretrained = "sst"; }), HasSubstr("no such folder"));
  EXPECT_THAT(says([&](auto& r) { r.model.pretrained = folder / ""; }), HasSubstr("config.json"));
  EXPECT_THAT(says([](auto& r) { r.data.max_length = 39; }),
              HasSubstr("model.max_length is 39: it must be in [1, 38]"));
  EXPECT_THAT(says([](auto& r) { r.model.attention = models::Attention::kPool; }),
              HasSubstr("a bert has its own attention"));
  EXPECT_THAT(says([](auto& r) { r.model.mask_padding = false; }),
              HasSubstr("a bert never reads padding"));
  EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST(BertTraining, LongTextsAreCutAndSaid) {
  Folder folder;
  Recipe recipe = bert_recipe(folder);
  recipe.data.max_length = 4, recipe.train.epochs = 1;
  std::vector<std::string> notes;
  TrainOptions options;
  options.recipe = recipe, options.out = folder / "run", options.threads = 1;
  options.on_note = [&](const std::string& note) { notes.push_back(note); };
  train(options);
  EXPECT_THAT(notes, ::testing::Contains(HasSubstr("are longer than 4 pieces and were cut")));
}

TEST(BertTraining, AConfigThatWasSpoilt) {
  Folder folder;
  Recipe recipe = bert_recipe(folder);
  recipe.train.epochs = 1;
  train_small(recipe, folder / "run");
  const std::string good = read_file(folder / "run/config.json");
  const auto says = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return message_of([&] { from_config_json(text, "config.json"); });
  };
  EXPECT_EQ(says("{", "{"), "");
  EXPECT_THAT(says("\"pooling\": \"mean\"", "\"pooling\": \"men\""),
              HasSubstr("'pooling' is 'men'; did you mean 'mean'?"));
  EXPECT_THAT(says("\"hidden_size\"", "\"hiden_size\""), HasSubstr("'hidden_size' is missing"));
  EXPECT_THAT(says("\"num_attention_heads\": 2", "\"num_attention_heads\": 3"),
              HasSubstr("a multiple of model.heads = 3"));
  EXPECT_THAT(says("\"end_id\": 3", "\"end_id\": 300"), HasSubstr("model.end_id is 300"));
  EXPECT_THAT(says("\"classes\": 2", "\"classes\": 3"), HasSubstr("2 label_names for 3 classes"));
  EXPECT_THAT(says("\"dropout\"", "\"extra\": 1, \"dropout\""), HasSubstr("unknown key 'extra'"));
}

}  // namespace
}  // namespace attend::train
