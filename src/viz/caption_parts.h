#pragma once
#include <cstddef>
#include <vector>

#include "attend/viz/caption.h"

/// What page, picture and terminal view of a caption share.
namespace attend::viz {

enum class Aim {
  kNothing,
  kInside,
  kOutside
};  // the word names nothing known; its map is largest in or outside the box

Aim aim_of(const CaptionPicture& caption, const CaptionWord& word);
double bits_of(const std::vector<double>& map);             // entropy
std::size_t largest_place(const std::vector<double>& map);  // the first of equals
/// Throws kUsage when a map has another size than side · side.
void check_caption(const CaptionPicture& caption);

}  // namespace attend::viz
