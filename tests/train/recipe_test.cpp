// Planted and seen to fail here: a range check that lets NaN through. Meant to catch besides: bounds swapped, an
// integer refused where a real is expected, choices in another order than their enum, a key missing from recipe_hash, reals
// written with six digits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "attend/base/error.h"
#include "attend/train/recipe.h"

namespace attend::train {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string message(const std::string& toml, ErrorKind kind = ErrorKind::kBadInput) {
  try {
    parse_recipe(toml, "r.toml", "r");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    return e.what();
  }
  return "no error";
}

std::string usage(const std::string& assignment) {
  Recipe r;
  try {
    set_recipe_value(r, assignment);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage) << e.what();
    return e.what();
  }
  return "no error";
}

constexpr TaskKind kKinds[] = {TaskKind::kClassification, TaskKind::kTranslation,
                               TaskKind::kLanguage, TaskKind::kCaptioning, TaskKind::kGeneration};

const char* recipe_name(TaskKind kind) {
  switch (kind) {
    case TaskKind::kTranslation:
      return "translation/bahdanau";
    case TaskKind::kLanguage:
      return "language/lstmn";
    case TaskKind::kCaptioning:
      return "captioning/soft";
    case TaskKind::kGeneration:
      return "generation/draw";
    default:
      return "classification/gru";
  }
}

/// The keys that recipes of a kind know, but for the kind itself.
std::vector<KeySpec> keys_of(TaskKind kind) {
  std::vector<KeySpec> out;
  for (const KeySpec& spec : recipe_schema())
    if (spec.key != "task.kind" &&
        (spec.tasks.empty() || std::count(spec.tasks.begin(), spec.tasks.end(), kind) > 0))
      out.push_back(spec);
  return out;
}

Recipe recipe_of(TaskKind kind) {
  Recipe r;
  r.task.kind = kind;
  return r;
}

TEST(Recipe, TheGuidesAreWrittenToTheLetter) {
  for (const char* name : {"guide/sentiment-lstm", "guide/sentiment-lstm-attention"}) {
    const Recipe r = load_recipe(name);
    EXPECT_EQ(r.name, name);
    EXPECT_EQ(r.data.name, "uci-sentiment:amazon+yelp");
    EXPECT_EQ(r.data.max_length, 32);
    EXPECT_EQ(r.data.padding, data::End::kPost);
    EXPECT_EQ(r.data.truncating, data::End::kPre);
    EXPECT_EQ(r.data.split, Split::kLast);
    EXPECT_DOUBLE_EQ(r.data.validation, 0.2);
    EXPECT_EQ(r.data.vocabulary, VocabularyFrom::kAll);
    EXPECT_EQ(r.model.embedding_width, 32);
    EXPECT_EQ(r.model.hidden, 100);
    EXPECT_DOUBLE_EQ(r.model.dropout, 0.3);
    EXPECT_DOUBLE_EQ(r.model.recurrent_dropout, 0.2);
    EXPECT_DOUBLE_EQ(r.model.embedding_l2, 1e-3);
    EXPECT_FALSE(r.model.mask_padding);
    EXPECT_EQ(r.train.epochs, 10);
    EXPECT_EQ(r.train.batch, 100);
    EXPECT_EQ(r.optim.kind, OptimizerKind::kAdam);
    EXPECT_DOUBLE_EQ(r.optim.lr, 1e-3);
    EXPECT_DOUBLE_EQ(r.optim.epsilon, 1e-7);
  }
  EXPECT_EQ(load_recipe("guide/sentiment-lstm").model.attention, models::Attention::kNone);
  EXPECT_EQ(load_recipe("guide/sentiment-lstm-attention").model.attention,
            models::Attention::kPool);
}

TEST(Recipe, EveryBuiltInOneIsListedOnceWithADescription) {
  std::set<std::string> names;
  for (const RecipeInfo& info : list_recipes()) {
    EXPECT_TRUE(names.insert(info.name).second);
    const std::string folder = info.name.substr(0, info.name.find('/'));
    EXPECT_EQ(info.task, folder == "guide" ? "classification" : folder);
    EXPECT_FALSE(info.description.empty()) << info.name;
    load_recipe(info.name);
  }
  EXPECT_TRUE(names.count("classification/gru") && names.count("classification/bilstm-attention"));
}

