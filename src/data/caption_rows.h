#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "attend/data/captions.h"
#include "data/line_reader.h"

namespace attend::data {

/// A caption as a file has it; whether its image is there has not been looked at.
struct CaptionRow {
  std::string image;
  Caption caption;
  std::int64_t line = 0;  // or the annotation's number
};

struct CaptionTable {
  std::string name;
  std::vector<CaptionRow> rows;
  std::vector<BadLine> bad_lines;
};

/// One reader per form; see load_caption_file.
CaptionTable read_coco(std::string_view json, const std::string& name);
CaptionTable read_flickr_tokens(LineReader& lines);
CaptionTable read_caption_csv(LineReader& lines);

/// Appends the caption with its white space made plain, or says why it is no good.
void add_caption(CaptionTable& table, CaptionRow row);

/// COCO's form of a set, with regions where they are known; `sizes` are of its images.
std::string coco_json(const CaptionSet& set,
                      const std::vector<std::pair<std::int64_t, std::int64_t>>& sizes);

}  // namespace attend::data
