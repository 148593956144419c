#include "attend/viz/reading.h"

#include <algorithm>
#include <cmath>

#include "viz/ansi.h"
#include "viz/reading_parts.h"
#include "viz/text.h"

namespace attend::viz {
namespace {

constexpr int kTokenMost = 16, kNumberColumns = 7, kMostRows = 40;

/// The place of the largest number before `end`; −1 where there is none above 0.
int strongest_of(const std::vector<double>& row, std::size_t end) {
  int best = -1;
  for (std::size_t i = 0; i < end; ++i)
    if (row[i] > 0 && (best < 0 || row[i] > row[static_cast<std::size_t>(best)]))
      best = static_cast<int>(i);
  return best;
}

std::string named(const Reading& r, const std::vector<std::vector<double>>& matrix, std::size_t t,
                  bool with_sign) {
  // A token that can't be looked at, as it is still being read, is no answer to either question.
  const bool itself = !r.weights.empty() && !std::isnan(r.weights[t][t]);
  const int at = matrix.empty() ? -1 : strongest_of(matrix[t], itself ? t + 1 : t);
  if (at < 0) return pad("–", kTokenMost + kNumberColumns);
  const auto place = static_cast<std::size_t>(at);
  const double x = matrix[t][place];
  return pad(cut_to(token_text(r.tokens[place]), kTokenMost), kTokenMost) +
         pad(with_sign ? signed_dec(x) : dec(x), kNumberColumns, true);
}

std::string reading_table(const Reading& r, const TerminalOptions& o) {
  std::string out = styled(pad("token", kTokenMost) + pad("P(token)", kNumberColumns + 2, true) +
                               "  " + pad("looked at most", kTokenMost + kNumberColumns) + "  " +
                               "next guess needed most, nats",
                           "2", o.colour) +
                    "\n";
  const std::size_t n = r.tokens.size(), rows = static_cast<std::size_t>(std::max(1, 2 * o.top));
  for (std::size_t t = n > rows ? n - rows : 0; t < n; ++t)
    out += pad(cut_to(token_text(r.tokens[t]), kTokenMost), kTokenMost) +
           pad(dec(r.log_probabilities.empty() ? kMissing : std::exp(r.log_probabilities[t])),
               kNumberColumns + 2, true) +
           "  " + named(r, r.weights, t, false) + "  " + named(r, r.effects, t, true) + "\n";
  if (n > rows)
    out += styled(std::to_string(n - rows) + " tokens before not listed", "2", o.colour) + "\n";
  return out;
}

}  // namespace

std::string shaded_row(const ReadSoFar& text, int width, const TerminalOptions& o) {
  const double full = text.weights == nullptr ? 0 : largest_of(*text.weights);
  const std::string between = text.characters ? "" : " ";
  std::string out;
  int used = 0;
  for (std::size_t i = text.read + 1; i-- > 0;) {
    std::string token = token_text(text.tokens[i]);
    const double weight = text.weights == nullptr ? kMissing : (*text.weights)[i];
    const int step = std::isnan(weight) ? 0 : shade(weight, full);
    if (i == text.read) token = "[" + token + "]";
    if (o.colour == Colour::kNone) token += block_of(step);
    const int columns_of = columns(token) + static_cast<int>(between.size());
    if (i < text.read && used + columns_of > width - 2) return "… " + out;
    used += columns_of;
    if (i == text.read)
      token = styled(token, "1", o.colour);
    else if (o.colour != Colour::kNone)
      token = on_shade(token, step, o);
    out = token + (out.empty() ? "" : between) + out;
  }
  return out;
}

std::string terminal(const Reading& r, const TerminalOptions& o) {
  check_reading(r);
  std::string out;
  const std::size_t n = r.tokens.size(), most = kMostRows;
  const std::size_t first = n > most ? n - most : 0;
  if (r.cut > 0 || first > 0)
    out +=
        styled((r.cut > 0 ? std::to_string(r.cut) + " tokens in front were not read" : "") +
                   (r.cut > 0 && first > 0 ? "; " : "") +
                   (first > 0 ? "the last " + std::to_string(n - first) + " rows are shown" : ""),
               "2", o.colour) +
        "\n";
  for (std::size_t t = first; t < n; ++t) {
    const std::vector<double>* const weights = r.weights.empty() ? nullptr : &r.weights[t];
    out += shaded_row({r.tokens, weights, t, r.characters}, o.width, o) + "\n";
  }
  return out + "\n" + verdict_lines(verdict_text(r), r.verdict, r.attention_leave_one_out, o) +
         "\n" + reading_table(r, o);
}

}  // namespace attend::viz
