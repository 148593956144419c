// attend explain of a captioning run: where it looked for each word.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/image.h"
#include "attend/train/captioning.h"
#include "attend/viz/caption.h"
#include "explain.h"
#include "output.h"

namespace attend::cli {
namespace {

using nlohmann::json;

constexpr std::int64_t kMostShown = 448;  // pixels of a side in a page or picture

/// Images with what the data say of them, if they come from data.
struct Scenes {
  std::string data, split;
  std::vector<std::string> names;
  std::vector<data::Image> images;
  std::vector<std::vector<data::Caption>> captions;
  std::vector<std::int64_t> ids;  // place in the data or on the command line, from 1
};

Scenes scenes_of(Output& out, const ExplainOptions& o, const train::CaptioningRun& run) {
  Scenes s;
  if (o.words.size() > 1) {
    if (!o.data.empty() || !o.split.empty() || o.count)
      fail_usage("give images, or --data, --split and --count to choose them, not both");
    for (std::size_t i = 1; i < o.words.size(); ++i) {
      s.names.push_back(o.words[i]), s.images.push_back(data::read_image(o.words[i]));
      s.captions.emplace_back(), s.ids.push_back(static_cast<std::int64_t>(i));
    }
    return s;
  }
  const train::CaptionedPart part = train::captioned_part(run, o.data, o.split);
  s.data = part.data, s.split = part.split;
  const std::size_t n = part.set.images.size(), count = std::min(n, wanted_sentences(o));
  for (std::size_t i = 0; i < count; ++i) {  // evenly over the part
    const std::size_t at = i * n / count;
    const data::CaptionedImage& image = part.set.images[at];
    try {
      s.images.push_back(image.read());
    } catch (const Error& e) {
      out.note(std::string("left out: ") + e.what());
      continue;
    }
    s.names.push_back(image.name), s.captions.push_back(image.captions);
    s.ids.push_back(static_cast<std::int64_t>(at) + 1);
  }
  if (s.images.empty()) fail_input(s.data + ": no image of its " + s.split + " part can be read");
  return s;
}

/// The boxes of a given caption are those of the written one where the two are the same.
void add_boxes(const std::vector<data::Caption>& given, viz::CaptionPicture& out) {
  for (const data::Caption& caption : given) {
    if (caption.text != out.text) continue;
    for (const data::Region& region : caption.regions)
      if (region.word < static_cast<std::int64_t>(out.words.size()))
        out.words[static_cast<std::size_t>(region.word)].box = {
            static_cast<double>(region.box.left), static_cast<double>(region.box.top),
            static_cast<double>(region.box.width), static_cast<double>(region.box.height)};
    return;
  }
}

data::Image shown(const data::Image& image) {
  const std::int64_t longest = std::max(image.width, image.height);
  if (longest <= kMostShown) return image;
  const auto scaled = [&](std::int64_t n) {
    return std::max<std::int64_t>(1, n * kMostShown / longest);
  };
  return data::resize(image, scaled(image.height), scaled(image.width));
}

viz::CaptionPicture drawn(const Scenes& s, std::size_t i, const train::WrittenCaption& c) {
  viz::CaptionPicture out;
  out.id = s.ids[i], out.name = s.names[i];
  out.width = s.images[i].width, out.height = s.images[i].height;
  out.png = data::encode_png(shown(s.images[i]));
  out.side = c.side, out.text = c.text, out.score = c.score;
  for (std::size_t t = 0; t < c.tokens.size(); ++t)
    out.words.push_back({c.tokens[t], c.probabilities[t], c.gates[t], c.maps[t], std::nullopt});
  for (const data::Caption& caption : s.captions[i]) out.references.push_back(caption.text);
  out.spread = train::map_spread(c.maps), out.spread_least = train::kMapsAlike;
  add_boxes(s.captions[i], out);
  return out;
}

/// The image under each word's veil, as PNG files.
std::vector<std::string> frames_of(const data::Image& image, const viz::CaptionPicture& c) {
  data::Image small = shown(image);
  constexpr std::int64_t kLeast = 168;  // so that a veil stays smooth over a small image
  if (std::max(small.width, small.height) < kLeast) {
    const std::int64_t times =
        (kLeast + std::max(small.width, small.height) - 1) / std::max(small.width, small.height);
    data::Image larger{small.height * times, small.width * times, {}};
    for (std::int64_t y = 0; y < larger.height; ++y)
      for (std::int64_t x = 0; x < larger.width; ++x)
        for (std::int64_t k = 0; k < 3; ++k)
          larger.pixels.push_back(small.pixels[static_cast<std::size_t>(
              ((y / times) * small.width + x / times) * 3 + k)]);
    small = std::move(larger);
  }
  std::vector<std::string> out;
  for (const viz::CaptionWord& word : c.words) {
    viz::Pixels veiled = viz::veiled({small.height, small.width, small.pixels}, word.map, c.side);
    out.push_back(data::encode_png({veiled.height, veiled.width, std::move(veiled.rgb)}));
  }
  return out;
}

std::string model_name(const models::CaptionerConfig& c) {
  if (c.architecture == models::CaptionArchitecture::kTransformer)
    return "Transformer decoder over an image";
  switch (c.attention) {
    case models::CaptionAttention::kSoft:
      return "Show, Attend and Tell, soft attention";
    case models::CaptionAttention::kHard:
      return "Show, Attend and Tell, hard attention";
    case models::CaptionAttention::kUniform:
      break;
  }
  return "Show, Attend and Tell, every place alike";
}

std::string quality_of(const train::Metrics& validation) {
  std::string out;
  for (const char* name : {"exact_match", "pointing", "bleu4"})
    if (const auto found = validation.find(name); found != validation.end())
      out += (out.empty() ? "" : ", ") + std::string(name) + " " + fixed(found->second, 3);
  return out;
}

viz::CaptionReport report_of(const train::CaptioningRun& run, const Scenes& s,
                             std::vector<viz::CaptionPicture> captions) {
  const models::CaptionerConfig& c = run.config.captioner;
  const std::string side = std::to_string(run.config.encoder.side());
  viz::CaptionReport r;
  r.run = run.recipe.name;
  r.model = model_name(c);
  r.model_detail = "maps of " + side + " × " + side + " places, " +
                   (c.architecture == models::CaptionArchitecture::kTransformer
                        ? "width " + std::to_string(c.embedding_width) + ", " +
                              std::to_string(c.layers) + " layers, mean over the heads of one"
                        : "LSTM " + std::to_string(c.hidden));
  r.data = s.data.empty() ? "images of the command line" : s.data;
  r.data_detail = grouped(static_cast<long long>(captions.size())) + " images" +
                  (s.split.empty() ? "" : ", " + s.split + ", taken evenly");
  r.trained = std::to_string(run.history.size()) + " epochs";
  r.seed = run.recipe.train.seed;
  r.quality = quality_of(run.result.validation);
  if (!r.quality.empty()) r.quality_detail = "validation, when training ended";
  r.captions = std::move(captions);
  return r;
}

/// What a page or a picture says as well, for those who don't open it.
void warn(Output& out, const std::vector<viz::CaptionPicture>& captions) {
  const auto alike = std::count_if(captions.begin(), captions.end(), viz::maps_alike);
  if (alike == 0) return;
  if (captions.size() == 1) return out.note(viz::verdict_text(captions.front()).lead);
  out.note("the maps hardly differ between words in " + std::to_string(alike) + " of " +
           std::to_string(captions.size()) + " captions");
}

json caption_document(const train::CaptioningRun& run, const viz::CaptionPicture& c) {
  auto words = json::array(), maps = json::array(), boxes = json::array(), p = json::array(),
       gates = json::array();
  for (const viz::CaptionWord& word : c.words) {
    words.push_back(word.text), maps.push_back(word.map), p.push_back(word.probability);
    gates.push_back(word.gate);
    boxes.push_back(
        word.box ? json{word.box->left, word.box->top, word.box->width, word.box->height} : json());
  }
  const viz::CaptionPointing pointing = viz::pointing(c);
  return {{"schema", "attend.explain/1"},
          {"run", run.path},
          {"input", {{"image", c.name}, {"size", {c.width, c.height}}}},
          {"output", {{"caption", c.text}, {"score", c.score}, {"tokens", words}}},
          {"reference", c.references},
          {"probability", p},
          {"gate", gates},
          {"attention", json::array({{{"name", "image"}, {"side", c.side}, {"weights", maps}}})},
          {"boxes", boxes},
          {"pointing", {{"words", pointing.words}, {"right", pointing.right}}},
          {"spread", c.spread},
          {"warning", viz::maps_alike(c) ? json(viz::verdict_text(c).lead) : json()}};
}

}  // namespace

int explain_captions(Output& out, const ExplainOptions& o) {
  const train::CaptioningRun run = train::load_captioning(o.words.front());
  const Scenes scenes = scenes_of(out, o, run);
  check_pictures(o, scenes.images.size());
  std::vector<viz::CaptionPicture> captions;
  const std::vector<train::WrittenCaption> written = train::caption(run, scenes.images);
  for (std::size_t i = 0; i < written.size(); ++i) captions.push_back(drawn(scenes, i, written[i]));
  if (!o.svg.empty() || !o.png.empty()) {
    const viz::CaptionPicture& first = captions.front();
    const std::vector<std::string> frames = frames_of(scenes.images.front(), first);
    if (!o.svg.empty()) write_file_atomically(o.svg, viz::svg(first, frames));
    if (!o.png.empty()) write_file_atomically(o.png, viz::png(first, frames));
  }
  if (!o.html.empty()) write_file_atomically(o.html, viz::html(report_of(run, scenes, captions)));
  if (out.json()) {
    if (o.words.size() > 1 && captions.size() == 1) {
      out.document(caption_document(run, captions.front()));
      return 0;
    }
    auto list = json::array();
    for (const viz::CaptionPicture& c : captions) list.push_back(caption_document(run, c));
    out.document({{"schema", "attend.explain/1"}, {"run", run.path}, {"explanations", list}});
    return 0;
  }
  if (!o.html.empty() || !o.png.empty() || !o.svg.empty()) warn(out, captions);
  if (print_written(out, o)) return 0;
  const viz::TerminalOptions options = terminal_options(out);
  for (std::size_t i = 0; i < captions.size(); ++i)
    out.raw((i == 0 ? "" : "\n") + viz::terminal(captions[i], options));
  return 0;
}

}  // namespace attend::cli
