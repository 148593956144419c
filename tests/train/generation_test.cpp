// Generation: what data are read as, the epochs' metrics, resuming bit for bit, evaluation.
#include "attend/train/generation.h"

#include <ATen/TensorOperators.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/data/image.h"
#include "support/compare.h"
#include "support/data.h"
#include "support/message_of.h"
#include "train/generation.h"
#include "train/run_folder.h"
#include "train/small.h"

namespace attend::train {
namespace {

using ::testing::HasSubstr;

data::Image picture(std::int64_t height, std::int64_t width, std::uint64_t seed, bool grey = true) {
  data::Image image{height, width, {}};
  Random random(seed, Purpose::kGenerate);
  for (std::int64_t i = 0; i < height * width; ++i) {
    const auto v = static_cast<std::uint8_t>(random.below(256));
    for (int c = 0; c < 3; ++c)
      image.pixels.push_back(grey ? v : static_cast<std::uint8_t>(random.below(256)));
  }
  return image;
}

std::string write_pictures(const Folder& folder, const std::string& name, int count,
                           bool grey = true) {
  for (int i = 0; i < count; ++i)
    folder.write(name + "/" + std::to_string(100 + i) + ".png",
                 data::encode_png(picture(6, 5, static_cast<std::uint64_t>(i), grey)));
  return folder / name;
}

Recipe tiny_recipe(const std::string& data) {
  Recipe r;
  r.name = "tiny";
  r.task.kind = TaskKind::kGeneration;
  r.data.name = data;
  r.data.validation = 0.25, r.data.test = 0.25;
  r.model.hidden = 6, r.model.latent = 3, r.model.steps = 3;
  r.model.read_size = 2, r.model.write_size = 3;
  r.train.epochs = 3, r.train.batch = 4, r.train.checkpoint_seconds = 0, r.train.clip_norm = 5;
  r.optim.lr = 1e-2;
  return r;
}

TEST(Generation, AnEpochTellsTheBoundAndItsParts) {
  Folder folder;
  Recipe recipe = tiny_recipe(write_pictures(folder, "images", 24));
  for (const bool windows : {true, false})
    for (const models::PixelOutput output :
         {models::PixelOutput::kBernoulli, models::PixelOutput::kGaussian}) {
      recipe.model.windows = windows, recipe.model.output = output;
      const std::string out = folder / (std::to_string(windows) + std::to_string(int(output)));
      const TrainResult r = train_small(recipe, out);
      EXPECT_EQ(r.rows_train, 12);
      EXPECT_EQ(r.rows_validation, 6);
      EXPECT_EQ(r.rows_test, 6);
      for (const Metrics& m : {r.train, r.validation, r.test}) {
        EXPECT_NEAR(m.at("elbo_nats"), m.at("reconstruction_nats") + m.at("kl_nats"), 1e-9);
        EXPECT_EQ(m.at("elbo_nats"), m.at("loss"));
        EXPECT_GE(m.at("kl_nats"), 0);
      }
      const GenerationRun run = load_generation(out);
      const GenerationEvaluation test = evaluate(run);
      EXPECT_EQ(test.split, "test");
      EXPECT_EQ(test.n, 6);
      EXPECT_NEAR(test.metrics.at("elbo_nats"), r.test.at("elbo_nats"), 1e-9);
      EXPECT_NEAR(evaluate(run, {"", "validation", 0, 0}).metrics.at("elbo_nats"),
                  r.validation.at("elbo_nats"), 1e-9);
      EXPECT_THAT(read_file(out + "/README.md"), HasSubstr("unconditional-image-generation"));
    }
}

TEST(Generation, LearnsAnImageByHeart) {
  Folder folder;
  for (int i = 0; i < 16; ++i)
    folder.write("same/" + std::to_string(i) + ".png", data::encode_png(picture(6, 5, 1)));
  Recipe recipe = tiny_recipe(folder / "same");
  recipe.data.binarise = Binarise::kThreshold;
  recipe.train.epochs = 80;
  const TrainResult r = train_small(recipe, folder / "run");
  EXPECT_LT(r.test.at("elbo_nats"), 3);  // of 30 pixels; chance is 30 log 2 = 20.8
  const GenerationRun run = load_generation(folder / "run");
  const at::Tensor shown = image_set(run).images, drawn = run.draw->sample({1, 0, 4});
  EXPECT_LT((drawn - shown[0]).abs().mean().item<double>(), 0.1);
}

TEST(Generation, GoesOnBitForBit) {
  Folder folder;
  const Recipe recipe = tiny_recipe(write_pictures(folder, "images", 24));
  for (const int threads : {1, 2}) {
    const std::string whole = folder / ("whole" + std::to_string(threads));
    train_small(recipe, whole, threads);
    for (const std::int64_t stop_at : {1, 4, 7}) {
      TrainOptions options;
      options.recipe = recipe;
      options.out = folder / (std::to_string(threads) + "-" + std::to_string(stop_at));
      options.threads = threads;
      std::atomic<int> stop{0};
      std::int64_t steps = 0;
      options.stop = &stop;
      options.on_step = [&](const Progress&) {
        if (++steps == stop_at) stop = 2;
      };
      EXPECT_THROW(train(options), Interrupted);
      const TrainResult r = resume_small(options.out);
      EXPECT_EQ(weights_of(options.out), weights_of(whole)) << stop_at;
      EXPECT_EQ(r.test, read_result(whole).test);
      EXPECT_EQ(r.train, read_result(whole).train);
    }
  }
}

TEST(Generation, BinarisedByChance) {
  at::Tensor images = at::empty({2000, 1, 1, 4}, at::TensorOptions().dtype(at::kByte));
  const std::uint8_t levels[] = {0, 64, 128, 255};
  for (int i = 0; i < 4; ++i) images.select(3, i).fill_(levels[i]);
  std::vector<std::int64_t> rows(2000);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i);
  const auto draw = [&](std::uint64_t first) {
    return pixels_of(images, rows, Binarise::kSample, 1, first);
  };
  const at::Tensor x = draw(binarise_stream(Part::kTrain, 0));
  EXPECT_TRUE(((x == 0) | (x == 1)).all().item<bool>());
  for (int i = 0; i < 4; ++i)
    EXPECT_NEAR(x.select(3, i).mean().item<double>(), levels[i] / 255.0, 0.035) << i;
  EXPECT_TRUE(test::same_bits(x, draw(binarise_stream(Part::kTrain, 0))));
  EXPECT_FALSE(test::same_bits(x, draw(binarise_stream(Part::kTrain, 1))));
  EXPECT_FALSE(test::same_bits(x, draw(binarise_stream(Part::kTest, 0))));
  EXPECT_FALSE(test::same_bits(draw(binarise_stream(Part::kValidation, 0)),
                               draw(binarise_stream(Part::kTest, 0))));
  const at::Tensor one =
      pixels_of(images, {1999}, Binarise::kSample, 1, binarise_stream(Part::kTrain, 0));
  EXPECT_TRUE(test::same_bits(one[0], x[1999]));  // whatever the batch
  const at::Tensor half = pixels_of(images, {0}, Binarise::kThreshold, 1, 0);
  EXPECT_EQ(half.sum().item<double>(), 2);
  const at::Tensor as_is = pixels_of(images, {0}, Binarise::kNone, 1, 0);
  EXPECT_FLOAT_EQ(as_is[0][0][0][1].item<float>(), 64 / 255.0f);
}

TEST(Generation, FoldersOfImages) {
  Folder folder;
  Recipe recipe = tiny_recipe(write_pictures(folder, "images", 8));
  folder.write("images/notes.txt", "x");
  ASSERT_EQ(::mkfifo((folder / "images/pipe.png").c_str(), 0600), 0);
  folder.write("images/deeper/a.PNG", data::encode_png(picture(6, 5, 77)));
  ImageParts parts = load_image_parts(recipe);
  EXPECT_EQ(parts.of(Part::kTrain).sizes(), (std::vector<std::int64_t>{5, 1, 6, 5}));
  EXPECT_EQ(parts.of(Part::kValidation).size(0), 2);
  EXPECT_EQ(parts.of(Part::kTest).size(0), 2);
  ASSERT_EQ(parts.notes.size(), 1u);
  EXPECT_THAT(parts.notes[0], HasSubstr("2 files"));
  recipe.data.split_seed = 9;
  EXPECT_FALSE(load_image_parts(recipe).of(Part::kTrain).equal(parts.of(Part::kTrain)));
  recipe.data.colour = Colour::kRgb;
  EXPECT_EQ(load_image_parts(recipe).of(Part::kTrain).size(1), 3);
  recipe.data.colour = Colour::kAuto, recipe.data.image_size = 8;
  EXPECT_EQ(load_image_parts(recipe).of(Part::kTest).sizes(),
            (std::vector<std::int64_t>{2, 1, 8, 8}));

  Recipe colours = tiny_recipe(write_pictures(folder, "colours", 4, false));
  EXPECT_EQ(load_image_parts(colours).of(Part::kTrain).size(1), 3);
  colours.data.colour = Colour::kGrey;
  EXPECT_EQ(load_image_parts(colours).of(Part::kTrain).size(1), 1);
}

TEST(Generation, BadFoldersAreNamed) {
  Folder folder;
  const auto message = [&](const std::string& name, auto spoil) {
    Recipe r = tiny_recipe(folder / name);
    spoil(r);
    return test::message_of([&] { load_image_parts(r); });
  };
  const auto plain = [](Recipe&) {};
  folder.write("empty/notes.txt", "x");
  EXPECT_THAT(message("empty", plain), HasSubstr("holds no PNG or JPEG file"));
  folder.write("cut/a.png", data::encode_png(picture(6, 5, 1)).substr(0, 60));
  EXPECT_THAT(message("cut", plain), HasSubstr("cut/a.png"));
  folder.write("two/a.png", data::encode_png(picture(6, 5, 1)));
  folder.write("two/b.png", data::encode_png(picture(5, 5, 1)));
  EXPECT_THAT(message("two", plain), HasSubstr("b.png: 5 x 5 pixels, and "));
  EXPECT_THAT(message("two", plain), HasSubstr("set data.image_size"));
  EXPECT_EQ(message("two", [](Recipe& r) { r.data.image_size = 4, r.data.test = 0; }), "");
  EXPECT_THAT(message("two",
                      [](Recipe& r) {
                        r.data.image_size = 4, r.data.test = 0.5, r.data.validation = 0.45;
                      }),
              HasSubstr("none is left to train on"));
  EXPECT_THAT(message("nowhere", plain), HasSubstr("nowhere"));
}

TEST(Generation, RecipesThatMakeNoSense) {
  Recipe r = load_recipe("generation/draw");
  const auto message = [&](const char* assignment) {
    return test::message_of([&] { set_recipe_value(r, assignment); });
  };
  EXPECT_THAT(message("model.steps=0"), HasSubstr("model.steps = 0"));
  EXPECT_THAT(message("model.attention.read_size=0"), HasSubstr("model.attention.read_size = 0"));
  EXPECT_THAT(message("model.attention.kind=windows"), HasSubstr("'window'"));
  EXPECT_THAT(message("model.dropout=0.1"), HasSubstr("is a key of"));
  EXPECT_FALSE(load_recipe("generation/draw-no-attention").model.windows);
  Recipe watched = tiny_recipe("x");
  watched.train.watch = Metric::kAccuracy;
  EXPECT_THAT(test::message_of([&] { train_small(watched, "y"); }), HasSubstr("no such metric"));
}

TEST(Generation, OneImage) {
  Folder folder;
  const Recipe recipe = tiny_recipe(write_pictures(folder, "images", 24));
  train_small(recipe, folder / "run");
  const GenerationRun run = load_generation(folder / "run");
  const at::Tensor all = image_set(run, "", "test").images;
  EXPECT_TRUE(test::same_bits(one_image(run, "test:2").images[0], all[2]));
  folder.write("big.png", data::encode_png(picture(12, 10, 5)));
  EXPECT_EQ(one_image(run, folder / "big.png").images.sizes(),
            (std::vector<std::int64_t>{1, 1, 6, 5}));
  const auto message = [&](const std::string& input) {
    return test::message_of([&] { one_image(run, input); });
  };
  EXPECT_THAT(message("test:6"), HasSubstr("0 to 5"));
  EXPECT_THAT(message("tset:0"), HasSubstr("'test'"));
  EXPECT_THAT(message("missing.png"), HasSubstr("missing.png"));
  EXPECT_THAT(test::message_of([&] { image_set(run, folder / "images/100.png"); }),
              HasSubstr("100.png"));
  EXPECT_THAT(
      test::message_of([&] { image_set(run, write_pictures(folder, "colours", 3, false)); }),
      HasSubstr("images of 3 x 6 x 5"));
}

TEST(Generation, TheLikelihoodIsAtLeastTheBound) {
  Folder folder;
  const Recipe recipe = tiny_recipe(write_pictures(folder, "images", 24));
  train_small(recipe, folder / "run");
  const GenerationRun run = load_generation(folder / "run");
  const GenerationEvaluation e = evaluate(run, {"", "train", 200, 5});
  EXPECT_EQ(e.samples, 200);
  EXPECT_EQ(e.likelihood_n, 5);
  EXPECT_GT(e.metrics.at("log_likelihood_nats"), -e.metrics.at("elbo_nats") - 3);
}

TEST(Generation, MnistIsPartedAsThePaper) {
  ATTEND_SET_OR_SKIP("mnist");
  const ImageParts parts = load_image_parts(load_recipe("generation/draw"));
  EXPECT_EQ(parts.of(Part::kTrain).sizes(), (std::vector<std::int64_t>{50000, 1, 28, 28}));
  EXPECT_EQ(parts.of(Part::kValidation).size(0), 10000);
  EXPECT_EQ(parts.of(Part::kTest).size(0), 10000);
}

}  // namespace
}  // namespace attend::train