TEST(Recipe, UnknownNamesGetTheNearest) {
  try {
    load_recipe("guide/sentiment-lstm-atention");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), HasSubstr("'guide/sentiment-lstm-attention'"));
  }
  EXPECT_THROW(load_recipe("./missing.toml"), Error);
}

TEST(Recipe, WhatIsWrittenIsReadBackExactly) {
  for (const TaskKind kind : kKinds) {
    Recipe r = load_recipe(recipe_name(kind));
    r.optim.lr = 0.1 + 0.2;  // 17 digits
    r.data.oov = "<\"q\"\\\n\x01>";
    r.data.name = "folder/ünïcode.tsv";
    r.train.seed = 9000000000000000;
    for (const KeySpec& spec : keys_of(kind))  // every choice but the first, every flag turned
      if (spec.type == ValueType::kChoice)
        set_recipe_value(r, spec.key, Value(spec.choices.back()));
      else if (spec.type == ValueType::kBool)
        set_recipe_value(r, spec.key, Value(!std::get<bool>(recipe_value(r, spec.key))));
    r.model.pretrained = "x";
    r.model.mask_padding = true;  // as r.model.attention, for a bert
    r.model.attention = models::Attention::kNone;
    r.data.fold = 1;
    r.data.padding = data::End::kPost;
    r.train.watch = Metric::kLoss;       // of the others each task has its own
    if (kind == TaskKind::kTranslation)  // the last architecture is no transformer
      r.train.precision = ProductPrecision::kFloat32;
    const Recipe again =
        parse_recipe(to_toml(r) + "\n[made]\nseed = 3\nwhatever = [1, 2]\n", "r.toml", r.name);
    for (const KeySpec& spec : keys_of(kind))
      EXPECT_EQ(recipe_value(r, spec.key), recipe_value(again, spec.key)) << spec.key;
    EXPECT_EQ(to_toml(r), to_toml(again));
  }
}

TEST(Recipe, AKeyOfAnotherTaskIsRefused) {
  EXPECT_THAT(usage("model.attention.score=dot"),
              HasSubstr("model.attention.score is a key of translation recipes, and this one's "
                        "task is classification"));
  EXPECT_THAT(message("[model]\ncell = \"gru\"\n[task]\nkind = \"translation\"\n"),
              HasSubstr("r.toml:2: model.cell is a key of classification recipes, and this one's "
                        "task is translation"));
  EXPECT_THAT(message("[train.early_stopping]\nmetric = \"f1\"\n[task]\nkind = \"translation\"\n"),
              HasSubstr("a translation recipe has no such metric"));
}

TEST(Recipe, ChoicesMeanTheirNames) {
  Recipe r;
  const auto set = [&r](const char* text) { set_recipe_value(r, std::string(text)); };
  set("data.padding=pre"), set("data.truncating=post"), set("model.cell=gru"),
      set("model.attention.kind=pool");
  set("data.split=folds"), set("optim.kind=sgd"), set("optim.schedule.kind=cosine"),
      set("data.vocabulary=all");
  set("train.early_stopping.metric=f1");
  EXPECT_EQ(r.data.padding, data::End::kPre);
  EXPECT_EQ(r.data.truncating, data::End::kPost);
  EXPECT_EQ(r.model.cell, models::Cell::kGru);
  EXPECT_EQ(r.model.attention, models::Attention::kPool);
  EXPECT_EQ(r.data.split, Split::kFolds);
  EXPECT_EQ(r.optim.kind, OptimizerKind::kSgd);
  EXPECT_EQ(r.optim.schedule, ScheduleKind::kCosine);
  EXPECT_EQ(r.data.vocabulary, VocabularyFrom::kAll);
  EXPECT_EQ(r.train.watch, Metric::kF1);
}

