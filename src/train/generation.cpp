#include "train/generation.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "attend/base/error.h"
#include "attend/base/file.h"

namespace attend::train {
namespace {

constexpr std::int64_t kBoundBatch = 256;

std::vector<std::int64_t> row_list(const at::Tensor& rows) {
  const std::int64_t* first = rows.const_data_ptr<std::int64_t>();
  return {first, first + rows.size(0)};
}

class GenerationTask final : public Task {
 public:
  explicit GenerationTask(const Recipe& recipe)
      : recipe_(recipe), images_(load_image_parts(recipe)) {
    const at::Tensor& train = images_.of(Part::kTrain);
    config_ = draw_config(recipe, train.size(1), train.size(2), train.size(3));
    draw_ = std::make_unique<models::Draw>(config_, static_cast<std::uint64_t>(recipe.train.seed));
    start_from_mean(train);
    std::string text;
    for (const at::Tensor& part : images_.parts)
      text += sha256({static_cast<const char*>(part.const_data_ptr()), part.nbytes()});
    fingerprint_ = sha256(text);
  }

  std::int64_t rows(Part part) const override { return images_.of(part).size(0); }

  std::vector<at::Tensor> batches(std::int64_t epoch) const override {
    return cut(epoch_order(rows(Part::kTrain), recipe_.train, epoch), step_rows(recipe_.train));
  }

  at::Tensor loss(const at::Tensor& rows, const models::Pass& pass, Tally& tally) override {
    const std::int64_t of_step = step_rows(recipe_.train);
    const std::int64_t steps = (this->rows(Part::kTrain) + of_step - 1) / of_step;  // an epoch
    const at::Tensor x = pixels_of(images_.of(Part::kTrain), row_list(rows), recipe_.data.binarise,
                                   pass.seed, binarise_stream(Part::kTrain, pass.step / steps));
    const nn::NoiseRows streams{pass.seed, static_cast<std::uint64_t>(pass.step) << 24,
                                rows.size(0)};
    const models::DrawBound bound = draw_->bound(x, draw_->noise(streams));
    const at::Tensor sum = bound.elbo_nats().sum();
    tally.loss += sum.item<double>();
    tally.kl += bound.kl_nats.detach().sum().item<double>();
    tally.rows += rows.size(0);
    return sum / static_cast<double>(rows.size(0));
  }

  Metrics metrics(const Tally& tally) const override {
    return bound_metrics({tally.loss - tally.kl, tally.kl, 0}, tally.rows);
  }

  Metrics evaluate(Part part) override {
    if (rows(part) == 0) return {};
    return bound_metrics(bound_of(*draw_, images_.of(part), recipe_, part), rows(part));
  }

  models::NamedTensors parameters() override { return draw_->parameters(); }
  std::string fingerprint() const override { return fingerprint_; }
  std::vector<std::pair<std::string, std::string>> files() const override {
    return {{"config.json", to_config_json(config_)}};
  }
  std::vector<std::string> notes() const override { return images_.notes; }

 private:
  /// Drawing begins at the mean of the training images.
  void start_from_mean(const at::Tensor& images) {
    at::Tensor sum = images.new_zeros(images.sizes().slice(1), at::kDouble);
    for (std::int64_t i = 0; i < images.size(0); ++i) sum += images[i];
    draw_->start_from((sum / (255.0 * static_cast<double>(images.size(0)))).to(at::kFloat));
  }

  const Recipe recipe_;
  const ImageParts images_;
  models::DrawConfig config_;
  std::unique_ptr<models::Draw> draw_;
  std::string fingerprint_;
};

}  // namespace

double BoundSums::elbo_sd(std::int64_t rows) const {
  if (rows < 2) return 0;
  const double n = static_cast<double>(rows), mean = (reconstruction + kl) / n;
  return std::sqrt(std::max(0.0, squares - n * mean * mean) / (n - 1));
}

BoundSums bound_of(const models::Draw& draw, const at::Tensor& images, const Recipe& recipe,
                   Part part) {
  const at::NoGradGuard no_grad;
  const auto seed = static_cast<std::uint64_t>(recipe.data.split_seed);
  BoundSums sums;
  for (std::int64_t begin = 0; begin < images.size(0); begin += kBoundBatch) {
    const std::int64_t n = std::min(kBoundBatch, images.size(0) - begin);
    std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
    std::iota(rows.begin(), rows.end(), begin);
    const at::Tensor x =
        pixels_of(images, rows, recipe.data.binarise, seed, binarise_stream(part, 0));
    const models::DrawBound b =
        draw.bound(x, draw.noise({seed, static_cast<std::uint64_t>(begin), n}));
    sums.reconstruction += b.reconstruction_nats.sum().item<double>();
    sums.kl += b.kl_nats.sum().item<double>();
    sums.squares += b.elbo_nats().to(at::kDouble).square().sum().item<double>();
  }
  return sums;
}

Metrics bound_metrics(const BoundSums& sums, std::int64_t rows) {
  const double n = static_cast<double>(std::max<std::int64_t>(rows, 1));
  const double elbo = (sums.reconstruction + sums.kl) / n;
  return {{"elbo_nats", elbo},
          {"reconstruction_nats", sums.reconstruction / n},
          {"kl_nats", sums.kl / n},
          {"loss", elbo}};
}

std::unique_ptr<Task> make_generation(const Recipe& recipe) {
  return std::make_unique<GenerationTask>(recipe);
}

}  // namespace attend::train
