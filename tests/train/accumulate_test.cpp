// Gradient accumulation: N batches of B rows are one of N · B, for every kind of task, whatever a batch holds.
//
// Planted faults that these tests kill:
//   parts weigh the same whatever they hold; all parts draw the same masks; gradients are not divided by the weights' sum; figures
//   are the last part's; the hash of a recipe that does not accumulate changes; batches of like length are cut before, not after,
//   steps are
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/message_of.h"
#include "train/same_training.h"

namespace attend::train {
namespace {

Trained train_here(const Recipe& recipe, const std::string& out) {
  Trained trained;
  train_into(trained, recipe, out, nullptr);
  trained.weights = weights_in(out);
  return trained;
}

/// Steps of `rows` rows, whole and in parts of 1 … rows / 2 and of what doesn't divide the last step.
void expect_same_in_parts(const Recipe& given, std::int64_t rows, const Folder& folder) {
  Recipe recipe = plain_steps(given);
  recipe.train.batch = rows;
  const Trained whole = train_here(recipe, folder / "whole");
  for (const std::int64_t batches : {2L, 3L, rows}) {
    ASSERT_EQ(rows % batches, 0);
    recipe.train.accumulate = batches, recipe.train.batch = rows / batches;
    const std::string name = "parts-" + std::to_string(batches);
    expect_same(train_here(recipe, folder / name), whole, name);
  }
}

TEST(Accumulate, OfClassificationWithLengthsRegulariserAndClipping) {
  const Folder folder;
  Recipe r = small_recipe(folder);
  r.model.mask_padding = true;
  r.model.embedding_l2 = 1e-3;
  r.train.clip_norm = 0.05;  // at most steps
  r.data.test = 0.21;        // an odd number of training rows
  expect_same_in_parts(r, 6, folder);
}

TEST(Accumulate, OfTranslation) {
  for (const auto architecture :
       {models::Architecture::kBahdanau, models::Architecture::kTransformer}) {
    const Folder folder;
    expect_same_in_parts(pairs_recipe(folder, architecture), 12, folder);
  }
}

TEST(Accumulate, OfLanguage) {
  for (const auto architecture :
       {models::LanguageArchitecture::kLstm, models::LanguageArchitecture::kLstmn,
        models::LanguageArchitecture::kTransformer}) {
    const Folder folder;
    Recipe r = text_recipe(folder);
    r.model.language = architecture;
    expect_same_in_parts(r, 6, folder);
  }
}

/// Schedules, averages and what is shown count steps, not batches.
TEST(Accumulate, AStepIsAStep) {
  const Folder folder;
  Recipe recipe = text_recipe(folder);
  recipe.train.batch = 2, recipe.train.accumulate = 3;
  std::vector<Progress> seen;
  TrainOptions options;
  options.recipe = recipe, options.out = folder / "run", options.threads = 1;
  options.on_step = [&](const Progress& p) { seen.push_back(p); };
  const TrainResult result = train(options);
  const std::int64_t steps = (result.rows_train + 5) / 6;
  EXPECT_NE(result.rows_train % 6, 0);
  ASSERT_EQ(static_cast<std::int64_t>(seen.size()), 2 * steps);
  EXPECT_EQ(seen.back().steps, steps);
  EXPECT_EQ(seen.back().step, steps);
}

TEST(Accumulate, EveryPartDrawsMasksOfItsOwn) {
  const Folder folder;
  Recipe recipe = pairs_recipe(folder, models::Architecture::kBahdanau);
  recipe.train.batch = 1;
  const auto in_parts = [](int parts) {
    return [parts](Recipe r, const std::string& out) {
      r.train.accumulate = parts;
      return train_here(r, out);
    };
  };
  expect_masks_of_their_own(folder, recipe, in_parts(1), in_parts(2));
}

TEST(Accumulate, RunsBegunWithoutItMeanTheSame) {
  const Folder folder;
  Recipe recipe = small_recipe(folder);
  const std::string once = recipe_hash(recipe);
  std::string text;
  for (const KeySpec& key : recipe_schema())
    if (applies(key, recipe.task.kind) && key.key != "train.accumulate" &&
        key.key != "model.attention.width" && key.key != "task.description" &&
        key.key != "train.checkpoint_every" && key.key != "train.checkpoint_seconds" &&
        key.key != "train.keep")
      text += key.key + "=" + to_text(recipe_value(recipe, key.key)) + "\n";
  EXPECT_EQ(once, sha256(text));
  recipe.train.accumulate = 2;
  EXPECT_NE(recipe_hash(recipe), once);
  EXPECT_THAT(test::message_of([&] { set_recipe_value(recipe, "train.accumulate=0"); }),
              testing::HasSubstr("train.accumulate"));
}

}  // namespace
}  // namespace attend::train
