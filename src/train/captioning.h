#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attend/data/captions.h"
#include "attend/data/codec.h"
#include "attend/decode/search.h"
#include "attend/interop/image_network.h"
#include "attend/models/captioner.h"
#include "attend/models/image_encoder.h"
#include "attend/train/captioning.h"
#include "attend/train/recipe.h"
#include "train/task.h"

namespace attend::train {

std::unique_ptr<Task> make_captioning(const Recipe& recipe);

/// config.json of a run, and back; `name` is the file in messages, and every field is checked.
std::string to_config_json(const CaptioningConfig& config);
CaptioningConfig captioning_from_config_json(const std::string& text, const std::string& name);

/// The parts of a recipe's data; a part that the data lack is cut off the training images as [data] says.
data::CaptionCorpus load_captions_of(const Recipe& recipe);

/// Images squeezed into squares of `size` pixels (regions keep their place in shares of width and height, and nothing is cut
/// off), decoded once and kept as bytes when they take up to 1 GiB, else decoded whenever they are asked for.
class SquareImages {
 public:
  /// Decodes on all threads. Images that cannot be read are taken out of `set` and named in `notes`; throws kBadInput when none
  /// is left. Over the limit nothing is read here.
  SquareImages(data::CaptionSet& set, std::int64_t size, std::vector<std::string>& notes);

  at::Tensor batch(const std::vector<std::int64_t>& places) const;  // [B,S,S,3] uint8
  /// Width and height of the image itself.
  std::pair<std::int64_t, std::int64_t> size_of(std::int64_t place) const;
  std::int64_t size() const { return count_; }
  std::string sha256() const;         // of all that is in memory
  std::string sha256_of_all() const;  // over the limit too, where every image is decoded for it
  /// Nothing may ask for batches afterwards.
  void let_pixels_go();

 private:
  std::int64_t size_, count_ = 0;
  std::vector<std::function<data::Image()>> read_;  // over the limit
  at::Tensor pixels_;                               // [N,S,S,3] within it
  std::string pixels_sha256_;
  std::vector<std::pair<std::int64_t, std::int64_t>> sizes_;
};

/// [S,S,3] uint8.
at::Tensor square_image(const data::Image& image, std::int64_t size);

/// A caption as ids, without begin and end.
struct CaptionRow {
  std::int64_t image = 0;   // place in the set
  std::size_t caption = 0;  // place among its captions
  std::vector<std::int64_t> ids;
};
/// One row for each caption, in order of images. With `limit` > 0 longer ones are cut there; `cut` counts them.
std::vector<CaptionRow> encode_captions(const data::CaptionSet& set, const data::TextCodec& codec,
                                        std::int64_t limit, std::int64_t& cut);
/// [B,T+1] int64: kBegin, ids, kEnd, kPadding.
at::Tensor caption_tokens(const std::vector<CaptionRow>& rows,
                          const std::vector<std::int64_t>& places);

/// The network that model.encoder.pretrained names, in memory; none for a small encoder. Throws kBadInput when there is no
/// such folder, file or name, kIo when a set of the catalogue is not on this machine, and as read_image_network.
std::optional<interop::ImageNetwork> open_image_network(const Recipe& recipe);
CaptioningConfig captioning_config(const Recipe& recipe, std::int64_t vocabulary,
                                   const std::optional<interop::ImageNetwork>& network);

class AnnotatedImages;

/// The encoder and the decoder as one.
struct CaptionModel {
  models::ImageEncoder encoder;
  std::unique_ptr<models::Captioner> captioner;
  CaptionModel(const CaptioningConfig& config, std::uint64_t seed);
  models::NamedTensors parameters() const;
};

/// The best hypothesis for each image, in order; maps are kept.
std::vector<decode::Hypothesis> search(const CaptionModel& model, const AnnotatedImages& images,
                                       std::int64_t count, const Recipe::Decode& how);

/// loss and perplexity of given captions, and pointing where they have regions.
Metrics read_metrics(CaptionModel& model, const data::CaptionSet& set,
                     const AnnotatedImages& images, const std::vector<CaptionRow>& rows,
                     const data::TextCodec& codec);

/// exact_match, bleu1 … bleu4 and cider of what was written for the first images of a set.
Metrics written_metrics(const std::vector<decode::Hypothesis>& written, const data::CaptionSet& set,
                        const data::TextCodec& codec);

}  // namespace attend::train
