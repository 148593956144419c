#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/base/nearest.h"
#include "attend/train/generation.h"
#include "data/json.h"
#include "train/config_fields.h"
#include "train/generation.h"
#include "train/run_files.h"
#include "train/schema.h"

namespace attend::train {
namespace {

constexpr char kDrawType[] = "attend-draw";
const std::vector<std::string> kPartNames{"train", "validation", "test"};  // by Part

template <class F, class C>
void visit_draw_fields(F& f, C& c) {
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
}

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

struct ChosenPart {
  std::string data;
  Part part;
  ImageParts images;
};

/// The images that `data` and `split` name, as they lie on disk.
ChosenPart chosen_part(const GenerationRun& run, const std::string& data,
                       const std::string& split) {
  Recipe recipe = run.recipe;
  if (!data.empty() && data != recipe.data.name)
    recipe.data.name = data, recipe.data.validation = recipe.data.test = 0;
  ChosenPart out{recipe.data.name, Part::kTest, load_image_parts(recipe)};
  check_image_size(run, out.images.of(Part::kTrain), out.data);
  if (split.empty()) {
    for (const Part part : {Part::kTrain, Part::kValidation, Part::kTest})
      if (out.images.of(part).size(0) > 0) out.part = part;
    return out;
  }
  const auto found = std::find(kPartNames.begin(), kPartNames.end(), split);
  if (found == kPartNames.end())
    fail_usage("no split '" + split + "' of " + out.data + did_you_mean(split, kPartNames));
  out.part = static_cast<Part>(found - kPartNames.begin());
  if (out.images.of(out.part).size(0) == 0)
    fail_usage(out.data + " has no " + split + " images under this run's recipe");
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

const std::string& name_of(Part part) { return kPartNames[static_cast<std::size_t>(part)]; }

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
  ConfigWriter writer(kDrawType, "Draw");
  visit_draw_fields(writer, config);
  return writer.text();
}

models::DrawConfig draw_from_config_json(const std::string& text, const std::string& name) {
  Fields fields(data::parse_json(text, name), name);
  fields.expect_model(kDrawType);
  models::DrawConfig c;
  visit_draw_fields(fields, c);
  fields.finish();
  try {
    models::check_config(c);
  } catch (const Error& e) {
    fail_input(name + ": " + e.what());
  }
  return c;
}

GenerationRun load_generation(const std::string& path) {
  GenerationRun run;
  static_cast<RunFiles&>(run) = open_run(path);
  if (run.recipe.task.kind != TaskKind::kGeneration)
    fail_input(run.path + ": a " + task_name(run.recipe.task.kind) +
               " run, and this is for generation");
  const std::string config_path = run.path + "/config.json";
  run.config = draw_from_config_json(read_file(config_path), config_path);
  run.draw = std::make_unique<models::Draw>(run.config);
  load_parameters(run.draw->parameters(), run.path + "/model.safetensors");
  return run;
}

ImageSet image_set(const GenerationRun& run, const std::string& data, const std::string& split) {
  const ChosenPart chosen = chosen_part(run, data, split);
  const at::Tensor& images = chosen.images.of(chosen.part);
  return {chosen.data, name_of(chosen.part),
          pixels_of_rows(run, images, chosen.part, 0, images.size(0))};
}

ImageSet one_image(const GenerationRun& run, const std::string& input, const std::string& data) {
  std::error_code error;
  const auto colon = input.find(':');
  if (std::filesystem::exists(input, error) || colon == std::string::npos) {
    const at::Tensor image = read_image_like(run.config, input);
    return {input, "", pixels_of_rows(run, image, Part::kTest, 0, 1)};
  }
  const ChosenPart chosen = chosen_part(run, data, input.substr(0, colon));
  const at::Tensor& images = chosen.images.of(chosen.part);
  std::int64_t row = -1;
  const char *first = input.data() + colon + 1, *last = input.data() + input.size();
  if (const auto r = std::from_chars(first, last, row);
      r.ec != std::errc() || r.ptr != last || row < 0 || row >= images.size(0))
    fail_usage("'" + input + "': after the colon goes an image's number, 0 to " +
               std::to_string(images.size(0) - 1));
  return {chosen.data, name_of(chosen.part), pixels_of_rows(run, images, chosen.part, row, 1)};
}

GenerationEvaluation evaluate(const GenerationRun& run, const EvaluateGeneration& options) {
  const ChosenPart chosen = chosen_part(run, options.data, options.split);
  const at::Tensor& images = chosen.images.of(chosen.part);
  GenerationEvaluation out;
  out.run = run.path, out.data = chosen.data, out.split = name_of(chosen.part);
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
