// attend predict, eval and explain of a run that draws images.
#include "generation.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/round.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "attend/base/error.h"
#include "attend/base/file.h"
#include "attend/data/image.h"
#include "attend/explain/drawing.h"
#include "attend/train/generation.h"
#include "attend/viz/film.h"
#include "explain.h"
#include "output.h"

namespace attend::cli {
namespace {

using nlohmann::json;

constexpr std::uint64_t kSamples = 100, kMostSamples = 10'000;

data::Image image_of(viz::Raster raster) {
  return {raster.height, raster.width, std::move(raster.pixels)};
}

/// Samples [N,C,height,width] beside and below each other, one pixel of grey between them, as near to a square as can be.
data::Image sheet_of(const at::Tensor& samples) {
  const at::Tensor bytes = (samples.clamp(0, 1) * 255).round().to(at::kByte).contiguous();
  const std::int64_t n = bytes.size(0), channels = bytes.size(1), height = bytes.size(2),
                     width = bytes.size(3);
  const auto columns = static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(n))));
  const std::int64_t rows = (n + columns - 1) / columns;
  data::Image out;
  out.height = rows * (height + 1) + 1, out.width = columns * (width + 1) + 1;
  out.pixels.assign(static_cast<std::size_t>(out.height * out.width * 3), 0x80);
  const std::uint8_t* from = bytes.const_data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x)
        for (std::int64_t c = 0; c < 3; ++c) {
          const std::int64_t down = i / columns * (height + 1) + 1 + y,
                             across = i % columns * (width + 1) + 1 + x;
          const std::int64_t plane = i * channels + (channels == 3 ? c : 0);
          out.pixels[static_cast<std::size_t>((down * out.width + across) * 3 + c)] =
              from[(plane * height + y) * width + x];
        }
  return out;
}

std::optional<viz::FilmOnObjects> film_share(const std::optional<explain::OnObjects>& on) {
  if (!on) return std::nullopt;
  return viz::FilmOnObjects{on->share, on->chance, on->middle};
}

std::optional<viz::FilmWindow> film_window(const std::optional<explain::DrawingWindow>& w) {
  if (!w) return std::nullopt;
  return viz::FilmWindow{w->x, w->y, w->stride, w->sigma, film_share(w->on_objects)};
}

viz::Film film_of(const explain::DrawingExplanation& e) {
  viz::Film film;
  film.height = e.height, film.width = e.width, film.channels = e.channels;
  film.read_size = e.read_size, film.write_size = e.write_size;
  film.image = e.image;
  film.reconstruction_nats = e.reconstruction_nats, film.kl_nats = e.kl_nats;
  for (const explain::DrawingStep& s : e.steps)
    film.steps.push_back({s.canvas, s.kl_nats, film_window(s.read), film_window(s.write)});
  film.read_on_objects = film_share(e.read_on_objects);
  film.write_on_objects = film_share(e.write_on_objects);
  return film;
}

viz::FilmReport report_of(const train::GenerationRun& run, const std::string& input,
                          viz::Film film) {
  std::int64_t weights = 0;
  for (const auto& [name, tensor] : run.draw->parameters()) weights += tensor.numel();
  const models::DrawConfig& c = run.config;
  const auto square = [](std::int64_t n) { return std::to_string(n) + " × " + std::to_string(n); };
  viz::FilmReport r;
  r.run = run.recipe.name;
  r.model = c.attention ? "DRAW with attention" : "DRAW without attention";
  r.model_detail =
      std::to_string(c.steps) + " steps, " +
      (c.attention ? "read " + square(c.read_size) + ", write " + square(c.write_size) + ", "
                   : "") +
      grouped(weights) + " weights";
  r.data = input, r.data_detail = run.recipe.data.name;
  r.trained = std::to_string(run.history.size()) + " epochs";
  r.seed = run.recipe.train.seed;
  const train::Metrics& m = run.result.test.empty() ? run.result.validation : run.result.test;
  if (const auto found = m.find("elbo_nats"); found != m.end()) {
    r.quality = "≤ " + fixed(found->second, 2) + " nats";
    r.quality_detail = std::string(run.result.test.empty() ? "validation" : "test") +
                       " bound on −log p(x); lower is better";
  }
  r.film = std::move(film);
  return r;
}

/// Every step for 150 ms; the last, which is the result, ten times as long.
std::string animation_of(const viz::Film& film) {
  constexpr std::int64_t kMilliseconds = 150;
  std::vector<data::Image> frames;
  for (std::size_t t = 0; t < film.steps.size(); ++t)
    frames.push_back(image_of(viz::film_frame(film, t)));
  for (int i = 0; i < 9; ++i) frames.push_back(frames[film.steps.size() - 1]);
  return data::encode_apng(frames, kMilliseconds);
}

std::string whole_percent(double share) { return fixed(100 * share, 0) + " %"; }

