// cluttered-mnist from sources in which every image has a label of its own, so that what was put where can be put there again.
// Killed mutations: a box of the whole image, one not moved with its digit, one a pixel short; pixels that wrap round at white, the brighter
// in place of the sum; the last place never taken, across and down; places with row and column swapped; clutter of the digits
// shown, 7 wide, always the same crop, the last crop never taken, its rows read at the image's stride; test images of training
// images; test rows with the streams of training rows, one stream for all rows, the seed ignored; a size of 256, too few source
// images and more than 2^30 pixels let pass.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "attend/base/error.h"
#include "attend/data/labelled_images.h"
#include "support/message_of.h"

namespace attend::data {
namespace {

using test::message_of;
using testing::HasSubstr;

constexpr std::int64_t kHeight = 12, kWidth = 10;

/// Image i: a filled rectangle of a shade, a place and a size of its own. Labels count on from `first`.
LabelledImages rectangles(std::int64_t count, std::int64_t first) {
  LabelledImages out;
  out.name = first == 0 ? "small train" : "small test";
  out.count = count, out.height = kHeight, out.width = kWidth;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t left = i % 3, top = i % 4, right = left + 2 + i % 5,
                       bottom = top + 3 + i % 6;
    for (std::int64_t y = 0; y < kHeight; ++y)
      for (std::int64_t x = 0; x < kWidth; ++x) {
        const bool inside = x >= left && x < right && y >= top && y < bottom;
        out.pixels.push_back(static_cast<std::uint8_t>(inside ? 150 + first + i : 0));
      }
    out.labels.push_back(static_cast<std::uint8_t>(first + i));
  }
  for (int i = 0; i < 60; ++i) out.label_names.push_back(std::to_string(i));
  return out;
}

const ImageCorpus& small() {
  static const ImageCorpus corpus{rectangles(30, 0), rectangles(20, 30)};
  return corpus;
}

/// The same with no black pixel.
ImageCorpus shades() {
  ImageCorpus out = small();
  for (LabelledImages* part : {&out.train, &out.test})
    for (std::size_t i = 0; i < part->pixels.size(); ++i)
      part->pixels[i] = static_cast<std::uint8_t>(
          1 + part->labels[i / static_cast<std::size_t>(kHeight * kWidth)]);
  return out;
}

MakeOptions options(std::int64_t rows, std::int64_t size, std::int64_t digits,
                    std::int64_t clutter) {
  MakeOptions out;
  out.rows = rows, out.size = size, out.digits = digits, out.clutter = clutter;
  return out;
}

std::vector<std::uint8_t> image_of(const LabelledImages& part, std::int64_t row) {
  const std::int64_t each = part.height * part.width;
  return {part.pixels.begin() + row * each, part.pixels.begin() + (row + 1) * each};
}

/// What the labels and boxes of a row say that its image is, put together anew.
std::vector<std::uint8_t> told_image(const LabelledImages& part, const LabelledImages& source,
                                     std::int64_t row) {
  std::vector<int> out(static_cast<std::size_t>(part.height * part.width));
  for (std::int64_t k = 0; k < part.objects; ++k) {
    const std::size_t at = static_cast<std::size_t>(row * part.objects + k);
    const std::int64_t image = part.labels[at] - source.labels[0];
    if (image < 0 || image >= source.count) return {};
    const std::int64_t left = image % 3, top = image % 4;  // of the rectangle in its image
    const std::uint8_t* box = part.boxes.data() + 4 * at;
    EXPECT_EQ(box[2], 2 + image % 5);
    EXPECT_EQ(box[3], 3 + image % 6);
    for (std::int64_t y = 0; y < kHeight; ++y)
      for (std::int64_t x = 0; x < kWidth; ++x) {
        const std::int64_t down = box[1] - top + y, across = box[0] - left + x;
        if (down < 0 || down >= part.height || across < 0 || across >= part.width) return {};
        int& pixel = out[static_cast<std::size_t>(down * part.width + across)];
        const auto from = static_cast<std::size_t>((image * kHeight + y) * kWidth + x);
        pixel = std::min(255, pixel + source.pixels[from]);
      }
  }
  return {out.begin(), out.end()};
}

TEST(Cluttered, LabelsAndBoxesTellTheImage) {
  for (const std::int64_t digits : {1, 2, 5}) {
    const ImageCorpus made = make_cluttered(small(), options(200, 25, digits, 0));
    EXPECT_EQ(made.train.count, 180);
    EXPECT_EQ(made.test.count, 20);
    EXPECT_EQ(made.train.label_names, small().train.label_names);
    bool overlaps = false;
    for (std::int64_t row = 0; row < made.train.count; ++row) {
      EXPECT_EQ(image_of(made.train, row), told_image(made.train, small().train, row)) << row;
      overlaps |= std::ranges::count(image_of(made.train, row), 255) > 0;
    }
    for (std::int64_t row = 0; row < made.test.count; ++row)
      EXPECT_EQ(image_of(made.test, row), told_image(made.test, small().test, row)) << row;
    EXPECT_EQ(overlaps, digits > 1);  // added and cut off at white
  }
}

TEST(Cluttered, EveryPlaceAndImageIsTaken) {
  const ImageCorpus made = make_cluttered(shades(), options(2000, 16, 1, 0));
  std::set<int> lefts, tops, labels(made.train.labels.begin(), made.train.labels.end());
  for (std::size_t i = 0; i < made.train.boxes.size(); i += 4)
    lefts.insert(made.train.boxes[i]), tops.insert(made.train.boxes[i + 1]);
  EXPECT_EQ(lefts.size(), 16U - kWidth + 1);
  EXPECT_EQ(*lefts.rbegin(), 16 - kWidth);
  EXPECT_EQ(tops.size(), 16U - kHeight + 1);
  EXPECT_EQ(labels.size(), 30U);
}

TEST(Cluttered, ClutterIsACropOfAnother) {
  const ImageCorpus source = shades();
  const LabelledImages clean = make_cluttered(source, options(500, 40, 2, 0)).train;
  const LabelledImages one = make_cluttered(source, options(500, 40, 2, 1)).train;
  EXPECT_EQ(clean.boxes, one.boxes);  // which comes behind the digits
  EXPECT_EQ(clean.labels, one.labels);
  std::set<int> shades_of_clutter;
  for (std::int64_t row = 0; row < clean.count; ++row) {
    const std::vector<std::uint8_t> before = image_of(clean, row), after = image_of(one, row);
    std::set<int> added;
    std::int64_t count = 0, left = 40, right = -1, top = 40, bottom = -1;
    for (std::int64_t i = 0; i < 1600; ++i) {
      const int more = after[static_cast<std::size_t>(i)] - before[static_cast<std::size_t>(i)];
      if (more == 0) continue;
      added.insert(more), ++count;
      left = std::min(left, i % 40), right = std::max(right, i % 40);
      top = std::min(top, i / 40), bottom = std::max(bottom, i / 40);
    }
    EXPECT_EQ(count, 64);
    EXPECT_TRUE(right - left == 7 && bottom - top == 7);
    ASSERT_EQ(added.size(), 1U);
    shades_of_clutter.insert(*added.begin());
    for (std::int64_t k = 0; k < 2; ++k)  // of another image than those shown
      EXPECT_NE(*added.begin(), 1 + clean.labels[static_cast<std::size_t>(2 * row + k)]);
  }
  EXPECT_EQ(shades_of_clutter.size(), 30U);
}

TEST(Cluttered, EveryCropIsTaken) {
  ImageCorpus source = small();  // in which a pixel tells its place
  for (LabelledImages* part : {&source.train, &source.test})
    for (std::size_t i = 0; i < part->pixels.size(); ++i)
      part->pixels[i] = static_cast<std::uint8_t>(1 + i % (kHeight * kWidth));
  const LabelledImages clean = make_cluttered(source, options(500, 40, 1, 0)).train;
  const LabelledImages one = make_cluttered(source, options(500, 40, 1, 1)).train;
  std::set<int> corners;
  for (std::int64_t row = 0; row < clean.count; ++row) {
    const std::vector<std::uint8_t> before = image_of(clean, row), after = image_of(one, row);
    std::size_t first = 0;
    while (before[first] == after[first]) ++first;
    const int corner = after[first] - before[first];
    corners.insert(corner - 1);
    for (std::size_t y = 0; y < 8; ++y)
      for (std::size_t x = 0; x < 8; ++x) {
        const std::size_t at = first + y * 40 + x;
        EXPECT_EQ(after[at] - before[at], corner + static_cast<int>(y * kWidth + x));
      }
  }
  std::set<int> expected;
  for (int y = 0; y <= kHeight - 8; ++y)
    for (int x = 0; x <= kWidth - 8; ++x) expected.insert(y * kWidth + x);
  EXPECT_EQ(corners, expected);
}

TEST(Cluttered, AFunctionOfItsOptions) {
  const MakeOptions plain = options(100, 30, 2, 3);
  const ImageCorpus made = make_cluttered(small(), plain);
  EXPECT_EQ(made.train.pixels, make_cluttered(small(), plain).train.pixels);
  MakeOptions other = plain;
  other.seed = 1;
  EXPECT_NE(made.train.pixels, make_cluttered(small(), other).train.pixels);
  other = plain, other.rows = 200;
  const std::vector<std::uint8_t> longer = make_cluttered(small(), other).train.pixels;
  EXPECT_TRUE(std::equal(made.train.pixels.begin(), made.train.pixels.end(), longer.begin()));
  // Training rows and test rows have streams of their own.
  const ImageCorpus twins{small().train, small().train};
  const ImageCorpus twice = make_cluttered(twins, plain);
  EXPECT_FALSE(
      std::equal(twice.test.pixels.begin(), twice.test.pixels.end(), twice.train.pixels.begin()));
  EXPECT_EQ(make_cluttered(small()).train.width, 60);
}

TEST(Cluttered, RefusesWhatItCannotMake) {
  const auto told = [](const MakeOptions& o, const ImageCorpus& source = small()) {
    return message_of([&] { make_cluttered(source, o); });
  };
  EXPECT_THAT(told(options(9, 30, 2, 0)), HasSubstr("cluttered-mnist: rows is 9; give 10…100000"));
  EXPECT_THAT(told(options(10, 11, 2, 0)), HasSubstr("cluttered-mnist: size is 11; give 12…255"));
  EXPECT_THAT(told(options(10, 256, 2, 0)), HasSubstr("size is 256; give 12…255"));
  EXPECT_THAT(told(options(10, 30, 0, 0)), HasSubstr("digits is 0; give 1…16"));
  EXPECT_THAT(told(options(10, 30, 17, 0)), HasSubstr("digits is 17; give 1…16"));
  EXPECT_THAT(told(options(10, 30, 1, -1)), HasSubstr("clutter is -1; give 0…256"));
  EXPECT_THAT(told(options(10, 30, 1, 257)), HasSubstr("clutter is 257; give 0…256"));
  EXPECT_THAT(told(options(100'000, 255, 1, 0)), HasSubstr("more than 2^30 pixels"));
  const ImageCorpus few{small().train, rectangles(2, 30)};
  EXPECT_THAT(told(options(10, 30, 2, 1), few), HasSubstr("small test has 2 images; more than 2"));
  // The smallest and the largest that it makes: an image where a digit just fits; a box that ends at 255.
  EXPECT_EQ(told(options(10, 12, 16, 256)), "");
  EXPECT_EQ(told(options(10, 255, 1, 0)), "");
}

TEST(Cluttered, ABlackImageIsABoxOfItsOwn) {
  ImageCorpus black = small();
  for (LabelledImages* part : {&black.train, &black.test})
    std::fill(part->pixels.begin(), part->pixels.end(), std::uint8_t{0});
  const LabelledImages made = make_cluttered(black, options(10, 30, 1, 0)).train;
  for (std::size_t i = 0; i < made.boxes.size(); i += 4) {
    EXPECT_EQ(made.boxes[i + 2], kWidth);
    EXPECT_EQ(made.boxes[i + 3], kHeight);
  }
}

}  // namespace
}  // namespace attend::data
