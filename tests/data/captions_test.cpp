// Loaders of captions, and the generated set of shapes.
//
// Killed mutations: shapes that always stand apart, of one column taken for one row, drawn twice in
// one set, the third beneath the second; a triangle too wide, a cross too thick, a circle that is a
// square; a region of the word before; a box a pixel too narrow; shapes beyond their place; the
// seed ignored (lived through the first version of its test); an absolute path, ".." and a FIFO let
// pass; a captioned image told as one without; an id twice; a box in fractions of a pixel; a region one word
// beyond the end; the first '#' of a name taken for the last; white space left doubled.
#include "attend/data/captions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "attend/base/error.h"
#include "support/data.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace attend::data {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

class Captions : public testing::Test {
 protected:
  Captions() {
    for (const char* image : {"a.png", "b.png", "alone.png"})
      put(image, encode_png({1, 1, {10, 20, 30}}));
    ::mkfifo((folder_ + "/fifo.jpg").c_str(), 0600);
    put("notes.md", "no image");
  }
  std::string put(const std::string& name, const std::string& text) {
    return temporary_.write(name, text);
  }
  test::TemporaryFolder temporary_;
  std::string folder_ = temporary_.path();
};

TEST_F(Captions, Coco) {
  const auto path = put("captions.json", R"({"info": {},
    "images": [{"id": 7, "file_name": "b.png"}, {"id": "x", "file_name": "a.png"},
               {"id": 3, "file_name": "gone.png"}, {"id": 4, "file_name": "fifo.jpg"},
               {"id": 5, "file_name": "../b.png"}, {"id": 6, "file_name": "/etc/passwd"}],
    "annotations": [
      {"image_id": 7, "caption": " A  b\n is here. \n"},
      {"image_id": "x", "caption": "an a", "regions": [{"word": 1, "bbox": [0, 1, 2, 3]}]},
      {"image_id": 3, "caption": "gone"}, {"image_id": 4, "caption": "a fifo"},
      {"image_id": 5, "caption": "outside"}, {"image_id": 6, "caption": "outside too"},
      {"image_id": 9, "caption": "whose?"}, {"caption": "whose?"},
      {"image_id": 7, "caption": " \n"}, {"image_id": 7}, 5,
      {"image_id": 7, "caption": "x", "regions": [{"word": 1, "bbox": [0, 1, 2, 3]}]},
      {"image_id": 7, "caption": "x", "regions": [{"word": 0, "bbox": [0, 1.5, 2, 3]}]},
      {"image_id": 7, "caption": "one\u0000two"},
      {"image_id": 7, "caption": "second"}]})");
  const CaptionSet set = load_captions(folder_).train;
  ASSERT_EQ(set.images.size(), 2U);
  EXPECT_EQ(set.images[0].name, "b.png");
  EXPECT_THAT(set.images[0].captions,
              ElementsAre(Caption{"A b is here.", {}}, Caption{"second", {}}));
  EXPECT_THAT(set.images[1].captions, ElementsAre(Caption{"an a", {{1, {0, 1, 2, 3}}}}));
  EXPECT_EQ(set.images[0].read().pixels, (std::vector<std::uint8_t>{10, 20, 30}));
  EXPECT_THAT(set.without_captions, ElementsAre("alone.png"));
  EXPECT_THAT(set.not_files, ElementsAre("fifo.jpg"));
  EXPECT_EQ(set.bad_lines.size(), 12U);
  const std::string told = describe_bad_lines(set, 20);
  for (const std::string& part :
       {":3: no image gone.png in " + folder_, std::string(":4: the image fifo.jpg is no regular"),
        std::string(":5: the image ../b.png lies outside the folder"),
        std::string(":6: the image /etc/passwd lies outside"),
        std::string(":7: no image has the id 9"), std::string(":8: no image_id"),
        std::string(":9: the caption is empty"), std::string(":10: the caption is empty"),
        std::string(":11: no image_id"), std::string(":12: a region of word 1 in a caption of 1"),
        std::string(":13: regions are not"), std::string(":14: a NUL")})
    EXPECT_THAT(told, HasSubstr(part));
  EXPECT_EQ(
      describe_captions(set),
      "2 images, 3 captions, 7 words; 1 images without captions left out (alone.png); 1 named "
      "like images but no regular files (fifo.jpg)");
  EXPECT_EQ(load_caption_file(path).images.size(), 2U);
}

