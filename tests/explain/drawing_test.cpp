// What lies of a window on an image's objects, against loops over every centre and against closed forms.
// Killed mutations: rows and columns swapped; filters not normalised, not taken relative to the nearest pixel, of σ for σ², around
// N/2 for (N − 1)/2; chance over every second centre, not divided, at the window's own place; the middle half a pixel off; the
// right edge of a box included, pixels of two boxes taken for those of none, a box beyond the bottom let pass.
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "attend/explain/drawing.h"
#include "support/message_of.h"

namespace attend::explain {
namespace {

using Boxes = std::vector<std::array<std::int64_t, 4>>;  // left, top, width, height

at::Tensor tensor_of(const Boxes& boxes) {
  at::Tensor out = at::zeros({static_cast<std::int64_t>(boxes.size()), 4}, at::kByte);
  for (std::size_t i = 0; i < boxes.size(); ++i)
    for (std::size_t k = 0; k < 4; ++k)
      out[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(k)] = boxes[i][k];
  return out;
}

/// Equations 25 and 26 of the paper and the definition, pixel by pixel.
double share_at(double x, double y, const DrawingWindow& w, int n, int height, int width,
                const Boxes& boxes) {
  const auto filter = [&](double centre, int i, int a, int size) {
    const double mean = centre + (i - (n - 1) / 2.0) * w.stride;
    double sum = 0;
    for (int k = 0; k < size; ++k)
      sum += std::exp(-(k - mean) * (k - mean) / (2 * w.sigma * w.sigma));
    return std::exp(-(a - mean) * (a - mean) / (2 * w.sigma * w.sigma)) / sum;
  };
  double out = 0;
  for (int b = 0; b < height; ++b)
    for (int a = 0; a < width; ++a) {
      bool covered = false;
      for (const auto& box : boxes)
        covered |= a >= box[0] && a < box[0] + box[2] && b >= box[1] && b < box[1] + box[3];
      if (!covered) continue;
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j)
          out += filter(y, i, b, height) * filter(x, j, a, width) / (n * n);
    }
  return out;
}

TEST(OnObjects, IsTheDefinition) {
  const Boxes boxes = {{1, 2, 4, 3}, {3, 4, 5, 2}};  // which overlap
  for (const int n : {1, 2, 5})
    for (const DrawingWindow& w :
         {DrawingWindow{3.2, 4.1, 1.3, 0.8, 1}, DrawingWindow{8, 0, 2.5, 1.7, 1},
          DrawingWindow{-1.5, 3, 0.4, 1, 1}}) {
      constexpr int kHeight = 7, kWidth = 9;
      const OnObjects on = on_objects(w, n, kHeight, kWidth, tensor_of(boxes));
      EXPECT_NEAR(on.share, share_at(w.x, w.y, w, n, kHeight, kWidth, boxes), 1e-12);
      EXPECT_NEAR(on.middle, share_at(4, 3, w, n, kHeight, kWidth, boxes), 1e-12);
      double sum = 0;
      for (int y = 0; y < kHeight; ++y)
        for (int x = 0; x < kWidth; ++x) sum += share_at(x, y, w, n, kHeight, kWidth, boxes);
      EXPECT_NEAR(on.chance, sum / (kHeight * kWidth), 1e-12);
    }
}

TEST(OnObjects, ClosedForms) {
  const at::Tensor box = tensor_of({{2, 3, 4, 5}});
  const double area = 20.0 / (10 * 12);
  const auto of = [&](const DrawingWindow& w, std::int64_t n) {
    return on_objects(w, n, 12, 10, box);
  };
  // One sharp filter sees the pixel below it.
  EXPECT_EQ(of({2, 3, 0, 1e-6, 1}, 1).share, 1);
  EXPECT_EQ(of({1, 3, 0, 1e-6, 1}, 1).share, 0);
  EXPECT_EQ(of({5, 8, 0, 1e-6, 1}, 1).share, 0);
  EXPECT_EQ(of({5, 7, 0, 1e-6, 1}, 1).share, 1);
  EXPECT_NEAR(of({5, 7, 0, 1e-6, 1}, 1).chance, area, 1e-12);
  // A blind one sees all of the image alike, wherever it stands.
  EXPECT_NEAR(of({0, 0, 1, 1e6, 1}, 3).share, area, 1e-6);
  EXPECT_NEAR(of({0, 0, 1, 1e6, 1}, 3).chance, area, 1e-6);
  // Beyond the image a window sees its border.
  EXPECT_NEAR(on_objects({1e5, 1e5, 1, 0.5, 1}, 2, 12, 10, tensor_of({{9, 11, 1, 1}})).share, 1,
              1e-9);
  // Everything is on the objects, or nothing.
  EXPECT_NEAR(on_objects({4, 4, 2, 1, 1}, 3, 12, 10, tensor_of({{0, 0, 10, 12}})).share, 1, 1e-12);
  EXPECT_NEAR(on_objects({4, 4, 2, 1, 1}, 3, 12, 10, tensor_of({{0, 0, 10, 12}})).chance, 1, 1e-12);
  EXPECT_EQ(on_objects({4, 4, 2, 1, 1}, 3, 12, 10, tensor_of({{4, 4, 0, 0}})).share, 0);
  // What two boxes share is counted once.
  EXPECT_EQ(on_objects({4, 4, 2, 1, 1}, 3, 12, 10, tensor_of({{2, 3, 4, 5}, {2, 3, 4, 5}})).share,
            of({4, 4, 2, 1, 1}, 3).share);
}

TEST(OnObjects, ABoxBeyondTheImageIsRefused) {
  for (const Boxes& boxes : {Boxes{{0, 0, 1, 1}, {7, 0, 4, 1}}, Boxes{{0, 0, 1, 1}, {0, 9, 1, 4}}})
    EXPECT_NE(test::message_of([&] {
                on_objects({1, 1, 1, 1, 1}, 2, 12, 10, tensor_of(boxes));
              }).find("attend::explain::on_objects: box 1 reaches beyond its image"),
              std::string::npos);
}

TEST(OnObjects, StandsInTheDocument) {
  DrawingExplanation e;
  e.steps.resize(1);
  e.steps[0].read = e.steps[0].write = DrawingWindow{1, 2, 3, 4, 5, OnObjects{0.5, 0.25, 0.375}};
  EXPECT_EQ(to_json(e, "i", "r").find(R"(,"on_objects":{"read")"), std::string::npos);
  e.read_on_objects = OnObjects{0.5, 0.25, 0}, e.write_on_objects = OnObjects{0.75, 0.125, 1};
  const std::string text = to_json(e, "i", "r");
  EXPECT_NE(
      text.find(R"("intensity":5.0,"on_objects":{"share":0.5,"chance":0.25,"middle":0.375}})"),
      std::string::npos);
  EXPECT_NE(
      text.find(
          R"("on_objects":{"read":{"share":0.5,"chance":0.25,"middle":0.0},"write":{"share":0.75,"chance":0.125,"middle":1.0}})"),
      std::string::npos);
}

}  // namespace
}  // namespace attend::explain
