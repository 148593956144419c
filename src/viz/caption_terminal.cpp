#include <algorithm>
#include <cmath>

#include "attend/viz/caption.h"
#include "viz/ansi.h"
#include "viz/caption_parts.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

constexpr int kWordMost = 18, kColumn = 9;

std::string row_of(const CaptionPicture& c, const CaptionWord& word) {
  const auto place = static_cast<std::int64_t>(largest_place(word.map));
  const Aim aim = aim_of(c, word);
  return pad(cut_to(safe(word.text), kWordMost), kWordMost) +
         pad(dec(word.probability), kColumn, true) + pad(dec(word.gate), kColumn, true) +
         pad(dec(bits_of(word.map), 1), kColumn, true) +
         pad(dec(word.map[static_cast<std::size_t>(place)]), kColumn, true) +
         pad(std::to_string(place % c.side + 1) + ", " + std::to_string(place / c.side + 1),
             kColumn + 2, true) +
         (aim == Aim::kInside    ? "  ✓ on what it names"
          : aim == Aim::kOutside ? "  ✗ off what it names"
                                 : "") +
         "\n";
}

}  // namespace

std::string terminal(const CaptionPicture& c, const TerminalOptions& o) {
  check_caption(c);
  std::string out = styled(safe(c.name), "2", o.colour) + "\n" +
                    styled(safe(c.text), "1", o.colour) +
                    (std::isnan(c.score) ? "" : "  (score " + dec(c.score) + ")") + "\n";
  for (const std::string& reference : c.references)
    out += reference == c.text ? "✓ as in the data\n"
                               : styled("the data say: " + safe(reference), "33", o.colour) + "\n";
  const VerdictText v = verdict_text(c);
  out += "\n" + styled(v.lead, "1", o.colour) + "\n" + wrapped(v.why, std::min(o.width, 96)) + "\n";
  const std::string head = pad("word", kWordMost) + pad("P(word)", kColumn, true) +
                           pad("gate", kColumn, true) + pad("bits", kColumn, true) +
                           pad("largest", kColumn, true) + pad("col, row", kColumn + 2, true);
  out += styled(head, "2", o.colour) + "\n";
  for (const CaptionWord& word : c.words) out += row_of(c, word);
  const std::string side = std::to_string(c.side);
  return out +
         styled("Maps of " + side + " × " + side + " places; bits: entropy of the map, at most " +
                    dec(2 * std::log2(static_cast<double>(c.side)), 1) + ".",
                "2", o.colour) +
         "\n";
}

}  // namespace attend::viz
