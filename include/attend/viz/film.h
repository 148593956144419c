#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Pictures of how a model painted an image step by step, from plain arrays. No tensors.
namespace attend::viz {

/// How much of a window lies on the objects of its image, and how much would at a random place and in the middle; 0 … 1.
struct FilmOnObjects {
  double share = 0, chance = 0, middle = 0;
};

/// A window in pixels counted from 0: N x N filters of width sigma, `stride` apart, around (x, y).
struct FilmWindow {
  double x = 0, y = 0, stride = 0, sigma = 0;
  std::optional<FilmOnObjects> on_objects{};  // where it is known what lies where
};

struct FilmStep {
  std::vector<std::uint8_t> canvas;  // [height,width,channels], 0 … 255
  double kl_nats = 0;                // what the step took in
  std::optional<FilmWindow> read, write;
};

struct Film {
  std::int64_t height = 0, width = 0, channels = 1;  // 1 or 3
  std::int64_t read_size = 0, write_size = 0;        // N of the windows; 0 where there are none
  std::vector<std::uint8_t> image;                   // what the model was shown, as a canvas
  double reconstruction_nats = 0, kl_nats = 0;
  std::vector<FilmStep> steps;
  std::optional<FilmOnObjects> read_on_objects, write_on_objects;  // means over the steps
};

struct FilmReport {
  std::string run, model, model_detail, data, data_detail, trained;  // as in SentimentReport
  std::int64_t seed = 0;
  std::string quality, quality_detail;
  bool sample = false;  // says that everything is invented
  Film film;
};

/// One self-contained file: a step with its read window on the input and its write window on the canvas, what each step took
/// in, every step as a strip, numbers as a table, and what lies on the objects where that is known. Throws kUsage when an image has another size than the film says.
std::string html(const FilmReport& report);

/// 8-bit RGB, rows from the top.
struct Raster {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  // [height,width,3]
};

/// The strip as pixels: the input, then every canvas, in rows of at most 11, each enlarged to about 112 pixels a side. Read
/// windows are solid blue, write windows dashed vermilion; a line is as thick as the filters are wide (σ/2, as in the paper a
/// thicker line is a coarser window). Grey images are ink on paper: 0 is white.
Raster film_strip(const Film& film);
/// One step of it, all of one size, for animations: the input with the read window beside the canvas with the write window.
Raster film_frame(const Film& film, std::size_t step);

}  // namespace attend::viz
