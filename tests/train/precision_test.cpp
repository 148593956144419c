// train.precision = bfloat16: a Transformer learns as in float32, stops and goes on bit for bit, keeps float32 weights; who refuses it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>

#include "support/message_of.h"
#include "train/same_training.h"
#include "train/training.h"

namespace attend::train {
namespace {

using ::testing::HasSubstr;

Recipe transformer(const Folder& folder) {
  Recipe r = text_recipe(folder);
  r.model.language = models::LanguageArchitecture::kTransformer;
  r.model.embedding_width = 16, r.model.heads = 2, r.model.feed_forward = 32, r.model.layers = 2;
  return r;
}

#define ATTEND_BFLOAT16_OR_SKIP \
  if (!has_bfloat16_products()) GTEST_SKIP() << "this processor does not multiply bfloat16"

TEST(Precision, LearnsAsInFloat32AndOnlyAlmostTheSame) {
  ATTEND_BFLOAT16_OR_SKIP;
  for (const bool translates : {false, true}) {
    const Folder folder;
    Recipe r =
        translates ? pairs_recipe(folder, models::Architecture::kTransformer) : transformer(folder);
    r.model.dropout = 0, r.train.epochs = 6;
    const TrainResult exact = train_small(r, folder / "float32");
    r.train.precision = ProductPrecision::kBFloat16;
    const TrainResult rounded = train_small(r, folder / "bfloat16");
    const double before = exact.train.at("loss"), after = rounded.train.at("loss");
    EXPECT_NE(before, after);
    EXPECT_NEAR(after, before, 0.01 * before);
    for (const auto& [name, tensor] : weights_in(folder / "bfloat16"))
      EXPECT_EQ(tensor.scalar_type(), at::kFloat) << name;
  }
}

TEST(Precision, ResumedBitForBit) {
  ATTEND_BFLOAT16_OR_SKIP;
  const Folder folder;
  Recipe r = transformer(folder);
  r.train.precision = ProductPrecision::kBFloat16, r.train.checkpoint_seconds = 0;
  train_small(r, folder / "whole");
  std::atomic<int> stop{0};
  std::int64_t steps = 0;
  TrainOptions options;
  options.recipe = r, options.out = folder / "parts", options.threads = 1, options.stop = &stop;
  options.on_step = [&](const Progress&) {
    if (++steps == 7) stop = SIGINT;
  };
  EXPECT_THROW(train(options), Interrupted);
  resume_small(options.out);
  EXPECT_EQ(weights_of(options.out), weights_of(folder / "whole"));
}

TEST(Precision, RefusedWhereItMeansNothingOrCannotBe) {
  const Folder folder;
  Recipe r = text_recipe(folder);
  r.train.precision = ProductPrecision::kBFloat16;
  EXPECT_THAT(test::message_of([&] { train_small(r, folder / "lstm"); }),
              HasSubstr("is of a transformer's products"));
  EXPECT_THAT(test::message_of([] { check_processor(ProductPrecision::kBFloat16, false); }),
              HasSubstr("this processor does not multiply bfloat16"));
  check_processor(ProductPrecision::kBFloat16, true);
  check_processor(ProductPrecision::kFloat32, false);
  Recipe classifier = small_recipe(folder);
  EXPECT_THAT(test::message_of([&] { set_recipe_value(classifier, "train.precision=bfloat16"); }),
              HasSubstr("train.precision"));
}

}  // namespace
}  // namespace attend::train
