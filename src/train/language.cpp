#include "train/language.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "attend/base/error.h"
#include "attend/base/file.h"

namespace attend::train {
namespace {

constexpr std::int64_t kRowsMeasured = 64;  // together

std::int64_t code_points(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

class LanguageTask final : public Task {
 public:
  explicit LanguageTask(const Recipe& recipe)
      : recipe_(recipe),
        text_(load_text_of(recipe)),
        codec_(data::train_codec({text_.train}, codec_options(recipe.data))),
        config_(language_config(recipe, codec_.size())),
        model_(models::make_language_model(config_, static_cast<std::uint64_t>(recipe.train.seed))),
        parameters_(model_->parameters()) {
    const std::string* texts[] = {&text_.train, &text_.validation, &text_.test};
    for (std::size_t i = 0; i < 3; ++i)
      parts_[i] = TextRows(*texts[i], codec_, recipe.data.row_tokens);
  }

  std::int64_t rows(Part part) const override { return of(part).count(); }

  std::vector<at::Tensor> batches(std::int64_t epoch) const override {
    return cut(epoch_order(rows(Part::kTrain), recipe_.train, epoch), step_rows(recipe_.train));
  }

  at::Tensor loss(const at::Tensor& rows, const models::Pass& pass, Tally& tally) override {
    const at::Tensor tokens = of(Part::kTrain).batch(rows);
    const auto predicted = tokens.narrow(1, 1, recipe_.data.row_tokens)
                               .ne(models::kPadding)
                               .sum()
                               .item<std::int64_t>();
    const at::Tensor sum = model_->loss(tokens, pass);
    tally.loss += sum.item<double>();
    tally.rows += predicted;
    return sum / static_cast<double>(predicted);
  }

  Metrics metrics(const Tally& tally) const override {
    const double mean = tally.loss / static_cast<double>(std::max<std::int64_t>(tally.rows, 1));
    return {{"loss", mean}, {"perplexity", std::exp(mean)}};
  }

  Metrics evaluate(Part part) override { return measure(*model_, of(part)); }

  models::NamedTensors parameters() override { return parameters_; }

  std::string fingerprint() const override {
    return sha256(data::to_json(codec_) + text_.train + "\n" + text_.validation + "\n" +
                  text_.test);
  }

  std::vector<std::pair<std::string, std::string>> files() const override {
    return {{"config.json", to_config_json(config_)}, {"tokenizer.json", data::to_json(codec_)}};
  }

  std::vector<std::string> notes() const override {
    std::vector<std::string> out;
    const char* names[] = {"train", "validation", "test"};
    for (std::size_t i = 0; i < 3; ++i)
      if (parts_[i].count() > 0)
        out.push_back(std::string(names[i]) + ": " + std::to_string(parts_[i].tokens()) +
                      " tokens of " + std::to_string(parts_[i].characters()) + " characters in " +
                      std::to_string(parts_[i].count()) + " rows");
    return out;
  }

 private:
  const TextRows& of(Part part) const { return parts_[static_cast<std::size_t>(part)]; }

  const Recipe recipe_;
  const data::RunningText text_;
  const data::TextCodec codec_;
  const models::LanguageConfig config_;
  const std::unique_ptr<models::LanguageModel> model_;
  const models::NamedTensors parameters_;
  TextRows parts_[3];
};

}  // namespace

data::RunningText load_text_of(const Recipe& recipe) {
  data::RunningText text = data::load_running_text(recipe.data.name);
  const auto cut_off = [&](std::string& part, double share) {
    if (!part.empty() || share <= 0) return;
    std::tie(text.train, part) = data::cut_text(text.train, 1 - share);
  };
  cut_off(text.test, recipe.data.test);
  cut_off(text.validation, recipe.data.validation);
  if (text.train.empty()) fail_input(recipe.data.name + ": no text is left for training");
  return text;
}

TextRows::TextRows(const std::string& text, const data::TextCodec& codec, std::int64_t row_tokens)
    : characters_(code_points(text)) {
  std::vector<std::int64_t> ids{models::kBegin};
  const std::vector<std::int64_t> read = codec.encode(text);
  ids.insert(ids.end(), read.begin(), read.end());
  tokens_ = static_cast<std::int64_t>(read.size());
  rows_ = (tokens_ + row_tokens - 1) / row_tokens;
  ids_ = at::full({rows_, row_tokens + 1}, models::kPadding, at::kLong);
  std::int64_t* to = ids_.mutable_data_ptr<std::int64_t>();
  for (std::int64_t r = 0; r < rows_; ++r, to += row_tokens + 1) {
    const std::int64_t first = r * row_tokens, last = std::min(first + row_tokens + 1, tokens_ + 1);
    std::copy(ids.begin() + first, ids.begin() + last, to);
  }
}

at::Tensor TextRows::batch(const at::Tensor& rows) const { return ids_.index_select(0, rows); }

Metrics measure(models::LanguageModel& model, const TextRows& rows) {
  if (rows.count() == 0) return {};
  const at::NoGradGuard off;
  double nats = 0;
  for (std::int64_t first = 0; first < rows.count(); first += kRowsMeasured) {
    const std::int64_t last = std::min(rows.count(), first + kRowsMeasured);
    nats +=
        model.loss(rows.batch(at::arange(first, last, at::kLong)), models::Pass{}).item<double>();
  }
  const double mean = nats / static_cast<double>(rows.tokens());
  return {{"loss", mean},
          {"perplexity", std::exp(mean)},
          {"bits_per_character",
           nats / std::numbers::ln2 /
               static_cast<double>(std::max<std::int64_t>(rows.characters(), 1))}};
}

std::unique_ptr<Task> make_language(const Recipe& recipe) {
  return std::make_unique<LanguageTask>(recipe);
}

}  // namespace attend::train
