// Images of a few coloured shapes with captions, drawn in integers so that every machine makes the
// same pixels.
#include <algorithm>
#include <array>
#include <unordered_set>

#include "attend/base/error.h"
#include "attend/base/random.h"
#include "attend/data/captions.h"
#include "data/generated.h"

namespace attend::data {
namespace {

constexpr std::uint64_t kMostShapesRows = 50'000;
constexpr std::int64_t kPlaces = 3;  // a side

enum class Shape { kCircle, kSquare, kTriangle, kCross };
constexpr std::array kShapeWords = {"circle", "square", "triangle", "cross"};

struct Colour {
  const char* word;
  std::array<int, 3> rgb;
};
constexpr std::array<Colour, 6> kColours = {{{"red", {215, 40, 40}},
                                             {"green", {40, 185, 60}},
                                             {"blue", {50, 80, 225}},
                                             {"yellow", {225, 210, 45}},
                                             {"purple", {150, 50, 190}},
                                             {"white", {228, 228, 228}}}};

/// What an image shows, without how it is drawn.
struct ShapeKind {
  std::uint64_t colour, shape;
  std::int64_t row, column;
};

struct DrawnShape {
  Shape shape;
  std::array<std::uint8_t, 3> rgb;
  std::int64_t x, y, radius;  // centre (a corner between pixels) and half of the side

  Box box() const { return {x - radius, y - radius, 2 * radius, 2 * radius}; }
};

struct Scene {
  std::int64_t size = 0;
  std::array<std::uint8_t, 3> behind{};
  std::vector<DrawnShape> shapes;
};

/// Is the point, `dx` and `dy` from the centre, within a shape of this radius? All in eighths of a
/// pixel.
bool covers(Shape shape, std::int64_t dx, std::int64_t dy, std::int64_t radius) {
  switch (shape) {
    case Shape::kCircle:
      return dx * dx + dy * dy < radius * radius;
    case Shape::kTriangle:
      return 2 * std::abs(dx) < dy + radius;
    case Shape::kCross:
      return 3 * std::abs(dx) < radius || 3 * std::abs(dy) < radius;
    case Shape::kSquare:
      break;
  }
  return true;
}

/// Of 16 points of a pixel, how many the shape covers.
int covered(const DrawnShape& shape, std::int64_t x, std::int64_t y) {
  int out = 0;
  for (const std::int64_t v : {1, 3, 5, 7})
    for (const std::int64_t u : {1, 3, 5, 7})
      out += covers(shape.shape, 8 * (x - shape.x) + u, 8 * (y - shape.y) + v, 8 * shape.radius);
  return out;
}

Image draw_scene(const Scene& scene) {
  Image out{scene.size, scene.size, {}};
  out.pixels.resize(static_cast<std::size_t>(scene.size * scene.size * 3));
  for (std::size_t i = 0; i < out.pixels.size(); ++i) out.pixels[i] = scene.behind[i % 3];
  for (const DrawnShape& shape : scene.shapes) {
    const Box box = shape.box();
    for (std::int64_t y = box.top; y < box.top + box.height; ++y)
      for (std::int64_t x = box.left; x < box.left + box.width; ++x) {
        const int share = covered(shape, x, y);
        std::uint8_t* pixel = &out.pixels[static_cast<std::size_t>((y * scene.size + x) * 3)];
        for (std::size_t c = 0; c < 3; ++c)
          pixel[c] =
              static_cast<std::uint8_t>((share * shape.rgb[c] + (16 - share) * pixel[c] + 8) / 16);
      }
  }
  return out;
}

/// 0 ≤ first < second < kPlaces.
std::pair<std::int64_t, std::int64_t> two_places(Random& random) {
  const auto skipped = static_cast<std::int64_t>(random.below(kPlaces));
  return {skipped == 0 ? 1 : 0, skipped == 2 ? 1 : 2};
}

/// The shapes in the order in which the caption names them.
std::vector<ShapeKind> draw_kinds(Random& random) {
  const auto kind = [&](std::int64_t row, std::int64_t column) {
    return ShapeKind{random.below(kColours.size()), random.below(kShapeWords.size()), row, column};
  };
  const auto place = [&] { return static_cast<std::int64_t>(random.below(kPlaces)); };
  const std::uint64_t which = random.below(10);
  if (which == 0) return {kind(place(), place())};
  const auto [near, far] = two_places(random);
  const std::int64_t across = place();
  if (which < 3) return {kind(across, near), kind(across, far)};
  if (which < 5) return {kind(near, across), kind(far, across)};
  const auto [upper, lower] = two_places(random);
  return {kind(upper, near), kind(upper, far), kind(lower, near)};
}

/// One number for each image that shows other shapes or places.
std::uint64_t key_of(const std::vector<ShapeKind>& kinds) {
  std::uint64_t out = kinds.size();
  for (const ShapeKind& kind : kinds) {
    const auto place = static_cast<std::uint64_t>(kind.row * kPlaces + kind.column);
    out = ((out * kColours.size() + kind.colour) * kShapeWords.size() + kind.shape) * 9 + place;
  }
  return out;
}

std::uint8_t shade(Random& random, int base, std::uint64_t range) {
  const int moved = base + static_cast<int>(random.below(range)) - static_cast<int>(range / 2);
  return static_cast<std::uint8_t>(std::clamp(moved, 0, 255));
}

Scene arrange(const std::vector<ShapeKind>& kinds, std::int64_t size, Random& random) {
  Scene out;
  out.size = size;
  out.behind.fill(shade(random, 40, 49));
  const std::int64_t cell = size / kPlaces;
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(n)));
  };
  for (const ShapeKind& kind : kinds) {
    DrawnShape shape{};
    shape.shape = static_cast<Shape>(kind.shape);
    for (std::size_t c = 0; c < 3; ++c)
      shape.rgb[c] = shade(random, kColours[kind.colour].rgb[c], 41);
    const std::int64_t least = std::max<std::int64_t>(3, cell * 3 / 10), most = cell * 9 / 20;
    shape.radius = least + below(std::max<std::int64_t>(1, most - least + 1));
    const std::int64_t room = cell - 2 * shape.radius;  // within its place
    shape.x = kind.column * cell + shape.radius + below(room + 1);
    shape.y = kind.row * cell + shape.radius + below(room + 1);
    out.shapes.push_back(shape);
  }
  return out;
}

