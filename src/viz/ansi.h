#pragma once
#include <cstdint>
#include <string>

#include "attend/viz/terminal.h"

/// Pieces of a terminal view. Widths are columns of the terminal, not bytes.
namespace attend::viz {

/// The sequence that sets a colour; layer 38: text, 48: ground.
std::string colour_code(std::uint32_t rgb, Colour colour, int layer);
/// `text` under an SGR code ("1" bold, "2" dim), where there is colour.
std::string styled(const std::string& text, const char* code, Colour colour);
/// `text` on the ground of a step 0…10 of the ramp; step 0 has none. For terminals with colour.
std::string on_shade(const std::string& text, int step, const TerminalOptions& options);
/// The same step without colour: "" for 0, then "▁" … "█".
const char* block_of(int step);
/// Filled up with spaces to `width` columns, behind or (left) before.
std::string pad(const std::string& text, int width, bool left = false);
/// Cut to `width` columns, the last of them "…" where something is missing.
std::string cut_to(const std::string& text, int width);
/// Lines of at most `width` columns, broken at spaces; ends with a line break.
std::string wrapped(const std::string& text, int width);
/// What is to be said of attention: the lead, with τ where the verdict compares, and why, broken into lines.
std::string verdict_lines(const VerdictText& text, Verdict verdict, const Agreement& agreement,
                          const TerminalOptions& options);
/// A bar of `width` columns in eighths of a column.
std::string bar(double share, int width);

}  // namespace attend::viz