TEST_F(Captions, CocoThatIsNone) {
  const auto told = [&](const std::string& json) {
    return message_of([&] { load_caption_file(put("x.json", json)); });
  };
  EXPECT_THAT(told(""), HasSubstr("x.json: not JSON"));
  EXPECT_THAT(told("[]"), HasSubstr("no list \"images\"; expected COCO's form"));
  EXPECT_THAT(told(R"({"images": []})"), HasSubstr("no list \"annotations\""));
  EXPECT_THAT(told(R"({"images": [{"id": 1}], "annotations": []})"),
              HasSubstr("image 1 has no id or no file_name"));
  EXPECT_THAT(told(R"({"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}],
                       "annotations": []})"),
              HasSubstr("image 2: the id 1 occurs twice"));
  EXPECT_THAT(told(R"({"images": [{"id": 1, "file_name": "gone.png"}],
                       "annotations": [{"image_id": 1, "caption": "c"}]})"),
              HasSubstr("no caption of an image in " + folder_ + ": 1 line could not be used"));
}

TEST_F(Captions, FlickrTokens) {
  put("c#1.png", encode_png({1, 1, {0, 0, 0}}));
  put("Flickr8k.token.txt",
      "c#1.png#0\tsharp\na.png#0\tA dog .\r\na.png#1\tTwo dogs\n\nb.png 0\tno number\nb.png#0 no "
      "tab\n"
      "gone.png#0\tx\nb.png#2\t\nb.png#3\t\xff\nb.png#4\tlast");
  const CaptionSet set = load_captions(folder_).train;
  ASSERT_EQ(set.images.size(), 3U);
  EXPECT_EQ(set.images[0].name, "c#1.png");
  EXPECT_EQ(set.images[1].captions[0].text, "A dog .");
  EXPECT_EQ(set.images[1].captions.size(), 2U);
  EXPECT_EQ(set.images[2].captions[0].text, "last");
  const std::string told = describe_bad_lines(set, 9);
  for (const char* part : {":5: not `image.jpg#0 TAB caption`", ":6: not `image",
                           ":7: no image gone", ":8: the caption is empty", ":9: not UTF-8"})
    EXPECT_THAT(told, HasSubstr(part));
  EXPECT_EQ(set.bad_lines.size(), 5U);
}

TEST_F(Captions, Csv) {
  fs::create_directory(folder_ + "/images");
  fs::rename(folder_ + "/a.png", folder_ + "/images/a.png");
  put("captions.csv",
      "image,caption\na.png,\"A dog, it says \"\"woof\"\"\"\na.png,\n,x\nb.png,y\nz\n");
  const CaptionSet set = load_captions(folder_).train;
  ASSERT_EQ(set.images.size(), 1U);  // b.png lies beside the folder of images
  EXPECT_EQ(set.images[0].captions[0].text, "A dog, it says \"woof\"");
  const std::string told = describe_bad_lines(set, 9);
  for (const char* part : {":3: the caption is empty", ":4: the image is empty",
                           ":5: no image b.png", ":6: no image: one column only"})
    EXPECT_THAT(told, HasSubstr(part));
  CaptionOptions options;
  options.images = folder_;
  EXPECT_EQ(load_captions(folder_, options).train.images[0].name, "b.png");
  options.images = folder_ + "/nowhere";
  EXPECT_THAT(message_of([&] { load_captions(folder_, options); }), HasSubstr("no such folder of"));
  EXPECT_THAT(message_of([&] { load_caption_file(put("h.csv", "a,b\n1,2\n")); }),
              HasSubstr("'caption' among: a, b; rename one to 'caption'"));
}

TEST_F(Captions, FoldersAndNames) {
  EXPECT_THAT(message_of([&] { load_captions(folder_); }), HasSubstr("no captions.json"));
  EXPECT_THAT(message_of([&] { load_captions(folder_ + "/notes.md"); }),
              HasSubstr("unknown kind of captions; name it *.json"));
  EXPECT_THAT(message_of([&] { load_caption_file(folder_ + "/no.csv"); }),
              HasSubstr("no such file"));
  ::mkfifo((folder_ + "/captions.json").c_str(), 0600);
  EXPECT_THAT(message_of([&] { load_captions(folder_); }), HasSubstr("is not a regular file"));
  EXPECT_THAT(message_of([] { load_captions("shape"); }), HasSubstr("did you mean shapes"));
  EXPECT_THAT(message_of([] { load_captions("shapes:x"); }), HasSubstr("no data set 'shapes:x'"));
  EXPECT_THAT(message_of([] { load_captions("sst"); }), HasSubstr("holds labelled texts"));
  EXPECT_THAT(message_of([] { load_set("shapes"); }), HasSubstr("holds images with captions"));
}