TEST(Recipe, BadFilesNameFileLineKeyAndMend) {
  EXPECT_THAT(message("[train]\nepochs = 3\nepoch = 3\n"),
              StartsWith("r.toml:3: unknown key 'train.epoch'"));
  EXPECT_THAT(message("[train]\nepoch = 3\n"), HasSubstr("'train.epochs'"));
  EXPECT_THAT(message("[train]\n\nepochs = \"ten\"\n"),
              StartsWith("r.toml:3: train.epochs = \"ten\": expected a whole number"));
  EXPECT_THAT(message("[model]\nhidden = -1\n"),
              StartsWith("r.toml:2: model.hidden = -1: expected"));
  EXPECT_THAT(message("[model]\nhidden = 1.5\n"), HasSubstr("a whole number"));
  EXPECT_THAT(message("[optim]\nlr = nan\n"),
              StartsWith("r.toml:2: optim.lr = nan: expected a number"));
  EXPECT_THAT(message("[optim]\nlr = inf\n"), HasSubstr("optim.lr = inf"));
  EXPECT_THAT(message("[optim]\nlr = -1e-3\n"), HasSubstr("optim.lr = -0.001"));
  EXPECT_THAT(message("[model]\nmask_padding = 1\n"), HasSubstr("true or false"));
  EXPECT_THAT(message("[model]\ncell = \"lstn\"\n"), HasSubstr("'lstm'"));
  EXPECT_THAT(message("[model]\nhidden = [1]\n"), HasSubstr("one value"));
  EXPECT_THAT(message("[modle]\nhidden = 1\n"), HasSubstr("unknown table [modle]"));
  EXPECT_THAT(message("[model.hidden]\nx = 1\n"), HasSubstr("is a key, not a table"));
  EXPECT_THAT(message("epochs = 3\n"), HasSubstr("'train.epochs'"));
  EXPECT_THAT(message("[train\n"), StartsWith("r.toml:1: "));
  EXPECT_THAT(message("[train]\nepochs = 3\nepochs = 4\n"), StartsWith("r.toml:3: "));
  EXPECT_THAT(message("[data]\nvalidation = 0.8\ntest = 0.5\n"),
              HasSubstr("data.validation + data.test"));
  EXPECT_THAT(message("[data]\nsplit = \"folds\"\nfold = 5\n"), HasSubstr("data.fold"));
  EXPECT_THAT(message("[data]\npadding = \"pre\"\n"), HasSubstr("model.mask_padding = false"));
  EXPECT_THAT(message(std::string(2 << 20, '#')), HasSubstr("1 MiB"));
}

TEST(Recipe, EveryKeyIsCheckedAtItsBounds) {
  for (const TaskKind kind : kKinds)
    for (const KeySpec& spec : keys_of(kind)) {
      Recipe r = recipe_of(kind);
      EXPECT_EQ(recipe_value(r, spec.key), spec.default_value) << spec.key;
      EXPECT_FALSE(spec.doc.empty());
      EXPECT_NO_THROW(set_recipe_value(r, spec.key, spec.default_value)) << spec.key;
      if (spec.type == ValueType::kReal) {
        for (const double bad :
             {std::nan(""), HUGE_VAL, -HUGE_VAL, std::nextafter(spec.minimum, -HUGE_VAL),
              std::nextafter(spec.maximum, HUGE_VAL)})
          EXPECT_THROW(set_recipe_value(r, spec.key, Value(bad)), Error) << spec.key << bad;
        EXPECT_NO_THROW(set_recipe_value(r, spec.key, Value(spec.minimum)));
        EXPECT_NO_THROW(set_recipe_value(r, spec.key, Value(spec.maximum)));
      }
      if (spec.type == ValueType::kInteger) {
        const auto low = static_cast<std::int64_t>(spec.minimum),
                   high = static_cast<std::int64_t>(spec.maximum);
        for (const std::int64_t bad :
             {low - 1, high + 1, std::int64_t{INT64_MIN}, std::int64_t{INT64_MAX}})
          EXPECT_THROW(set_recipe_value(r, spec.key, Value(bad)), Error) << spec.key << bad;
        EXPECT_NO_THROW(set_recipe_value(r, spec.key, Value(low)));
        EXPECT_NO_THROW(set_recipe_value(r, spec.key, Value(high)));
        EXPECT_THROW(set_recipe_value(r, spec.key, Value(0.5)), Error);
      }
      if (spec.type != ValueType::kText && spec.type != ValueType::kChoice)
        EXPECT_THROW(set_recipe_value(r, spec.key, Value(std::string("x"))), Error) << spec.key;
      else
        EXPECT_THROW(set_recipe_value(r, spec.key, Value(true)), Error) << spec.key;
    }
}

