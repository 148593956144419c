// Small images at random places of large ones, among pieces of others.
#include <algorithm>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/data/captions.h"
#include "attend/data/labelled_images.h"
#include "data/generated.h"

namespace attend::data {
namespace {

constexpr char kCluttered[] = "cluttered-mnist";
constexpr std::int64_t kClutterSide = 8, kMostClutteredSize = 255;  // boxes are bytes

const std::uint8_t* pixels_of_image(const LabelledImages& of, std::int64_t image) {
  return of.pixels.data() + image * of.height * of.width;
}

/// The smallest box that holds what is not black; of a black image all of it.
Box ink_of(const LabelledImages& of, std::int64_t image) {
  const std::uint8_t* p = pixels_of_image(of, image);
  std::int64_t left = of.width, top = of.height, right = -1, bottom = -1;
  for (std::int64_t y = 0; y < of.height; ++y)
    for (std::int64_t x = 0; x < of.width; ++x)
      if (p[y * of.width + x] > 0) {
        left = std::min(left, x), right = std::max(right, x);
        top = std::min(top, y), bottom = y;
      }
  if (right < 0) return {0, 0, of.width, of.height};
  return {left, top, right - left + 1, bottom - top + 1};
}

/// Makes the images of one part, row by row.
class Clutterer {
 public:
  Clutterer(const LabelledImages& source, const MakeOptions& options)
      : source_(source), options_(options) {
    out_.height = out_.width = options.size;
    out_.objects = options.digits;
    out_.label_names = source.label_names;
  }

  /// `first`: how many rows other parts have before this one; each row has a stream of its own.
  LabelledImages make(std::int64_t count, std::int64_t first) {
    out_.count = count;
    out_.pixels.resize(static_cast<std::size_t>(count * options_.size * options_.size));
    for (std::int64_t row = 0; row < count; ++row) {
      Random random(options_.seed, Purpose::kGenerate, static_cast<std::uint64_t>(first + row));
      add_row(row, random);
    }
    return std::move(out_);
  }

 private:
  static std::int64_t draw(Random& random, std::int64_t n) {
    return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(n)));
  }

  void add_row(std::int64_t row, Random& random) {
    std::vector<std::int64_t> shown;
    for (std::int64_t i = 0; i < options_.digits; ++i) {
      const std::int64_t image = draw(random, source_.count);
      shown.push_back(image);
      const Box from{0, 0, source_.width, source_.height}, ink = ink_of(source_, image);
      const auto [left, top] = add_anywhere(row, image, from, random);
      out_.labels.push_back(source_.labels[static_cast<std::size_t>(image)]);
      for (const std::int64_t n : {left + ink.left, top + ink.top, ink.width, ink.height})
        out_.boxes.push_back(static_cast<std::uint8_t>(n));
    }
    for (std::int64_t i = 0; i < options_.clutter; ++i) {
      std::int64_t image = draw(random, source_.count);
      while (std::find(shown.begin(), shown.end(), image) != shown.end())
        image = draw(random, source_.count);
      const std::int64_t width = std::min(kClutterSide, source_.width),
                         height = std::min(kClutterSide, source_.height);
      const std::int64_t left = draw(random, source_.width - width + 1);
      const std::int64_t top = draw(random, source_.height - height + 1);
      add_anywhere(row, image, {left, top, width, height}, random);
    }
  }

  /// Adds a part of a source image; returns the left and upper edge of its place.
  std::pair<std::int64_t, std::int64_t> add_anywhere(std::int64_t row, std::int64_t image,
                                                     const Box& from, Random& random) {
    const std::int64_t left = draw(random, options_.size - from.width + 1);
    const std::int64_t top = draw(random, options_.size - from.height + 1);
    for (std::int64_t y = 0; y < from.height; ++y) {
      const std::uint8_t* in =
          pixels_of_image(source_, image) + (from.top + y) * source_.width + from.left;
      std::uint8_t* to =
          out_.pixels.data() + (row * options_.size + top + y) * options_.size + left;
      for (std::int64_t x = 0; x < from.width; ++x)
        to[x] = static_cast<std::uint8_t>(std::min(255, to[x] + in[x]));
    }
    return {left, top};
  }

  const LabelledImages& source_;
  const MakeOptions options_;
  LabelledImages out_;
};

void require_in(const char* what, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value < least || value > most)
    fail_usage(std::string(kCluttered) + ": " + what + " is " + std::to_string(value) + "; give " +
               std::to_string(least) + "…" + std::to_string(most));
}

}  // namespace

ImageCorpus make_cluttered(const ImageCorpus& source, const MakeOptions& asked) {
  MakeOptions options = asked;
  if (options.size == 0) options.size = 60;
  require_rows(kCluttered, options.rows, 100'000);
  require_in("size", options.size, std::max(source.train.height, source.train.width),
             kMostClutteredSize);
  require_in("digits", options.digits, 1, 16);
  require_in("clutter", options.clutter, 0, 256);
  if (options.rows > (std::int64_t{1} << 30) / (options.size * options.size))
    fail_usage(std::string(kCluttered) + ": " + std::to_string(options.rows) +
               " images of this size have more than 2^30 pixels; give fewer rows");
  for (const LabelledImages* part : {&source.train, &source.test})
    if (part->count <= options.digits)
      fail_input(std::string(kCluttered) + ": " + part->name + " has " +
                 std::to_string(part->count) + " images; more than " +
                 std::to_string(options.digits) + " are needed");
  const std::int64_t test = options.rows / 10, train = options.rows - test;
  return {Clutterer(source.train, options).make(train, 0),
          Clutterer(source.test, options).make(test, train)};
}

}  // namespace attend::data