TEST_F(Captions, CocoMini) {
  ATTEND_SET_OR_SKIP("coco-mini");
  const CaptionCorpus corpus = load_captions("coco-mini");
  EXPECT_EQ(corpus.train.images.size(), 80U);
  EXPECT_EQ(corpus.validation.images.size(), 79U);
  std::size_t captions = 0;
  for (const CaptionSet* set : {&corpus.train, &corpus.validation}) {
    EXPECT_TRUE(set->bad_lines.empty());
    for (const CaptionedImage& image : set->images) captions += image.captions.size();
  }
  EXPECT_EQ(captions, 795U);
  const Image first = corpus.train.images[0].read();
  EXPECT_GT(first.height * first.width, 100'000);
}

/// What a caption of the grammar says: shapes as "red circle" with their boxes, and the relations.
struct Said {
  std::vector<std::pair<std::string, Box>> shapes;
  bool second_is_beside = false;
};

Said parse(const Caption& caption) {
  Said out;
  const auto words = words_of(caption.text);
  std::map<std::int64_t, Box> boxes;
  for (const Region& region : caption.regions) boxes[region.word] = region.box;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    EXPECT_EQ(boxes.contains(at), (i > 0 && words[i - 1] == "a") || (i > 1 && words[i - 2] == "a"));
    if (words[i] == "left" && out.shapes.size() == 1) out.second_is_beside = true;
    if (words[i] != "a") continue;
    EXPECT_EQ(boxes[at + 1], boxes[at + 2]);
    out.shapes.emplace_back(words[i + 1] + " " + words[i + 2], boxes[at + 1]);
  }
  return out;
}

/// The colour's name for a pixel inside a shape.
std::string colour_at(const Image& image, const Box& box) {
  const std::int64_t x = box.left + box.width / 2, y = box.top + box.height / 2;
  const std::uint8_t* p = &image.pixels[static_cast<std::size_t>((y * image.width + x) * 3)];
  const bool r = p[0] > 120, g = p[1] > 120, b = p[2] > 120;
  if (r && g && b) return "white";
  if (r && g) return "yellow";
  if (r && b) return "purple";
  return r ? "red" : g ? "green" : b ? "blue" : "";
}

TEST(Shapes, CaptionsSayWhatIsDrawn) {
  const CaptionCorpus corpus = make_shapes({400, 3, 48});
  EXPECT_EQ(corpus.train.images.size(), 320U);
  EXPECT_EQ(corpus.validation.images.size(), 40U);
  std::map<std::size_t, int> sizes;
  std::set<std::string> scenes;
  for (const CaptionSet* set : {&corpus.train, &corpus.validation, &corpus.test})
    for (const CaptionedImage& shown : set->images) {
      ASSERT_EQ(shown.captions.size(), 1U);
      const Said said = parse(shown.captions[0]);
      const Image image = shown.read();
      ASSERT_EQ(image.height, 48);
      std::string scene;
      std::vector<bool> is_named(static_cast<std::size_t>(48 * 48));
      for (const auto& [name, box] : said.shapes) {
        EXPECT_EQ(colour_at(image, box), words_of(name)[0]) << shown.captions[0].text;
        scene += name + std::to_string(3 * box.left / 48) + std::to_string(3 * box.top / 48);
        for (std::int64_t y = box.top; y < box.top + box.height; ++y)
          for (std::int64_t x = box.left; x < box.left + box.width; ++x)
            is_named[static_cast<std::size_t>(y * 48 + x)] = true;
        EXPECT_EQ(box.left / 16, (box.left + box.width - 1) / 16);  // within its ninth
      }
      EXPECT_TRUE(scenes.insert(scene).second) << scene << " twice";
      // Outside of the boxes there is nothing.
      for (std::size_t i = 0; i < is_named.size(); ++i)
        EXPECT_TRUE(is_named[i] || image.pixels[3 * i] == image.pixels[3 * i + 1]);
      ++sizes[said.shapes.size()];
      if (said.shapes.size() == 1) continue;
      const Box &a = said.shapes[0].second, &b = said.shapes[1].second;
      if (said.second_is_beside) {
        EXPECT_LE(a.left + a.width, b.left);
        EXPECT_EQ(a.top / 16, b.top / 16);
      } else {
        EXPECT_LE(a.top + a.height, b.top);
        EXPECT_EQ(a.left / 16, b.left / 16);
      }
      if (said.shapes.size() == 2) continue;
      EXPECT_TRUE(said.second_is_beside);
      EXPECT_LE(a.top + a.height, said.shapes[2].second.top);
      EXPECT_EQ(a.left / 16, said.shapes[2].second.left / 16);
    }
  EXPECT_GT(sizes[1], 15);
  EXPECT_GT(sizes[2], 100);
  EXPECT_GT(sizes[3], 100);
}

