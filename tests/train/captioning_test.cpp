// What is measured of a captioner: which pixel a map points at, when it lies in a box, how far maps differ; its config.json.
//
// Planted and seen to fail here: rows and columns exchanged; the corner of a place for its middle; width for height; the last of equal
// places; a box that holds its right edge; nats for bits; the sum of maps for their mean; entropies not averaged; no end token.
#include "attend/train/captioning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "support/message_of.h"
#include "train/captioning.h"

namespace attend::train {
namespace {

using ::testing::HasSubstr;

std::vector<double> peaked(std::size_t places, std::size_t at) {
  std::vector<double> map(places, 0.5 / static_cast<double>(places));
  map[at] += 0.5;
  return map;
}

TEST(Pointing, IsTheMiddleOfTheLargestPlaceInPixels) {
  EXPECT_EQ(pointed_at(peaked(16, 0), 4, 48, 48), (PointedAt{6, 6}));
  EXPECT_EQ(pointed_at(peaked(16, 7), 4, 48, 48), (PointedAt{42, 18})) << "row 1, column 3";
  EXPECT_EQ(pointed_at(peaked(16, 7), 4, 100, 20), (PointedAt{87.5, 7.5})) << "100 wide, 20 high";
  EXPECT_EQ(pointed_at({.25, .25, .25, .25}, 2, 2, 2), (PointedAt{.5, .5}))
      << "the first of equals";
  EXPECT_THAT(test::message_of([] { pointed_at({.5, .5}, 2, 9, 9); }), HasSubstr("side · side"));
}

TEST(Pointing, ABoxHoldsItsLeftAndUpperEdgeAlone) {
  const data::Box box{10, 20, 4, 6};
  EXPECT_TRUE(lies_in({10, 20}, box));
  EXPECT_TRUE(lies_in({13.9, 25.9}, box));
  EXPECT_FALSE(lies_in({14, 22}, box));
  EXPECT_FALSE(lies_in({12, 26}, box));
  EXPECT_FALSE(lies_in({9.9, 22}, box));
  EXPECT_FALSE(lies_in({12, 19.9}, box));
}

TEST(MapSpread, IsTheJensenShannonDivergence) {
  const std::vector<double> left{1, 0, 0, 0}, right{0, 1, 0, 0}, even(4, .25), half{.5, .5, 0, 0};
  EXPECT_EQ(map_spread({}), 0);
  EXPECT_EQ(map_spread({half}), 0) << "one map has no other";
  EXPECT_NEAR(map_spread({half, half, half}), 0, 1e-15);
  EXPECT_NEAR(map_spread({left, right}), 1, 1e-15) << "log₂ 2: no common place";
  EXPECT_NEAR(map_spread({left, even}),
              -(.625 * std::log2(.625) + 3 * .125 * std::log2(.125)) - (0 + 2) / 2.0, 1e-15);
  EXPECT_NEAR(map_spread({left, right, {0, 0, 1, 0}, {0, 0, 0, 1}}), 2, 1e-15);
  EXPECT_THAT(test::message_of([&] { map_spread({left, {1, 0}}); }), HasSubstr("different sizes"));
}

TEST(MapSpread, WarnsOfMapsThatAreOneMapWithNoise) {
  Random random(1, Purpose::kExplain);
  const auto noisy = [&](double noise, std::size_t at) {
    std::vector<double> map = peaked(36, at);
    double sum = 0;
    for (double& p : map) sum += p *= 1 + noise * random.uniform();
    for (double& p : map) p /= sum;
    return map;
  };
  std::vector<std::vector<double>> alike, apart;
  for (std::size_t t = 0; t < 8; ++t)
    alike.push_back(noisy(.5, 7)), apart.push_back(noisy(.5, 4 * t));
  EXPECT_LT(map_spread(alike), kMapsAlike);
  EXPECT_GT(map_spread(apart), kMapsAlike);
}

TEST(CaptioningConfig, ReadsWhatItWrote) {
  Recipe recipe;
  recipe.task.kind = TaskKind::kCaptioning;
  recipe.model.look = models::CaptionAttention::kHard, recipe.model.layers = 3;
  recipe.data.caption_image_size = 32, recipe.model.stride = 8, recipe.train.expected_share = 0.25;
  const CaptioningConfig config = captioning_config(recipe, 30);
  const std::string text = to_config_json(config);
  const CaptioningConfig back = captioning_from_config_json(text, "config.json");
  EXPECT_EQ(to_config_json(back), text);
  EXPECT_EQ(back.encoder.side(), 4);
  EXPECT_EQ(back.captioner.annotation_width, back.encoder.width);
  std::string broken = text;
  broken.replace(broken.find("\"stride\": 8"), 11, "\"stride\": 7");
  EXPECT_THAT(test::message_of([&] { captioning_from_config_json(broken, "config.json"); }),
              HasSubstr("config.json: model.stride is 7"));
}

TEST(CaptionTokens, BeginEndAndPadding) {
  const std::vector<CaptionRow> rows{{0, 0, {5, 6, 7}}, {0, 1, {8}}};
  const at::Tensor tokens = caption_tokens(rows, {1, 0});
  const std::vector<std::int64_t> wanted{2, 8, 3, 0, 0, 2, 5, 6, 7, 3};
  ASSERT_EQ(tokens.sizes(), (std::vector<std::int64_t>{2, 5}));
  EXPECT_EQ(std::vector<std::int64_t>(tokens.const_data_ptr<std::int64_t>(),
                                      tokens.const_data_ptr<std::int64_t>() + 10),
            wanted);
}

}  // namespace
}  // namespace attend::train