void print_film(Output& out, const viz::Film& film) {
  Table table(std::vector<Align>(12, Align::kRight));
  std::vector<std::string> head = {"step", "nats"};
  for (const char* which : {"read", "write"})
    for (const char* part : {"x", "y", "side", "σ", "on"})
      if (film.read_size > 0 && (film.read_on_objects || part != std::string_view("on")))
        head.push_back(std::string(which) + " " + part);
  table.head(head);
  for (std::size_t t = 0; t < film.steps.size(); ++t) {
    const viz::FilmStep& s = film.steps[t];
    std::vector<std::string> row = {std::to_string(t + 1), fixed(s.kl_nats, 2)};
    const auto add = [&](const std::optional<viz::FilmWindow>& w, std::int64_t n) {
      if (!w) return;
      for (const double v : {w->x, w->y, w->stride * static_cast<double>(n - 1), w->sigma})
        row.push_back(fixed(v, 1));
      if (w->on_objects) row.push_back(whole_percent(w->on_objects->share));
    };
    add(s.read, film.read_size), add(s.write, film.write_size);
    table.row(row);
  }
  out.table(table);
  out.line("bound " + fixed(film.reconstruction_nats + film.kl_nats, 2) +
           " nats = reconstruction " + fixed(film.reconstruction_nats, 2) + " + information " +
           fixed(film.kl_nats, 2));
  if (!film.read_on_objects || !film.write_on_objects) return;
  const auto say = [&](const char* which, const viz::FilmOnObjects& on) {
    out.line(std::string("on the objects: ") + whole_percent(on.share) + " of the " + which +
             " window, a mean over steps; " + whole_percent(on.chance) +
             " of such windows at a random place, " + whole_percent(on.middle) + " in the middle");
  };
  say("read", *film.read_on_objects), say("write", *film.write_on_objects);
}

}  // namespace

int predict_samples(Output& out, const SampleOptions& o) {
  const train::GenerationRun run = train::load_generation(o.run);
  const std::string path = o.out.empty() ? "samples.png" : o.out;
  const auto count = static_cast<std::int64_t>(std::min(o.count.value_or(kSamples), kMostSamples));
  write_file_atomically(
      path, data::encode_png(sheet_of(run.draw->sample({o.seed.value_or(1), 0, count}))));
  if (out.json())
    out.document({{"image", path}, {"count", count}, {"seed", o.seed.value_or(1)}});
  else
    out.line(path);
  return 0;
}

int evaluate_generation(Output& out, const EvaluateOptions& o) {
  train::EvaluateGeneration options;
  options.data = o.data, options.split = o.split;
  options.samples = static_cast<std::int64_t>(o.samples.value_or(0));
  options.images = static_cast<std::int64_t>(o.images.value_or(500));
  const train::GenerationEvaluation e = train::evaluate(train::load_generation(o.run), options);
  const double n = static_cast<double>(e.n), elbo = e.metrics.at("elbo_nats");
  const double half = 1.959963984540054 * e.elbo_sd / std::sqrt(n);  // 95 %
  if (out.json()) {
    json document = {{"run", e.run},         {"data", e.data},
                     {"split", e.split},     {"n", e.n},
                     {"metrics", e.metrics}, {"elbo_interval", {elbo - half, elbo + half}}};
    if (e.samples > 0)
      document["likelihood"] = {{"samples", e.samples}, {"images", e.likelihood_n}};
    out.document(document);
    return 0;
  }
  out.line(e.run + " on " + e.data + ", " + e.split + ", " + grouped(e.n) + " images");
  out.line("−log p ≤ " + fixed(elbo, 2) + " nats (95 % interval " + fixed(elbo - half, 2) + "–" +
           fixed(elbo + half, 2) + ") = reconstruction " +
           fixed(e.metrics.at("reconstruction_nats"), 2) + " + information " +
           fixed(e.metrics.at("kl_nats"), 2));
  if (e.samples > 0)
    out.line("log p ≈ " + fixed(e.metrics.at("log_likelihood_nats"), 2) + " nats, " +
             grouped(e.samples) + " importance samples each of " + grouped(e.likelihood_n) +
             " images");
  return 0;
}

int explain_drawing(Output& out, const ExplainOptions& o) {
  if (o.words.size() != 2)
    fail_usage(
        "give one image after the run: a PNG or JPEG file, or PART:NUMBER of its data (test:0)");
  if (!o.split.empty() || o.count)
    fail_usage(
        "--split and --count choose sentences; an image is chosen as PART:NUMBER, such as test:0");
  if (!o.svg.empty()) fail_usage("--svg: a drawing is made of pixels: use --png or --html");
  const train::GenerationRun run = train::load_generation(o.words[0]);
  if (run.config.channels != 1 && run.config.channels != 3)
    fail_input(o.words[0] + ": images of " + std::to_string(run.config.channels) +
               " channels cannot be shown");
  const train::ImageSet chosen = train::one_image(run, o.words[1], o.data);
  const explain::DrawingExplanation e = explain::explain_drawing(
      *run.draw, chosen.images, static_cast<std::uint64_t>(run.recipe.data.split_seed),
      chosen.boxes);
  const viz::Film film = film_of(e);
  if (!o.png.empty())
    write_file_atomically(o.png, data::encode_png(image_of(viz::film_strip(film))));
  if (!o.apng.empty()) write_file_atomically(o.apng, animation_of(film));
  if (!o.html.empty()) write_file_atomically(o.html, viz::html(report_of(run, o.words[1], film)));
  if (out.json()) {
    out.line(explain::to_json(e, o.words[1], run.path));
    return 0;
  }
  if (!print_written(out, o)) print_film(out, film);
  return 0;
}

}  // namespace attend::cli
