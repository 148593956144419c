#include "train/classification.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/encode.h"
#include "attend/data/tokenizer.h"
#include "attend/interop/bert.h"
#include "attend/interop/word_vectors.h"
#include "attend/train/run.h"
#include "train/parts.h"
#include "train/pretrained.h"

namespace attend::train {
namespace {

constexpr std::int64_t kEvaluationBatch = 200;  // larger ones are no quicker and hold more memory

data::Tokenizer make_tokenizer(const Recipe::Data& options, const Parts& parts) {
  data::TokenizerOptions how;
  how.lower = options.lower;
  how.num_words = options.num_words;
  if (!options.oov.empty()) how.oov_token = options.oov;
  data::Tokenizer tokenizer(how);
  std::vector<std::string> texts;
  const auto add = [&](const data::Dataset& set) {
    for (const data::Example& e : set.examples) texts.push_back(e.text);
  };
  add(parts.train);
  if (options.vocabulary == VocabularyFrom::kAll) {
    add(parts.validation);
    add(parts.test);
  }
  tokenizer.fit_on_texts(texts);
  if (tokenizer.vocabulary() < 1)
    fail_input(parts.train.name + ": the training texts hold no words");
  return tokenizer;
}

/// Adds cross-entropy and right answers of logits [B,1] or [B,K] to the tally, in float64 and in order of rows.
void count(const at::Tensor& logits, const at::Tensor& labels, Tally& tally) {
  const at::Tensor z = logits.detach().to(at::kDouble).contiguous();
  const double* row = z.const_data_ptr<double>();
  const std::int64_t* label = labels.const_data_ptr<std::int64_t>();
  const std::int64_t classes = z.size(1);
  for (std::int64_t i = 0; i < z.size(0); ++i, row += classes) {
    if (classes == 1) {  // −log σ(±z) = log(1 + e^∓z)
      const double margin = label[i] == 1 ? row[0] : -row[0];
      tally.loss += std::max(-margin, 0.0) + std::log1p(std::exp(-std::abs(margin)));
      tally.right += (row[0] > 0) == (label[i] == 1);
    } else {
      const double top = *std::max_element(row, row + classes);
      double sum = 0;
      for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(row[c] - top);
      tally.loss += top + std::log(sum) - row[label[i]];
      tally.right += std::max_element(row, row + classes) - row == label[i];
    }
  }
  tally.rows += z.size(0);
}

class Classification final : public Task {
 public:
  explicit Classification(const Recipe& recipe) : options_(recipe.train) {
    Parts parts = load_parts(recipe);
    label_names_ = parts.train.label_names;
    notes_ = std::move(parts.notes);
    const bool is_bert = recipe.model.classifier == models::ClassifierArchitecture::kBert;
    if (is_bert)
      pretrained_ = open_pretrained(recipe);
    else
      tokenizer_ = make_tokenizer(recipe.data, parts);
    encode(Part::kTrain, parts.train, recipe);
    encode(Part::kValidation, parts.validation, recipe);
    encode(Part::kTest, parts.test, recipe);
    make_classifier(recipe, static_cast<std::int64_t>(label_names_.size()));
    parameters_ = classifier_->parameters();
    if (!is_bert && !recipe.model.pretrained.empty()) load_vectors(recipe.model.pretrained);
  }

  std::int64_t rows(Part part) const override {
    return of(part).ids.defined() ? of(part).ids.size(0) : 0;
  }

  std::vector<at::Tensor> batches(std::int64_t epoch) const override {
    return cut(epoch_order(rows(Part::kTrain), options_, epoch), step_rows(options_));
  }

  at::Tensor loss(const at::Tensor& rows, const models::Pass& pass, Tally& tally) override {
    const data::Encoded& train = of(Part::kTrain);
    const at::Tensor labels = train.labels.index_select(0, rows);
    const auto output = classifier_->forward(
        {train.ids.index_select(0, rows), train.lengths.index_select(0, rows)}, pass);
    count(output.logits, labels, tally);
    return classifier_->loss(output, labels);
  }

  Metrics metrics(const Tally& tally) const override {
    const double n = static_cast<double>(std::max<std::int64_t>(tally.rows, 1));
    return {{"accuracy", static_cast<double>(tally.right) / n}, {"loss", tally.loss / n}};
  }

  Metrics evaluate(Part part) override {
    const data::Encoded& set = of(part);
    if (rows(part) == 0) return {};
    const Outputs out = run_batches(*classifier_, {set.ids, set.lengths});
    return summary(report_classification(out.probabilities, set.labels));
  }

