#include "attend/viz/terminal.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "attend/base/error.h"
#include "viz/ansi.h"
#include "viz/palette.h"
#include "viz/reading_parts.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

bool is_bidi_control(char32_t c) {
  return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069);
}

double full_shade(const Sentence& s) {
  return s.verdict == Verdict::kAllEqual ? 1.0 : largest_of(s.attention);
}

// One word as it stands in the line, without colour, and how many columns it takes.
struct Piece {
  std::string text;
  int step = -1;  // −1: no weight
};

Piece piece(const Sentence& s, std::size_t i, Colour colour) {
  const auto& w = s.words[i];
  Piece p{safe(w.text)};
  if (w.state == WordState::kDropped || w.state == WordState::kCut)
    return p.text = "(" + p.text + ")", p;
  if (i < s.attention.size() && !std::isnan(s.attention[i])) {
    p.step = shade(s.attention[i], full_shade(s));
    if (colour == Colour::kNone) p.text += block_of(p.step);
  }
  return p;
}

std::string painted(const Piece& p, const TerminalOptions& o) {
  if (o.colour == Colour::kNone || p.step < 0) return p.text;
  return on_shade(" " + p.text + " ", p.step, o);
}

double value(const std::vector<double>& v, std::size_t i) { return i < v.size() ? v[i] : kMissing; }

std::vector<std::size_t> strongest(const Sentence& s, int top) {
  double most = 0;
  for (const double v : s.leave_one_out) most = std::isnan(v) ? most : std::max(most, std::abs(v));
  // Equal weights would fill the table with whatever stands first: then the effect alone decides.
  const double peak = s.verdict == Verdict::kAllEqual ? 0 : largest_of(s.attention);
  const auto share = [](double v, double of) {
    return std::isnan(v) || of <= 0 ? 0.0 : std::abs(v) / of;
  };
  std::vector<double> strength(s.words.size());
  std::vector<std::size_t> index;
  for (std::size_t i = 0; i < s.words.size(); ++i) {
    strength[i] =
        std::max(share(value(s.attention, i), peak), share(value(s.leave_one_out, i), most));
    if (s.words[i].state == WordState::kSeen || s.words[i].state == WordState::kUnknown)
      index.push_back(i);
  }
  std::stable_sort(index.begin(), index.end(),
                   [&](std::size_t a, std::size_t b) { return strength[a] > strength[b]; });
  if (static_cast<int>(index.size()) > top)
    index.resize(static_cast<std::size_t>(std::max(0, top)));
  return index;
}

/// The mean of all maps in the row of word t, at these places.
std::vector<double> mean_row(const std::vector<AttentionMap>& maps, std::size_t t,
                             const std::vector<std::size_t>& places) {
  std::vector<double> out(places.size(), 0);
  for (const AttentionMap& map : maps)
    for (std::size_t i = 0; i < places.size(); ++i)
      out[i] += map.weights[t][places[i]] / static_cast<double>(maps.size());
  return out;
}

/// Of a model that looks back, a row for each word that was read over the words before it; where words see each other, where to
/// find their many maps.
std::string looks(const Sentence& s, const TerminalOptions& o) {
  if (s.maps.empty()) return "";
  check_maps(s);
  std::vector<std::string> tokens;
  std::vector<std::size_t> places;
  bool looks_back = true;
  for (std::size_t i = 0; i < s.words.size(); ++i) {
    if (s.words[i].state == WordState::kDropped || s.words[i].state == WordState::kCut) continue;
    tokens.push_back(s.words[i].text), places.push_back(i);
    looks_back = looks_back && std::isnan(s.maps.front().weights[i][i]);
  }
  if (!looks_back)
    return "\n" + wrapped("Its words look at each other in " + std::to_string(s.maps.size()) +
                              " maps, one a layer and head: --html draws them, --json lists them.",
                          o.width);
  std::string out = "\n" + styled("what it looked back on at each word", "2", o.colour) + "\n";
  for (std::size_t t = 0; t < places.size(); ++t) {
    const std::vector<double> weights = mean_row(s.maps, places[t], places);
    out += shaded_row({tokens, &weights, t}, o.width, o) + "\n";
  }
  return out;
}

