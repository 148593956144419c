// Writes the pages that caption_page_test.py opens: make_captions FOLDER. Every picture and number is invented; the only purpose
// is to reach each state of the page.
#include <iostream>
#include <sstream>

#include "attend/base/file.h"
#include "attend/data/image.h"
#include "attend/viz/caption.h"

namespace {

using namespace attend;

constexpr std::int64_t kSide = 6;

data::Image picture(std::int64_t width, std::int64_t height) {
  data::Image out{height, width, {}};
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      const bool shape = x < width / 2 && y < height / 2;
      for (const int level : {shape ? 210 : 60, shape ? 40 : 70, 80})
        out.pixels.push_back(static_cast<std::uint8_t>(level));
    }
  return out;
}

/// Word t looks at place at[t] with the weight `sharp`, the rest is shared.
viz::CaptionPicture caption(std::int64_t id, const std::string& text,
                            const std::vector<std::size_t>& at, double sharp, std::int64_t width,
                            std::int64_t height, double spread) {
  viz::CaptionPicture c;
  c.id = id, c.name = "image" + std::to_string(id) + ".png", c.width = width, c.height = height;
  c.png = data::encode_png(picture(width, height));
  c.side = kSide, c.text = text, c.score = -.3, c.spread = spread, c.spread_least = .1;
  std::istringstream in(text);
  std::size_t t = 0;
  for (std::string word; in >> word; ++t) {
    std::vector<double> map(kSide * kSide, (1 - sharp) / (kSide * kSide - 1));
    map[at[t % at.size()]] = sharp;
    c.words.push_back({word, .9 - .01 * static_cast<double>(t), .5, map, std::nullopt});
  }
  return c;
}

viz::CaptionReport frame(std::vector<viz::CaptionPicture> captions) {
  viz::CaptionReport r;
  r.run = "captioning/soft", r.model = "Show, Attend and Tell, soft attention";
  r.model_detail = "maps of 6 × 6 places", r.data = "shapes", r.data_detail = "images, test";
  r.trained = "20 epochs", r.seed = 1, r.quality = "exact_match .98";
  r.sample = true;
  r.captions = std::move(captions);
  return r;
}

/// Two words name something: "red" is looked at (place row 1, column 1), "square" is not.
viz::CaptionPicture usual(std::int64_t id) {
  auto c =
      caption(id, "a red circle above a blue square", {0, 7, 8, 14, 21, 28, 35}, .6, 48, 48, 1.9);
  c.words[1].box = viz::PixelBox{8, 8, 8, 8};
  c.words[6].box = viz::PixelBox{0, 0, 16, 16};
  c.references = {"a red circle above a blue square", "a red circle"};
  return c;
}

viz::CaptionPicture hostile() {
  auto c = usual(1);
  c.name = "</script><img src=x onerror=alert(1)>";
  c.words[0].text = "</script><img src=x onerror=alert(2)>", c.words[1].text = "=HYPERLINK(1)";
  c.words[2].text = "\xff\xfe", c.words[3].text = "\u202eevil", c.words[4].text = "a&b\"'<b>";
  c.text = "<b>run</b>", c.references = {"</script><script>alert(3)</script>"};
  return c;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: make_captions FOLDER\n", 2;
  const std::string folder = std::string(argv[1]) + "/";
  const auto page = [&](const char* name, const viz::CaptionReport& report) {
    write_file_atomically(folder + name + ".html", viz::html(report));
  };
  const auto alike = caption(2, "a dog on a wide green field", {7}, .6, 300, 180, .002);
  page("usual", frame({usual(1), alike, caption(3, "dog", {3}, .9, 48, 90, 0)}));
  auto report = frame({hostile()});
  report.run = "<b>run</b> & \"name\"";
  page("hostile", report);
  page("empty", frame({}));
  page("silent", frame({caption(1, "", {0}, .5, 48, 48, 0)}));
  std::vector<std::string> frames(alike.words.size(), alike.png);
  write_file_atomically(folder + "strip.svg", viz::svg(alike, frames));
  for (const auto colour : {viz::Colour::kNone, viz::Colour::kTrue})
    std::cout << viz::terminal(usual(1), {colour, true, 100, 8}) << "\n";
  return 0;
}
