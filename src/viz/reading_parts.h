#pragma once
#include <string>

#include "attend/viz/reading.h"

namespace attend::viz {

/// Throws kUsage naming the first list or matrix that does not fit the tokens.
void check_reading(const Reading& reading);

/// White space is shown where it is a token of its own: "␣", "↵", "⇥".
std::string token_text(const std::string& token);

/// A text while one of its tokens is read.
struct ReadSoFar {
  const std::vector<std::string>& tokens;
  const std::vector<double>* weights;  // one a token, NaN where it may not look; null: not shaded
  std::size_t read = 0;
  bool characters = false;
};

/// The text up to that token on at most `width` columns, each token on its shade and the one being read in brackets; what does not
/// fit is left out at its beginning.
std::string shaded_row(const ReadSoFar& text, int width, const TerminalOptions& options);

/// Throws kUsage where self-attention is not a square over the sentence's words.
void check_maps(const Sentence& sentence);

}  // namespace attend::viz