TEST(Recipe, AssignmentsFromTheCommandLine) {
  Recipe r;
  set_recipe_value(r, "optim.lr=1");
  EXPECT_DOUBLE_EQ(r.optim.lr, 1.0);
  set_recipe_value(r, " optim.lr = 2.5e-3 ");
  EXPECT_DOUBLE_EQ(r.optim.lr, 2.5e-3);
  set_recipe_value(r, "train.batch=1e2");
  EXPECT_EQ(r.train.batch, 100);
  set_recipe_value(r, "data.oov=\"<unk>\"");
  EXPECT_EQ(r.data.oov, "<unk>");
  set_recipe_value(r, "data.name=a=b");
  EXPECT_EQ(r.data.name, "a=b");
  set_recipe_value(r, "data.oov=");
  EXPECT_EQ(r.data.oov, "");
  EXPECT_THAT(usage("optim.lr"), HasSubstr("key=value"));
  EXPECT_THAT(usage("optim.lr=fast"), HasSubstr("expected a number"));
  EXPECT_THAT(usage("optim.lr=nan"), HasSubstr("expected a number"));
  EXPECT_THAT(usage("optim.lr="), HasSubstr("expected a number"));
  EXPECT_THAT(usage("train.epochs=1.5"), HasSubstr("whole number"));
  EXPECT_THAT(usage("train.epochs=99999999999999999999"), HasSubstr("whole number"));
  EXPECT_THAT(usage("model.bidirectional=yes"), HasSubstr("true or false"));
  EXPECT_THAT(usage("model.hiden=1"), HasSubstr("'model.hidden'"));
}

TEST(Recipe, HashFollowsEveryKeyThatMatters) {
  std::set<std::string> hashes;
  for (const TaskKind kind : kKinds)
    EXPECT_TRUE(hashes.insert(recipe_hash(recipe_of(kind))).second);
  for (const TaskKind kind : kKinds)
    for (const KeySpec& spec : keys_of(kind)) {
      Recipe r = recipe_of(kind);
      Value other = spec.default_value;
      if (auto* b = std::get_if<bool>(&other)) *b = !*b;
      if (auto* i = std::get_if<std::int64_t>(&other)) *i += 1;
      if (auto* d = std::get_if<double>(&other))
        *d = *d == spec.maximum ? *d / 2 : std::min(*d + 1e-12, spec.maximum);
      if (auto* s = std::get_if<std::string>(&other))
        *s = spec.type == ValueType::kChoice ? spec.choices.back() : *s + "x";
      if (other == spec.default_value) continue;  // a choice of one
      set_recipe_value(r, spec.key, other);
      const bool matters = spec.key != "task.description" && spec.key != "train.keep" &&
                           spec.key.find("checkpoint") == std::string::npos &&
                           !(kind == TaskKind::kClassification &&
                             spec.key == "model.attention.width");  // of an lstmn alone
      EXPECT_EQ(hashes.insert(recipe_hash(r)).second, matters) << spec.key;
    }
}

TEST(Recipe, MarkdownListsEveryKey) {
  const std::string text = recipe_schema_markdown();
  for (const KeySpec& spec : recipe_schema()) EXPECT_THAT(text, HasSubstr("`" + spec.key + "`"));
}

}  // namespace
}  // namespace attend::train
