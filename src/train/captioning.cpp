#include "train/captioning.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "train/annotations.h"

namespace attend::train {
namespace {

data::TextCodec train_caption_codec(const Recipe::Data& options, const data::CaptionSet& train) {
  std::vector<std::string> texts;
  for (const data::CaptionedImage& image : train.images)
    for (const data::Caption& caption : image.captions) texts.push_back(caption.text);
  return data::train_codec(texts, codec_options(options));
}

class CaptioningTask final : public Task {
 public:
  explicit CaptioningTask(const Recipe& recipe)
      : recipe_(recipe),
        network_(open_image_network(recipe)),
        corpus_(load_captions_of(recipe)),
        codec_(read_parts()) {
    encode(Part::kTrain, 0);
    leave_out_long_captions();
    encode(Part::kValidation, recipe.data.max_tokens);
    encode(Part::kTest, recipe.data.max_tokens);
    fingerprint_ = sum();
    config_ = captioning_config(recipe, codec_.size(), network_);
    model_ = std::make_unique<CaptionModel>(config_, static_cast<std::uint64_t>(recipe.train.seed));
    if (network_) interop::load_image_network(model_->encoder, *network_);
    for (SquareImages& images : squares_) {
      images_.emplace_back(model_->encoder, std::move(images));
      images_.back().keep(notes_);
    }
    squares_.clear();
  }

  std::int64_t rows(Part part) const override {
    return static_cast<std::int64_t>(rows_[at(part)].size());
  }

  std::vector<at::Tensor> batches(std::int64_t epoch) const override {
    std::vector<data::PairLength> lengths;
    for (const CaptionRow& row : rows_[at(Part::kTrain)])
      lengths.push_back({static_cast<std::int64_t>(row.ids.size()), 0});
    return batches_by_length(lengths, recipe_.train, epoch);
  }

  at::Tensor loss(const at::Tensor& rows, const models::Pass& pass, Tally& tally) override {
    const std::vector<CaptionRow>& all = rows_[at(Part::kTrain)];
    const std::int64_t* first = rows.const_data_ptr<std::int64_t>();
    const std::vector<std::int64_t> places(first, first + rows.size(0));
    std::vector<std::int64_t> images;
    std::int64_t tokens = 0;
    for (const std::int64_t p : places) {
      images.push_back(all[static_cast<std::size_t>(p)].image);
      tokens += static_cast<std::int64_t>(all[static_cast<std::size_t>(p)].ids.size()) + 1;
    }
    const models::CaptionLoss loss = model_->captioner->loss(
        images_[at(Part::kTrain)].batch(images), caption_tokens(all, places), pass);
    tally.loss += loss.words.item<double>();
    tally.rows += tokens;
    return (loss.words + loss.penalty) / static_cast<double>(tokens);
  }

  Metrics metrics(const Tally& tally) const override {
    const double mean = tally.loss / static_cast<double>(std::max<std::int64_t>(tally.rows, 1));
    return {{"loss", mean}, {"perplexity", std::exp(mean)}};
  }

  Metrics evaluate(Part part) override {
    const data::CaptionSet& set = of(part);
    if (set.images.empty()) return {};
    Metrics out = read_metrics(*model_, set, images_[at(part)], rows_[at(part)], codec_);
    // After an epoch a few images, greedily; of the test part, once, all as the recipe says.
    Recipe::Decode how = recipe_.decode;
    auto count = static_cast<std::int64_t>(set.images.size());
    if (part != Part::kTest) how.beams = 1, count = std::min(count, recipe_.train.decode_rows);
    if (how.max_length == 0) how.max_length = recipe_.data.max_tokens;
    if (count > 0)
      out.merge(written_metrics(search(*model_, images_[at(part)], count, how), set, codec_));
    return out;
  }

  models::NamedTensors parameters() override { return model_->parameters(); }
  std::string fingerprint() const override { return fingerprint_; }

  std::vector<std::pair<std::string, std::string>> files() const override {
    return {{"config.json", to_config_json(config_)}, {"tokenizer.json", data::to_json(codec_)}};
  }

  std::vector<std::string> notes() const override { return notes_; }

 private:
  static std::size_t at(Part part) { return static_cast<std::size_t>(part); }
  data::CaptionSet& of(Part part) {
    return part == Part::kTrain        ? corpus_.train
           : part == Part::kValidation ? corpus_.validation
                                       : corpus_.test;
  }

  /// Images first: those that cannot be read take their captions along.
  data::TextCodec read_parts() {
    for (const Part part : {Part::kTrain, Part::kValidation, Part::kTest}) {
      data::CaptionSet& set = of(part);
      if (const std::string bad = data::describe_bad_lines(set); !bad.empty())
        notes_.push_back(bad);
      if (!set.without_captions.empty() || !set.not_files.empty())
        notes_.push_back(data::describe_captions(set));
      squares_.emplace_back(set, recipe_.data.caption_image_size, notes_);
    }
    return train_caption_codec(recipe_.data, corpus_.train);
  }

  void encode(Part part, std::int64_t limit) {
    std::int64_t shortened = 0;
    rows_[at(part)] = encode_captions(of(part), codec_, limit, shortened);
    if (shortened > 0)
      notes_.push_back(std::to_string(shortened) + " of " + std::to_string(rows(part)) +
                       (part == Part::kTest ? " test" : " validation") +
                       " captions are longer than data.max_tokens and were cut");
  }

  void leave_out_long_captions() {
    std::vector<CaptionRow>& train = rows_[at(Part::kTrain)];
    const auto most = static_cast<std::size_t>(recipe_.data.max_tokens);
    const std::size_t all = train.size();
    std::erase_if(train, [&](const CaptionRow& row) { return row.ids.size() > most; });
    if (train.size() < all)
      notes_.push_back(std::to_string(all - train.size()) + " of " + std::to_string(all) +
                       " training captions are longer than data.max_tokens and were left out");
    if (train.empty())
      fail_input(recipe_.data.name + ": no training caption is as short as data.max_tokens");
  }

  std::string sum() const {
    std::string text = data::to_json(codec_);
    for (const data::CaptionSet* set : {&corpus_.train, &corpus_.validation, &corpus_.test})
      for (const data::CaptionedImage& image : set->images) {
        text += image.name + "\n";
        for (const data::Caption& caption : image.captions) text += caption.text + "\n";
      }
    for (const SquareImages& images : squares_) text += images.sha256();
    if (network_) text += sha256_of(network_->weights);
    return sha256(text);
  }

  const Recipe recipe_;
  const std::optional<interop::ImageNetwork> network_;  // that the encoder begins as
  data::CaptionCorpus corpus_;
  std::vector<std::string> notes_;
  std::vector<SquareImages> squares_;    // by part, until there is a model
  std::vector<AnnotatedImages> images_;  // by part
  const data::TextCodec codec_;
  std::vector<CaptionRow> rows_[3];
  CaptioningConfig config_;
  std::unique_ptr<CaptionModel> model_;
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<Task> make_captioning(const Recipe& recipe) {
  return std::make_unique<CaptioningTask>(recipe);
}

}  // namespace attend::train
