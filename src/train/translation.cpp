#include "train/translation.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/train/translation.h"
#include "train/translation_search.h"

namespace attend::train {
namespace {

std::vector<std::int64_t> rows_of(const at::Tensor& rows) {
  const std::int64_t* first = rows.const_data_ptr<std::int64_t>();
  return {first, first + rows.size(0)};
}

class TranslationTask final : public Task {
 public:
  explicit TranslationTask(const Recipe& recipe)
      : recipe_(recipe),
        corpus_(load_pairs_of(recipe)),
        codecs_(train_codecs(recipe.data, corpus_.train)) {
    encode(Part::kTrain, corpus_.train, 0);
    leave_out_long_pairs();
    encode(Part::kValidation, corpus_.validation, recipe.data.max_tokens);
    encode(Part::kTest, corpus_.test, recipe.data.max_tokens);
    config_ = translator_config(recipe, codecs_.source.size(), codecs_.target.size());
    translator_ = models::make_translator(config_, static_cast<std::uint64_t>(recipe.train.seed));
    parameters_ = translator_->parameters();
  }

  std::int64_t rows(Part part) const override { return static_cast<std::int64_t>(of(part).size()); }

  std::vector<at::Tensor> batches(std::int64_t epoch) const override {
    std::vector<data::PairLength> lengths;
    for (const PairIds& p : of(Part::kTrain))
      lengths.push_back(
          {static_cast<std::int64_t>(p.source.size()), static_cast<std::int64_t>(p.target.size())});
    return batches_by_length(lengths, recipe_.train, epoch);
  }

  at::Tensor loss(const at::Tensor& rows, const models::Pass& pass, Tally& tally) override {
    const models::TranslationBatch batch = make_batch(of(Part::kTrain), rows_of(rows));
    const std::int64_t tokens = models::target_tokens(batch);
    const models::TranslationLoss loss =
        translator_->loss(batch, pass, recipe_.train.label_smoothing);
    tally.loss += loss.words.item<double>();
    tally.rows += tokens;
    return (loss.words + loss.penalty) / static_cast<double>(tokens);
  }

  Metrics metrics(const Tally& tally) const override {
    const double mean = tally.loss / static_cast<double>(std::max<std::int64_t>(tally.rows, 1));
    return {{"loss", mean}, {"perplexity", std::exp(mean)}};
  }

  Metrics evaluate(Part part) override {
    const std::vector<PairIds>& pairs = of(part);
    if (pairs.empty()) return {};
    const double mean = mean_loss(*translator_, pairs);
    Metrics out{{"loss", mean}, {"perplexity", std::exp(mean)}};
    // After an epoch a few sentences, greedily; of the test part, once, all as the recipe says.
    Recipe::Decode how = recipe_.decode;
    std::size_t rows = pairs.size();
    if (part != Part::kTest)
      how.beams = 1, rows = std::min(rows, static_cast<std::size_t>(recipe_.train.decode_rows));
    if (rows == 0) return out;
    const std::vector<data::SentencePair>& sentences =
        (part == Part::kTest ? corpus_.test : corpus_.validation).pairs;
    std::vector<std::vector<std::int64_t>> sources;
    std::vector<std::string> references;
    for (std::size_t i = 0; i < rows; ++i)
      sources.push_back(pairs[i].source), references.push_back(sentences[i].target);
    std::vector<std::string> found;
    for (const decode::Hypothesis& h : search(*translator_, sources, how))
      found.push_back(codecs_.target.decode(h.tokens));
    out.merge(translation_scores(found, references).metrics);
    return out;
  }

  models::NamedTensors parameters() override { return parameters_; }

  std::string fingerprint() const override {
    std::string text = data::to_json(codecs_.source) + data::to_json(codecs_.target);
    for (const data::ParallelSet* set : {&corpus_.train, &corpus_.validation, &corpus_.test})
      for (const data::SentencePair& pair : set->pairs)
        text += pair.source + "\n" + pair.target + "\n";
    return sha256(text);
  }

  std::vector<std::pair<std::string, std::string>> files() const override {
    return {{"config.json", to_config_json(config_)},
            {"tokenizer.json", data::to_json(codecs_.source)},
            {"target_tokenizer.json", data::to_json(codecs_.target)}};
  }

  std::vector<std::string> notes() const override { return notes_; }

 private:
  std::vector<PairIds>& of(Part part) { return parts_[static_cast<std::size_t>(part)]; }
  const std::vector<PairIds>& of(Part part) const { return parts_[static_cast<std::size_t>(part)]; }

  void encode(Part part, const data::ParallelSet& set, std::int64_t limit) {
    std::int64_t shortened = 0;
    of(part) = encode_pairs(set, codecs_, limit, shortened);
    if (const std::string bad = data::describe_bad_lines(set); !bad.empty()) notes_.push_back(bad);
    if (shortened > 0)
      notes_.push_back(std::to_string(shortened) + " of " + std::to_string(set.pairs.size()) +
                       (part == Part::kTest ? " test" : " validation") +
                       " pairs are longer than data.max_tokens and were cut");
  }

  void leave_out_long_pairs() {
    std::vector<PairIds>& pairs = of(Part::kTrain);
    const auto most = static_cast<std::size_t>(recipe_.data.max_tokens);
    const std::size_t all = pairs.size();
    std::erase_if(
        pairs, [&](const PairIds& p) { return p.source.size() > most || p.target.size() > most; });
    if (pairs.size() < all)
      notes_.push_back(std::to_string(all - pairs.size()) + " of " + std::to_string(all) +
                       " training pairs are longer than data.max_tokens and were left out");
    if (pairs.empty())
      fail_input(recipe_.data.name + ": no training pair is as short as data.max_tokens");
  }

  const Recipe recipe_;
  const data::ParallelCorpus corpus_;
  const Codecs codecs_;
  std::vector<PairIds> parts_[3];
  std::vector<std::string> notes_;
  models::TranslatorConfig config_;
  std::unique_ptr<models::Translator> translator_;
  models::NamedTensors parameters_;
};

}  // namespace

std::unique_ptr<Task> make_translation(const Recipe& recipe) {
  return std::make_unique<TranslationTask>(recipe);
}

}  // namespace attend::train