/// "a red circle left of a blue square and above a yellow cross".
Caption caption_of(const std::vector<ShapeKind>& kinds, const Scene& scene) {
  Caption out;
  std::int64_t words = 0;
  const auto say = [&](std::string_view word) {
    add_token(out.text, word);
    return words++;
  };
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const bool is_beside = i == 1 && kinds[1].row == kinds[0].row;
    if (i == 2) say("and");
    if (is_beside) say("left"), say("of");
    if (i > 0 && !is_beside) say("above");
    say("a");
    const Box box = scene.shapes[i].box();
    out.regions.push_back({say(kColours[kinds[i].colour].word), box});
    out.regions.push_back({say(kShapeWords[kinds[i].shape]), box});
  }
  return out;
}

void name_images(CaptionSet& set, const char* part) {
  set.name = std::string("shapes ") + part;
  for (std::size_t i = 0; i < set.images.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    set.images[i].name =
        std::string(6 - std::min<std::size_t>(6, number.size()), '0') + number + ".png";
  }
}

}  // namespace

CaptionCorpus make_shapes(const MakeOptions& options) {
  require_rows("shapes", options.rows, kMostShapesRows);
  const std::int64_t size = options.size == 0 ? 64 : options.size;
  if (size < 24 || size > 2048)
    fail_usage("shapes: size is " + std::to_string(size) + "; give 24…2048 pixels");
  std::unordered_set<std::uint64_t> seen;
  std::vector<CaptionedImage> images;
  for (std::int64_t i = 0; i < options.rows; ++i) {
    Random random(options.seed, Purpose::kGenerate, static_cast<std::uint64_t>(i));
    std::vector<ShapeKind> kinds = draw_kinds(random);
    while (!seen.insert(key_of(kinds)).second) kinds = draw_kinds(random);
    const Scene scene = arrange(kinds, size, random);
    images.push_back({"", [scene] { return draw_scene(scene); }, {caption_of(kinds, scene)}});
  }
  // Images of one shape run out early in a large set, so the order is mixed before it is cut.
  Random random(options.seed, Purpose::kSplit);
  for (std::size_t i = images.size(); i > 1; --i)
    std::swap(images[i - 1], images[static_cast<std::size_t>(random.below(i))]);
  const auto part = static_cast<std::ptrdiff_t>(images.size() / 10);
  const auto from = std::make_move_iterator(images.begin());
  const auto to = std::make_move_iterator(images.end());
  CaptionCorpus out;
  out.train.images.assign(from, to - 2 * part);
  out.validation.images.assign(to - 2 * part, to - part);
  out.test.images.assign(to - part, to);
  name_images(out.train, "train");
  name_images(out.validation, "validation");
  name_images(out.test, "test");
  return out;
}

}  // namespace attend::data