/// The share of a box that its shape fills tells which it is.
TEST(Shapes, FormsAreWhatTheyAreCalled) {
  std::map<std::string, std::set<int>> shares;
  for (const CaptionedImage& shown : make_shapes({100, 1, 240}).train.images) {
    const Image image = shown.read();
    for (const auto& [name, box] : parse(shown.captions[0]).shapes) {
      std::int64_t filled = 0;
      for (std::int64_t y = box.top; y < box.top + box.height; ++y)
        for (std::int64_t x = box.left; x < box.left + box.width; ++x) {
          const std::uint8_t* p = &image.pixels[static_cast<std::size_t>((y * 240 + x) * 3)];
          filled += std::max({p[0], p[1], p[2]}) > 110;
        }
      shares[words_of(name)[1]].insert(static_cast<int>(100 * filled / (box.width * box.height)));
    }
  }
  EXPECT_EQ(shares.size(), 4U);
  const auto within = [&](const char* name, int least, int most) {
    EXPECT_GE(*shares[name].begin(), least) << name;
    EXPECT_LE(*shares[name].rbegin(), most) << name;
  };
  within("circle", 76, 80);  // π / 4
  within("square", 100, 100);
  within("triangle", 49, 53);  // a half
  within("cross", 53, 59);     // 5 / 9
}

TEST(Shapes, SameSeedSamePixels) {
  const CaptionCorpus a = make_shapes({50, 9}), b = make_shapes({50, 9}), c = make_shapes({50, 8});
  std::set<std::string> said;
  std::size_t same = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(a.train.images[i].read(), b.train.images[i].read());
    EXPECT_EQ(a.train.images[i].captions, b.train.images[i].captions);
    said.insert(a.train.images[i].captions[0].text);
  }
  for (const CaptionedImage& image : c.train.images) same += said.contains(image.captions[0].text);
  EXPECT_LT(same, 8U);  // of 40; those of one shape meet now and then
  EXPECT_EQ(a.train.images[0].read().width, 64);
  EXPECT_EQ(make_shapes({10, 0, 24}).test.images[0].read().width, 24);
  EXPECT_EQ(make_shapes({50'000, 0}).train.images.size(), 40'000U);  // the short ones run out
  EXPECT_THAT(message_of([] { make_shapes({9, 0}); }), HasSubstr("shapes: rows is 9"));
  EXPECT_THAT(message_of([] { make_shapes({50'001, 0}); }), HasSubstr("give 10…50000"));
  EXPECT_THAT(message_of([] { make_shapes({10, 0, 23}); }), HasSubstr("size is 23; give 24…2048"));
}

TEST_F(Captions, ShapesAreWrittenAndReadBack) {
  const auto paths = make_set("shapes", folder_ + "/out", {30, 4, 32});
  ASSERT_EQ(paths.size(), 3U);
  EXPECT_EQ(paths[0], folder_ + "/out/shapes/train/captions.json");
  const CaptionCorpus made = make_shapes({30, 4, 32}),
                      read = load_captions(folder_ + "/out/shapes");
  for (const auto& [a, b] :
       {std::pair{&made.train, &read.train}, std::pair{&made.validation, &read.validation},
        std::pair{&made.test, &read.test}}) {
    ASSERT_EQ(a->images.size(), b->images.size());
    EXPECT_TRUE(b->bad_lines.empty());
    EXPECT_TRUE(b->without_captions.empty());
    for (std::size_t i = 0; i < a->images.size(); ++i) {
      EXPECT_EQ(a->images[i].name, b->images[i].name);
      EXPECT_EQ(a->images[i].captions, b->images[i].captions);
      EXPECT_EQ(a->images[i].read(), b->images[i].read());
    }
  }
  EXPECT_THAT(message_of([&] { make_set("shapes:x", folder_); }), HasSubstr("shapes:x"));
}

}  // namespace
}  // namespace attend::data
