#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attend/viz/report.h"
#include "attend/viz/terminal.h"

/// Pictures of where a captioner looked for each word, from plain arrays. No tensors.
namespace attend::viz {

/// A rectangle in pixels of the image.
struct PixelBox {
  double left = 0, top = 0, width = 0, height = 0;
};

struct CaptionWord {
  std::string text;  // any bytes
  double probability = kMissing;
  double gate = kMissing;       // β: how much of what it saw the model let in
  std::vector<double> map;      // side · side weights, row by row
  std::optional<PixelBox> box;  // of what the word names, where that is known
};

/// An image in memory, as data::Image: 8-bit RGB, rows from the top.
struct Pixels {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> rgb;
};

struct CaptionPicture {
  std::int64_t id =
      0;  // place in the data or on the command line, 1-based; names it in address and file names
  std::string name;                    // of the image
  std::int64_t width = 0, height = 0;  // of the image; boxes are on this scale
  std::string png;                     // the image as the bytes of a PNG file, of any size
  std::int64_t side = 0;               // places of a map in a row and in a column
  std::vector<CaptionWord> words;
  std::string text;                     // the caption as one string
  std::vector<std::string> references;  // what the data say
  double score = kMissing;              // as the search ranked it
  double spread = kMissing;             // how far the maps differ, in bits (train::map_spread)
  double spread_least = 0;              // below it the maps are alike, and the reader is warned
};

struct CaptionReport {
  std::string run, model, model_detail, data, data_detail, trained;  // as in SentimentReport
  bool sample = false;
  std::int64_t seed = 0;
  std::string quality, quality_detail;
  std::vector<CaptionPicture> captions;
};

/// A map of side × side places over an image of width × height pixels, as Xu et al. (2015, §5.4) draw it, up-sampled and smoothed
/// with a Gaussian, here of 1.25 places (20 pixels of their 16): a mean of all weights under that Gaussian around the pixel,
///   out(x, y) = Σ_rc g(u_x − c) g(u_y − r) w_rc / Σ_rc g(u_x − c) g(u_y − r),   u = (pixel + ½) · side / pixels − ½
/// [height · width], row by row. Throws kUsage unless the map has side · side weights. Cost: width · height · side.
std::vector<double> upsampled(const std::vector<double>& map, std::int64_t side, std::int64_t width,
                              std::int64_t height);

/// The image under a veil of paper, clear where the upsampled map is largest and .88 opaque where it is 0.
Pixels veiled(const Pixels& image, const std::vector<double>& map, std::int64_t side);

/// Words that name something (a box is known), and those whose largest weight lies in it, as train::pointed_at and lies_in say.
struct CaptionPointing {
  std::int64_t words = 0, right = 0;
};
CaptionPointing pointing(const CaptionPicture& caption);

/// Whether there is more than one map and they hardly differ, so that the reader is warned.
bool maps_alike(const CaptionPicture& caption);

/// Whether the maps differ, and what follows from it for the reader.
VerdictText verdict_text(const CaptionPicture& caption);

/// One self-contained file: hovering, focusing or pressing a word lights its map over the image. Throws kUsage when a map has
/// another size than side · side. Cost: O(bytes).
std::string html(const CaptionReport& report);

/// The film strip as a stand-alone SVG: the image, then for each word the veiled image that frames[word] holds as the bytes of a
/// PNG file, its word, entropy and mark, and the verdict. Throws kUsage unless there is a frame for each word.
std::string svg(const CaptionPicture& caption, const std::vector<std::string>& frames);
/// The same as the bytes of a PNG file, as png(Sentence).
std::string png(const CaptionPicture& caption, const std::vector<std::string>& frames);

/// The caption, the verdict, and a row for each word: probability, gate, entropy, the place of the largest weight.
std::string terminal(const CaptionPicture& caption, const TerminalOptions& options = {});

}  // namespace attend::viz
