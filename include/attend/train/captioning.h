#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attend/data/captions.h"
#include "attend/data/codec.h"
#include "attend/models/captioner.h"
#include "attend/models/image_encoder.h"
#include "attend/train/run.h"

namespace attend::train {

/// What config.json of a captioning run says.
struct CaptioningConfig {
  models::ImageEncoderConfig encoder;
  models::CaptionerConfig captioner;
};

/// The configuration that a recipe means for a vocabulary of this size. Throws kUsage as the models do.
CaptioningConfig captioning_config(const Recipe& recipe, std::int64_t vocabulary);

struct CaptionModel;

/// A trained captioner with everything it needs to read images and write text. Its folder is that of Run (run.h).
struct CaptioningRun : RunFiles {
  CaptioningConfig config;
  data::TextCodec codec;
  std::shared_ptr<CaptionModel> model;
};

/// Throws as load_run.
CaptioningRun load_captioning(const std::string& path);

/// What a run writes under an image, and where it looked for each word.
struct WrittenCaption {
  std::string text;
  double score = 0;                       // log p / length penalty, as the search ranks
  std::vector<std::string> tokens;        // without the end token, as are the lists below
  std::vector<double> probabilities;      // p(token | image, tokens before)
  std::vector<double> gates;              // β
  std::int64_t side = 0;                  // places in a row of a map, and in a column
  std::vector<std::vector<double>> maps;  // [token][side · side], row by row; sums to 1
};

/// In batches, results in the order of `images`, which may have any size; [decode] of the recipe says how unless given.
std::vector<WrittenCaption> caption(const CaptioningRun& run,
                                    const std::vector<data::Image>& images);
std::vector<WrittenCaption> caption(const CaptioningRun& run,
                                    const std::vector<data::Image>& images,
                                    const Recipe::Decode& how);

/// The place of the largest weight of a map of side × side places (the first of equals), in pixels of an image of width × height:
///   place (row r, column c) → ((c + ½) · width / side, (r + ½) · height / side)
struct PointedAt {
  double x = 0, y = 0;
  bool operator==(const PointedAt&) const = default;
};
PointedAt pointed_at(const std::vector<double>& map, std::int64_t side, std::int64_t width,
                     std::int64_t height);

/// left ≤ x < left + width, and the same for y.
bool lies_in(const PointedAt& point, const data::Box& box);

/// How far the maps of a caption's words differ: the Jensen–Shannon divergence of all maps m_1 … m_n,
///   H((m_1 + … + m_n) / n) − (H(m_1) + … + H(m_n)) / n        (Lin 1991; H in bits)
/// 0 when all are one map, log₂ n when no two look at a common place. 0 for fewer than two maps. Throws kUsage for maps of
/// different sizes.
double map_spread(const std::vector<std::vector<double>>& maps);
/// Below this many bits a reader should be warned: the caption does not depend on where the model looks.
inline constexpr double kMapsAlike = 0.1;

/// The images of `data` ("" = what the run was trained on) and its part `split` (train, validation or test; "" = the first of
/// test, validation, train that has images), with both names filled in. Throws kUsage on a part that is unknown or empty.
struct CaptionedPart {
  std::string data, split;
  data::CaptionSet set;
};
CaptionedPart captioned_part(const CaptioningRun& run, const std::string& data = "",
                             const std::string& split = "");

struct CaptioningEvaluation {
  std::string run, data, split;
  std::int64_t n = 0;  // images
  /// loss and perplexity of the given captions; exact_match (share of images whose caption is word for word one of those given),
  /// bleu1 … bleu4 and cider (caption_metrics.h) of what is written; pointing, where the data say what a word names: the share of
  /// such words, read in the given caption, whose map is largest in that box (pointed_at, lies_in).
  Metrics metrics;
  std::vector<std::string> notes;  // images and captions that could not be used
};
CaptioningEvaluation evaluate(const CaptioningRun& run, const std::string& data = "",
                              const std::string& split = "");

}  // namespace attend::train
