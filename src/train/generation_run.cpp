#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/train/generation.h"
#include "train/chosen_part.h"
#include "train/config_fields.h"
#include "train/generation.h"
#include "train/run_files.h"
#include "train/schema.h"

namespace attend::train {
namespace {

constexpr char kDrawType[] = "attend-draw";

constexpr auto kDrawFields = [](auto& f, auto& c) {
  f("height", c.height);
  f("width", c.width);
  f("channels", c.channels);
  f("steps", c.steps);
  f("encoder_hidden", c.encoder_hidden);
  f("decoder_hidden", c.decoder_hidden);
  f("latent", c.latent);
  f("attention", c.attention);
  f("read_size", c.read_size);
  f("write_size", c.write_size);
  f("output", c.output, choices_of(TaskKind::kGeneration, "model.output"));
};

void check_image_size(const GenerationRun& run, const at::Tensor& images, const std::string& data) {
  const models::DrawConfig& c = run.config;
  if (images.size(1) == c.channels && images.size(2) == c.height && images.size(3) == c.width)
    return;
  const auto text = [](std::int64_t channels, std::int64_t height, std::int64_t width) {
    return std::to_string(channels) + " x " + std::to_string(height) + " x " +
           std::to_string(width);
  };
  fail_input(data + ": images of " + text(images.size(1), images.size(2), images.size(3)) +
             " (channels, height, width), and " + run.path + " draws " +
             text(c.channels, c.height, c.width));
}

struct ChosenImages {
  std::string data, split;
  Part part = Part::kTest;
  ImageParts images;

  const at::Tensor& boxes() const { return images.boxes[static_cast<std::size_t>(part)]; }
};

/// The images that `data` and `split` name, as they lie on disk.
ChosenImages chosen_images(const GenerationRun& run, const std::string& data,
                           const std::string& split) {
  const Recipe recipe = recipe_on(run.recipe, data);
  ChosenImages out{recipe.data.name, split, Part::kTest, load_image_parts(recipe)};
  check_image_size(run, out.images.of(Part::kTrain), out.data);
  out.part = chosen_part(out.split, out.data, "images",
                         [&](Part part) { return out.images.of(part).size(0) > 0; });
  return out;
}

at::Tensor pixels_of_rows(const GenerationRun& run, const at::Tensor& images, Part part,
                          std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  return pixels_of(images, rows, run.recipe.data.binarise,
                   static_cast<std::uint64_t>(run.recipe.data.split_seed),
                   binarise_stream(part, 0));
}

}  // namespace

models::DrawConfig draw_config(const Recipe& recipe, std::int64_t channels, std::int64_t height,
                               std::int64_t width) {
  const Recipe::Model& m = recipe.model;
  models::DrawConfig out;
  out.channels = channels, out.height = height, out.width = width;
  out.steps = m.steps, out.latent = m.latent;
  out.encoder_hidden = out.decoder_hidden = m.hidden;
  out.attention = m.windows, out.read_size = m.read_size, out.write_size = m.write_size;
  out.output = m.output;
  return out;
}

std::string to_config_json(const models::DrawConfig& config) {
  return write_config(kDrawType, "Draw", config, kDrawFields);
}

models::DrawConfig draw_from_config_json(const std::string& text, const std::string& name) {
  return read_config<models::DrawConfig>(text, name, kDrawType, kDrawFields,
                                         [](const auto& c) { models::check_config(c); });
}

GenerationRun load_generation(const std::string& path) {
  GenerationRun run;
  static_cast<RunFiles&>(run) = open_run(path, TaskKind::kGeneration);
  const std::string config_path = run.path + "/config.json";
  run.config = draw_from_config_json(read_file(config_path), config_path);
  run.draw = std::make_unique<models::Draw>(run.config);
  load_parameters(run.draw->parameters(), run.path + "/model.safetensors");
  return run;
}

ImageSet image_set(const GenerationRun& run, const std::string& data, const std::string& split) {
  const ChosenImages chosen = chosen_images(run, data, split);
  const at::Tensor& images = chosen.images.of(chosen.part);
  return {chosen.data, chosen.split, pixels_of_rows(run, images, chosen.part, 0, images.size(0)),
          chosen.boxes()};
}

ImageSet one_image(const GenerationRun& run, const std::string& input, const std::string& data) {
  std::error_code error;
  const auto colon = input.find(':');
  if (std::filesystem::exists(input, error) || colon == std::string::npos) {
    const at::Tensor image = read_image_like(run.config, input);
    return {input, "", pixels_of_rows(run, image, Part::kTest, 0, 1), {}};
  }
  const ChosenImages chosen = chosen_images(run, data, input.substr(0, colon));
  const at::Tensor& images = chosen.images.of(chosen.part);
  std::int64_t row = -1;
  const char *first = input.data() + colon + 1, *last = input.data() + input.size();
  if (const auto r = std::from_chars(first, last, row);
      r.ec != std::errc() || r.ptr != last || row < 0 || row >= images.size(0))
    fail_usage("'" + input + "': after the colon goes an image's number, 0 to " +
               std::to_string(images.size(0) - 1));
  const at::Tensor& boxes = chosen.boxes();
  return {chosen.data, chosen.split, pixels_of_rows(run, images, chosen.part, row, 1),
          boxes.defined() ? boxes.narrow(0, row, 1) : at::Tensor()};
}

GenerationEvaluation evaluate(const GenerationRun& run, const EvaluateGeneration& options) {
  const ChosenImages chosen = chosen_images(run, options.data, options.split);
  const at::Tensor& images = chosen.images.of(chosen.part);
  GenerationEvaluation out;
  out.run = run.path, out.data = chosen.data, out.split = chosen.split;
  out.n = images.size(0);
  const BoundSums sums = bound_of(*run.draw, images, run.recipe, chosen.part);
  out.metrics = bound_metrics(sums, out.n);
  out.elbo_sd = sums.elbo_sd(out.n);
  if (options.samples < 1) return out;
  out.samples = options.samples, out.likelihood_n = std::min(out.n, options.images);
  double sum = 0;
  for (std::int64_t i = 0; i < out.likelihood_n;
       ++i)  // one at a time: memory does not grow with samples
    sum += run.draw
               ->log_likelihood(
                   pixels_of_rows(run, images, chosen.part, i, 1), options.samples,
                   static_cast<std::uint64_t>(run.recipe.data.split_seed),
                   static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(options.samples))
               .item<double>();
  out.metrics["log_likelihood_nats"] = sum / static_cast<double>(out.likelihood_n);
  return out;
}

}  // namespace attend::train
