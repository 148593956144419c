#include <algorithm>
#include <cmath>
#include <numeric>

#include "attend/viz/translation.h"
#include "viz/ansi.h"
#include "viz/palette.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

constexpr int kLabelMost = 16, kCellLeast = 5;

double full_weight(const Translation& t) {
  double most = 0;
  for (const auto& row : t.weights) most = std::max(most, largest_of(row));
  return t.verdict == Verdict::kAllEqual ? 1.0 : most;
}

/// " .93", on its shade or behind a block as high; "·" where nothing would show.
std::string cell(double weight, double full, int width, const TerminalOptions& o) {
  const int step = shade(weight, full);
  const std::string number = step == 0 ? "·" : dec(weight);
  if (o.colour == Colour::kNone) return pad(block_of(step) + number, width, true) + " ";
  return on_shade(pad(number, width, true) + " ", step, o);
}

int label_width(const Translation& t) {
  int width = 0;
  for (const std::string& token : t.target) width = std::max(width, columns(safe(token)));
  return std::min(width, kLabelMost);
}

/// Columns `first` to `last` of the grid under their source tokens.
std::string block(const Translation& t, std::size_t first, std::size_t last,
                  const std::vector<int>& widths, const TerminalOptions& o) {
  const int label = label_width(t);
  std::string out(static_cast<std::size_t>(label) + 1, ' ');
  for (std::size_t s = first; s < last; ++s)
    out += styled(pad(cut_to(safe(t.source[s]), widths[s]), widths[s], true), "1", o.colour) + " ";
  out += "\n";
  const double full = full_weight(t);
  for (std::size_t i = 0; i < t.target.size(); ++i) {
    out += styled(pad(cut_to(safe(t.target[i]), label), label, true), "1", o.colour) + " ";
    for (std::size_t s = first; s < last; ++s) out += cell(t.weights[i][s], full, widths[s], o);
    out += "\n";
  }
  return out;
}

std::string grid(const Translation& t, const TerminalOptions& o) {
  std::vector<int> widths;
  for (const std::string& token : t.source)
    widths.push_back(std::clamp(columns(safe(token)), kCellLeast, kLabelMost));
  std::string out;
  for (std::size_t first = 0; first < widths.size();) {
    std::size_t last = first;
    for (int used = label_width(t) + 1; last < widths.size(); ++last) {
      used += widths[last] + 1;
      if (used > o.width && last > first) break;
    }
    out += (first == 0 ? "" : "\n") + block(t, first, last, widths, o);
    first = last;
  }
  return out;
}

std::string pairs(const Translation& t, int width) {
  std::string out;
  for (const auto& [s, i] : t.alignment)
    out += (out.empty() ? "" : "  ") + safe(t.source.at(static_cast<std::size_t>(s))) + "→" +
           safe(t.target.at(static_cast<std::size_t>(i)));
  return out.empty() ? "" : wrapped("word pairs: " + out, width);
}

/// Source tokens in order, or the strongest of a long sentence.
std::vector<std::size_t> listed(const Translation& t, int most) {
  std::vector<std::size_t> places(t.source.size());
  std::iota(places.begin(), places.end(), std::size_t{0});
  if (static_cast<int>(places.size()) <= most || t.leave_one_out.empty()) return places;
  std::stable_sort(places.begin(), places.end(), [&](std::size_t a, std::size_t b) {
    return std::abs(t.leave_one_out[a]) > std::abs(t.leave_one_out[b]);
  });
  places.resize(static_cast<std::size_t>(most));
  std::sort(places.begin(), places.end());
  return places;
}

std::string table(const Translation& t, const TerminalOptions& o) {
  const int bar_width = std::clamp(o.width - 54, 8, 24);
  const double peak = largest_of(t.attention);
  std::string out = styled(pad("source word", kLabelMost) + "  " +
                               pad("attention, summed", bar_width + 10) + "leave-one-out, nats",
                           "2", o.colour) +
                    "\n";
  const auto places = listed(t, 2 * o.top);
  for (const std::size_t s : places) {
    const double w = s < t.attention.size() ? t.attention[s] : kMissing;
    std::string ink = bar(std::isnan(w) || peak <= 0 ? 0 : w / peak, bar_width);
    const int used = columns(ink);
    if (o.colour != Colour::kNone && !ink.empty())
      ink = colour_code(o.dark ? kRampDark[9] : kLook, o.colour, 38) + ink + "\x1b[0m";
    out += pad(cut_to(safe(t.source[s]), kLabelMost), kLabelMost) + "  " + ink +
           std::string(static_cast<std::size_t>(bar_width - used), ' ') + pad(dec(w), 6, true) +
           pad(signed_dec(s < t.leave_one_out.size() ? t.leave_one_out[s] : kMissing), 23, true) +
           "\n";
  }
  if (places.size() < t.source.size())
    out += styled(std::to_string(t.source.size() - places.size()) +
                      " source words with less effect not listed",
                  "2", o.colour) +
           "\n";
  return out;
}

}  // namespace

std::string terminal(const Translation& t, const TerminalOptions& o) {
  std::string out = styled(safe(t.text), "1", o.colour) +
                    (std::isnan(t.score) ? "" : "  (score " + dec(t.score) + ")") + "\n";
  if (!t.reference.empty())
    out += t.reference == t.text
               ? "✓ as in the data\n"
               : styled("the data say: " + safe(t.reference), "33", o.colour) + "\n";
  out += "\n";
  if (!t.weights.empty()) out += grid(t, o) + "\n" + pairs(t, o.width) + "\n";
  return out + verdict_lines(verdict_text(t), t.verdict, t.attention_leave_one_out, o) + "\n" +
         table(t, o);
}

}  // namespace attend::viz
