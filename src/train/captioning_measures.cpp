// What is measured of a captioner, and the search that writes.
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "attend/base/error.h"
#include "attend/train/caption_metrics.h"
#include "train/annotations.h"
#include "train/captioning.h"

namespace attend::train {
namespace {

constexpr std::int64_t kReadRows = 64;      // captions or images that are read together
constexpr std::int64_t kCaptionRows = 256;  // hypotheses that are advanced together
constexpr char kNewWord[] = "\u2581";  // what a token begins with that white space stands before

double entropy_bits(const std::vector<double>& map) {
  double out = 0;
  for (const double p : map)
    if (p > 0) out -= p * std::log2(p);
  return out;
}

/// Words with a region, and those whose map is largest in it.
struct Pointing {
  std::int64_t words = 0, right = 0;
};

/// maps [T,L] on the CPU in double of one caption's tokens.
void point(const data::Caption& caption, const std::vector<std::int64_t>& ids,
           const data::TextCodec& codec, const at::Tensor& maps, std::int64_t side,
           std::pair<std::int64_t, std::int64_t> size, Pointing& out) {
  std::int64_t word = -1;
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const bool begins = word < 0 || codec.vocabulary().token(ids[t]).starts_with(kNewWord);
    if (!begins) continue;  // a word is where its first token is
    ++word;
    const auto region = std::find_if(caption.regions.begin(), caption.regions.end(),
                                     [&](const data::Region& r) { return r.word == word; });
    if (region == caption.regions.end()) continue;
    const double* row = maps.const_data_ptr<double>() + static_cast<std::int64_t>(t) * maps.size(1);
    const PointedAt at = pointed_at({row, row + maps.size(1)}, side, size.first, size.second);
    ++out.words;
    out.right += lies_in(at, region->box);
  }
}

}  // namespace

PointedAt pointed_at(const std::vector<double>& map, std::int64_t side, std::int64_t width,
                     std::int64_t height) {
  if (side < 1 || static_cast<std::int64_t>(map.size()) != side * side)
    fail_usage("pointed_at: a map has side · side places");
  const std::int64_t place = std::max_element(map.begin(), map.end()) - map.begin();
  const auto middle = [&](std::int64_t i, std::int64_t length) {
    return (static_cast<double>(i) + 0.5) * static_cast<double>(length) / static_cast<double>(side);
  };
  return {middle(place % side, width), middle(place / side, height)};
}

bool lies_in(const PointedAt& p, const data::Box& box) {
  const auto left = static_cast<double>(box.left), top = static_cast<double>(box.top);
  return p.x >= left && p.x < left + static_cast<double>(box.width) && p.y >= top &&
         p.y < top + static_cast<double>(box.height);
}

double map_spread(const std::vector<std::vector<double>>& maps) {
  if (maps.size() < 2) return 0;
  std::vector<double> mean(maps.front().size(), 0);
  double within = 0;
  const auto n = static_cast<double>(maps.size());
  for (const std::vector<double>& map : maps) {
    if (map.size() != mean.size()) fail_usage("map_spread: maps have different sizes");
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += map[i] / n;
    within += entropy_bits(map) / n;
  }
  return std::max(0.0, entropy_bits(mean) - within);
}

std::vector<decode::Hypothesis> search(const CaptionModel& model, const AnnotatedImages& images,
                                       std::int64_t count, const Recipe::Decode& how) {
  const at::NoGradGuard off;
  const std::int64_t most = std::max<std::int64_t>(1, kCaptionRows / how.beams);
  std::vector<decode::Hypothesis> out;
  for (std::int64_t begin = 0; begin < count; begin += most) {
    std::vector<std::int64_t> places(static_cast<std::size_t>(std::min(most, count - begin)));
    std::iota(places.begin(), places.end(), begin);
    models::CaptionerSteps steps(*model.captioner, images.batch(places));
    decode::SearchOptions options;
    options.forbidden = {models::kPadding, models::kUnknown, models::kBegin};
    options.min_length = 1;  // no image is described by silence
    options.max_length = how.max_length > 0 ? how.max_length : model.captioner->config().max_length;
    decode::BeamOptions beam;
    beam.beam = how.beams, beam.length_alpha = how.length_penalty,
    beam.coverage_beta = how.coverage_penalty;
    decode::Hypotheses found =
        how.beams == 1 ? decode::greedy(steps, options) : decode::beam_search(steps, options, beam);
    for (std::vector<decode::Hypothesis>& of_image : found)
      out.push_back(std::move(of_image.front()));
  }
  return out;
}

Metrics read_metrics(CaptionModel& model, const data::CaptionSet& set,
                     const AnnotatedImages& images, const std::vector<CaptionRow>& rows,
                     const data::TextCodec& codec) {
  const at::NoGradGuard off;
  const std::int64_t side = model.encoder.config().side();
  double nats = 0;
  std::int64_t tokens = 0;
  Pointing pointing;
  for (std::size_t begin = 0; begin < rows.size(); begin += kReadRows) {
    std::vector<std::int64_t> places, of;
    for (std::size_t i = begin; i < std::min(rows.size(), begin + kReadRows); ++i)
      places.push_back(static_cast<std::int64_t>(i)), of.push_back(rows[i].image);
    const models::CaptionReading read =
        model.captioner->read(images.batch(of), caption_tokens(rows, places));
    nats -= read.log_probabilities.sum(at::kDouble).item<double>();
    const at::Tensor maps = read.maps.to(at::kDouble).contiguous();
    for (std::size_t b = 0; b < places.size(); ++b) {
      const CaptionRow& row = rows[begin + b];
      tokens += static_cast<std::int64_t>(row.ids.size()) + 1;
      const data::Caption& caption =
          set.images[static_cast<std::size_t>(row.image)].captions[row.caption];
      if (!caption.regions.empty())
        point(caption, row.ids, codec, maps[static_cast<std::int64_t>(b)], side,
              images.size_of(row.image), pointing);
    }
  }
  const double mean = tokens > 0 ? nats / static_cast<double>(tokens) : 0;
  Metrics out{{"loss", mean}, {"perplexity", std::exp(mean)}};
  if (pointing.words > 0)
    out["pointing"] = static_cast<double>(pointing.right) / static_cast<double>(pointing.words);
  return out;
}

Metrics written_metrics(const std::vector<decode::Hypothesis>& written, const data::CaptionSet& set,
                        const data::TextCodec& codec) {
  std::vector<std::string> captions;
  std::vector<References> references;
  std::int64_t exact = 0;
  for (std::size_t i = 0; i < written.size(); ++i) {
    captions.push_back(codec.decode(written[i].tokens));
    References given;
    bool same = false;
    for (const data::Caption& caption : set.images[i].captions) {
      given.push_back(caption.text);
      same = same || codec.encode(caption.text) == written[i].tokens;
    }
    references.push_back(std::move(given));
    exact += same;
  }
  const CaptionScores scores = caption_scores(captions, references);
  Metrics out{{"exact_match", static_cast<double>(exact) / static_cast<double>(written.size())},
              {"cider", scores.cider}};
  for (std::size_t n = 0; n < scores.bleu.size(); ++n)
    out["bleu" + std::to_string(n + 1)] = scores.bleu[n];
  return out;
}

}  // namespace attend::train