std::string table(const Sentence& s, const std::string& answer, const TerminalOptions& o) {
  const std::vector<std::size_t> rows = strongest(s, o.top);
  if (rows.empty()) return "";
  const int bar_width = std::clamp(o.width - 62, 8, 24), word_width = 16;
  const double peak = largest_of(s.attention);
  std::string out = styled(pad("word", word_width) + "  " + pad("attention", bar_width + 6) +
                               "  leave-one-out  gradient×input  P(" + safe(answer) + ") without",
                           "2", o.colour) +
                    "\n";
  for (const std::size_t i : rows) {
    const double w = value(s.attention, i), q = value(s.what_if, i);
    std::string ink = bar(std::isnan(w) || peak <= 0 ? 0 : w / peak, bar_width);
    const int used = columns(ink);
    if (o.colour != Colour::kNone && !ink.empty())
      ink = colour_code(o.dark ? kRampDark[9] : kLook, o.colour, 38) + ink + "\x1b[0m";
    const bool flips =
        i < s.what_if_label.size() && !std::isnan(q) && s.what_if_label[i] != s.predicted;
    out += pad(cut_to(safe(s.words[i].text), word_width), word_width) + "  " + ink +
           std::string(static_cast<std::size_t>(bar_width - used), ' ') +
           pad(dec(w, peak < .1 ? 3 : 2), 6, true) +
           pad(signed_dec(value(s.leave_one_out, i)), 15, true) +
           pad(signed_dec(value(s.gradient_x_input, i)), 16, true) + pad(dec(q), 10, true) +
           (flips ? "  " + styled("✗ flips", "33", o.colour) : "") + "\n";
  }
  const auto seen = std::count_if(s.words.begin(), s.words.end(), [](const Word& w) {
    return w.state == WordState::kSeen || w.state == WordState::kUnknown;
  });
  if (seen > static_cast<std::ptrdiff_t>(rows.size()))
    out += styled(std::to_string(seen - static_cast<std::ptrdiff_t>(rows.size())) +
                      " quieter words not listed",
                  "2", o.colour) +
           "\n";
  return out;
}

}  // namespace

std::string safe(const std::string& text) {
  std::string out;
  for (const char32_t c : decode(text)) {
    char code[24];
    if (c < 0x20)
      append(out, 0x2400 + c);  // ␀ … ␟, ESC is ␛
    else if (c == 0x7F)
      append(out, 0x2421);  // ␡
    else if ((c >= 0x80 && c < 0xA0) || is_bidi_control(c) || c == 0x2028 || c == 0x2029) {
      std::snprintf(code, sizeof code, "⟨U+%04X⟩", static_cast<unsigned>(c));
      out += code;
    } else
      append(out, c);
  }
  return out;
}

std::string shaded_words(const Sentence& s, const TerminalOptions& o) {
  std::string out;
  int column = 0;
  for (std::size_t i = 0; i < s.words.size(); ++i) {
    const Piece p = piece(s, i, o.colour);
    const int width = columns(p.text) + (o.colour != Colour::kNone && p.step >= 0 ? 2 : 1);
    if (column > 0 && column + width > o.width) out += "\n", column = 0;
    out += painted(p, o);
    if (o.colour == Colour::kNone || p.step < 0) out += " ";
    column += width;
  }
  return out + "\n";
}

std::string terminal(const Sentence& s, const std::vector<std::string>& label_names,
                     const TerminalOptions& o) {
  const auto label = [&](std::int64_t i) {
    return i >= 0 && i < static_cast<std::int64_t>(label_names.size())
               ? label_names[static_cast<std::size_t>(i)]
               : std::to_string(i);
  };
  const std::string answer = label(s.predicted);
  std::string out = shaded_words(s, o);
  out += styled(safe(answer) + " " + dec(s.probability), "1", o.colour);
  if (s.label >= 0)
    out += s.label == s.predicted
               ? "  ✓ right"
               : "  " + styled("✗ wrong: the data say " + safe(label(s.label)), "33", o.colour);
  const auto n = std::count_if(s.words.begin(), s.words.end(), [](const Word& w) {
    return w.state == WordState::kDropped || w.state == WordState::kCut;
  });
  if (n > 0) out += styled("  (in parentheses: not read by the model)", "2", o.colour);
  out += "\n";
  out += "\n" + verdict_lines(verdict_text(s), s.verdict, s.attention_leave_one_out, o);
  if (s.attention_on_padding > 0)
    out += dec(100 * s.attention_on_padding, 0) + " % of the attention fell on padding.\n";
  return out + "\n" + table(s, answer, o) + looks(s, o);
}

}  // namespace attend::viz
