#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "attend/data/catalogue.h"
#include "attend/data/dataset.h"
#include "attend/data/image.h"

namespace attend::data {

/// A rectangle in pixels: columns left…left + width − 1, rows top…top + height − 1.
struct Box {
  std::int64_t left = 0, top = 0, width = 0, height = 0;
  bool operator==(const Box&) const = default;
};

/// The place in the image that a word of a caption names.
struct Region {
  std::int64_t word = 0;  // 0-based, among the white-space tokens
  Box box;
  bool operator==(const Region&) const = default;
};

struct Caption {
  std::string text;             // valid UTF-8, not empty
  std::vector<Region> regions;  // empty when not known
  bool operator==(const Caption&) const = default;
};

/// An image and what is said of it.
struct CaptionedImage {
  std::string name;               // as its captions spell it, for messages
  std::function<Image()> read;    // decodes the file, or draws a generated image; throws as
                                  // read_image does
  std::vector<Caption> captions;  // one or more
};

/// Captioned images from one place. Every caption that was read is one of an image here or is
/// counted in bad_lines; every image in the folder is here or in `without_captions` or
/// `not_files`.
struct CaptionSet {
  std::string name;
  std::vector<CaptionedImage> images;
  std::vector<BadLine> bad_lines;  // not UTF-8, no such image, an empty caption, …; for JSON `line`
                                   // counts the annotations
  std::vector<std::string> without_captions;  // images in the folder of which nothing is said
  std::vector<std::string> not_files;         // named like an image, yet a folder, FIFO or device
};

/// With the parts it came with; validation and test are empty when it has only one.
struct CaptionCorpus {
  CaptionSet train, validation, test;
};

struct CaptionOptions {
  std::string images;  // folder of the images; "": the captions' own, or images/ or Images/ there
  std::size_t max_line_bytes = std::size_t{1} << 20;  // a longer line is refused
  MakeOptions make;                                   // of a generated set
};

/// Captions from one file, by its name:
///   *.json             COCO's form: "images" with id and file_name, "annotations" with image_id and
///                      caption; perhaps "regions": [{"word": 1, "bbox": [left, top, width,
///                      height]}, …] in an annotation
///   *.token, *.token.txt, *Flickr8k*.txt   Flickr8k's: `image.jpg#0 TAB caption`
///   *.csv, *.txt       a header with the columns image and caption, RFC 4180
/// Images are in order of their first caption. No image is opened: its file must be there and be a
/// regular file. A caption whose image is missing, is no regular file or lies outside the folder
/// (an absolute path, "..") is skipped and stands in bad_lines with its reason.
///
/// Throws kIo when the file or folder cannot be read; kBadInput, naming the file and the mend, for
/// an unknown kind of file, JSON that is none or not of this form, an id that occurs twice, a line
/// over max_line_bytes, and when no caption is left. Cost: linear; memory for the text.
CaptionSet load_caption_file(const std::string& path, const CaptionOptions& options = {});

/// Loads by name: a catalogue set (shapes, coco-mini); a file, as above; or a folder. A folder with
/// folders train, validation (or val, dev) and test gives those parts; in any other one, the first
/// of captions.json, captions.csv, captions.txt, captions.token.txt, Flickr8k.token.txt that is there is read.
/// Throws as above, and kBadInput naming the nearest set for an unknown name.
CaptionCorpus load_captions(const std::string& path_or_name, const CaptionOptions& options = {});

/// Generated images of one to three coloured shapes and one caption each, in which the place that
/// every colour and shape word names is known; 80 : 10 : 10. No two images of a set, and so none of
/// two parts, have the same shapes in the same places.
///   "a red circle"                                            anywhere
///   "a red circle above a blue square", "… left of …"         in one column, in one row
///   "a red circle left of a blue square and above a yellow cross"   the first in the row of the
///                                                             second and the column of the third
/// The caption follows from the image alone: what is named first is always the left or upper one.
/// Six colours, four shapes, 3 × 3 places; size, place within its ninth, shade and the grey behind
/// vary. options.size: side of the square image, 24…2048 pixels (0: 64). A pure function of the options;
/// pixels are made by `read`, with integers alone, and take no memory before. Throws kUsage unless
/// 10 ≤ rows ≤ 50,000.
CaptionCorpus make_shapes(const MakeOptions& options = {});

/// "80 images, 400 captions, 4180 words"; and what was left out.
std::string describe_captions(const CaptionSet& set);

/// "2 captions could not be used: a.csv:3: …", "" when none; names at most `most`.
std::string describe_bad_lines(const CaptionSet& set, std::size_t most = 5);

}  // namespace attend::data