  models::NamedTensors parameters() override { return parameters_; }

  std::string fingerprint() const override {
    std::string sums = vectors_sha256_ + tokenizer_json();
    for (const data::Encoded& set : parts_)
      for (const at::Tensor& x : {set.ids, set.labels})
        if (x.defined()) sums += sha256({static_cast<const char*>(x.const_data_ptr()), x.nbytes()});
    return sha256(sums);
  }

  std::vector<std::pair<std::string, std::string>> files() const override {
    return {{"config.json", to_config_json({classifier_->config(), label_names_})},
            {"tokenizer.json", tokenizer_json()}};
  }

  std::vector<std::string> notes() const override { return notes_; }

 private:
  const data::Encoded& of(Part part) const { return parts_[static_cast<std::size_t>(part)]; }

  void encode(Part part, const data::Dataset& set, const Recipe& recipe) {
    if (set.examples.empty()) return;
    data::Encoded& out = parts_[static_cast<std::size_t>(part)];
    const data::EncodeOptions how = encode_options(recipe);
    out = pretrained_ ? data::encode(set, pretrained_->codec, how)
                      : data::encode(set, tokenizer_, how);
    out.ids = out.ids.contiguous();
    out.labels = out.labels.contiguous();
    const std::string of_all = " of " + std::to_string(set.examples.size()) + " " +
                               (part == Part::kTrain  ? "training"
                                : part == Part::kTest ? "test"
                                                      : "validation") +
                               " texts ";
    if (out.truncated > 0)
      notes_.push_back(std::to_string(out.truncated) + of_all + "are longer than " +
                       std::to_string(recipe.data.max_length) +
                       (pretrained_ ? " pieces" : " words") + " and were cut");
    if (out.empty > 0)
      notes_.push_back(std::to_string(out.empty) + of_all +
                       "hold no known word and are read as padding");
  }

  std::string tokenizer_json() const {
    return pretrained_ ? data::to_json(pretrained_->codec) : data::to_tokenizer_json(tokenizer_);
  }

  void make_classifier(const Recipe& recipe, std::int64_t classes) {
    const auto seed = static_cast<std::uint64_t>(recipe.train.seed);
    if (!pretrained_) {
      classifier_ = models::make_classifier(
          classifier_config(recipe, tokenizer_.vocabulary(), classes), seed);
      return;
    }
    const auto config = bert_classifier_config(recipe, *pretrained_, classes);
    models::check_config(config);
    classifier_ = models::make_bert_classifier(
        config, interop::read_bert(pretrained_->folder, config.bert), seed);
    vectors_sha256_ = sha256_of_file(pretrained_->folder + "/model.safetensors");
  }

  void load_vectors(const std::string& path) {
    std::vector<std::string> words;
    for (std::int64_t id = 1; id <= tokenizer_.vocabulary(); ++id)
      words.push_back(*tokenizer_.word_of(id));
    const auto vectors = interop::read_word_vectors(path, words);
    const at::NoGradGuard no_grad;
    const auto coverage = interop::fill_table(parameters_.front().second, words, vectors);
    notes_.push_back(path + ": vectors for " + std::to_string(coverage.known) + " of " +
                     std::to_string(coverage.vocabulary) + " words");
    vectors_sha256_ = sha256_of_file(path);
  }

  const Recipe::Train options_;
  std::vector<std::string> label_names_, notes_;
  data::Tokenizer tokenizer_;             // of a recurrent model
  std::optional<Pretrained> pretrained_;  // of a bert, instead
  data::Encoded parts_[3];
  std::unique_ptr<models::Classifier> classifier_;
  models::NamedTensors parameters_;
  std::string vectors_sha256_;  // of what was trained before: word vectors or the encoder
};

}  // namespace

Outputs run_batches(models::Classifier& classifier, const models::ClassifierBatch& batch) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> probabilities, weights;
  const std::int64_t n = batch.ids.size(0);
  for (std::int64_t begin = 0; begin < n; begin += kEvaluationBatch) {
    const std::int64_t rows = std::min(kEvaluationBatch, n - begin);
    const auto output = classifier.forward(
        {batch.ids.narrow(0, begin, rows), batch.lengths.narrow(0, begin, rows)}, models::Pass{});
    probabilities.push_back(models::probabilities(output));
    if (output.weights.defined()) weights.push_back(output.weights);
  }
  return {at::cat(probabilities), weights.empty() ? at::Tensor() : at::cat(weights)};
}

std::unique_ptr<Task> make_classification(const Recipe& recipe) {
  return std::make_unique<Classification>(recipe);
}

}  // namespace attend::train
