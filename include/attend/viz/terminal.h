#pragma once
#include <string>
#include <vector>

#include "attend/viz/report.h"

namespace attend::viz {

/// What the terminal can show. The caller decides (NO_COLOR, CLICOLOR_FORCE, TERM=dumb, COLORTERM,
/// is it a terminal).
enum class Colour { kNone, k256, kTrue };

struct TerminalOptions {
  Colour colour = Colour::kNone;
  bool dark = true;  // shades run from the terminal's background: pale on dark, deep on light
  int width = 80;    // columns
  int top = 8;       // rows of the table: the words with the most attention or effect
};

/// Text that is safe to print: control characters (also ESC and C1), bidirectional controls and
/// invalid UTF-8 become visible
/// ("␛", "⟨U+202E⟩", "�"), so that no input can move the cursor, recolour or reorder the line.
std::string safe(const std::string& text);

/// The words shaded by weight (step = round(10 · weight / largest), as in the page). Without colour
/// each word carries a bar "▁"…"█" instead. Words that the model did not see stand in parentheses.
/// Ends with a line break.
std::string shaded_words(const Sentence& sentence, const TerminalOptions& options = {});

/// The whole terminal view of one sentence: shaded words, answer, verdict, and a table of the
/// strongest words with attention bars, leave-one-out, gradient × input and the probability without
/// the word.
std::string terminal(const Sentence& sentence, const std::vector<std::string>& label_names,
                     const TerminalOptions& options = {});

}  // namespace attend::viz
