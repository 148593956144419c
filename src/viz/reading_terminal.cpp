#include "attend/viz/reading.h"

#include <algorithm>
#include <cmath>

#include "attend/base/error.h"
#include "viz/ansi.h"
#include "viz/text.h"
#include "viz/wording.h"

namespace attend::viz {
namespace {

constexpr int kTokenMost = 16, kNumberColumns = 7, kMostRows = 40;

void check_reading(const Reading& r) {
  const std::size_t n = r.tokens.size();
  for (const auto* matrix : {&r.weights, &r.effects}) {
    bool square = matrix->empty() || matrix->size() == n;
    for (const auto& row : *matrix) square = square && row.size() == n;
    if (!square)
      fail_usage("attend::viz: a matrix of a reading is not " + std::to_string(n) + " × " +
                 std::to_string(n) + ", as its tokens are");
  }
}

/// White space is shown where it is a token of its own.
std::string token_text(const std::string& token) { return token == " " ? "␣" : safe(token); }

/// The place of the largest number before `end`; −1 where there is none above 0.
int strongest_of(const std::vector<double>& row, std::size_t end) {
  int best = -1;
  for (std::size_t i = 0; i < end; ++i)
    if (row[i] > 0 && (best < 0 || row[i] > row[static_cast<std::size_t>(best)]))
      best = static_cast<int>(i);
  return best;
}

/// The text up to token t on at most `width` columns, each token on its shade.
std::string shaded_row(const Reading& r, std::size_t t, int width, const TerminalOptions& o) {
  const double full = r.weights.empty() ? 0 : largest_of(r.weights[t]);
  const std::string between = r.characters ? "" : " ";
  std::string out;
  int used = 0;
  for (std::size_t i = t + 1; i-- > 0;) {
    std::string text = token_text(r.tokens[i]);
    const int step =
        r.weights.empty() || std::isnan(r.weights[t][i]) ? 0 : shade(r.weights[t][i], full);
    if (i == t) text = "[" + text + "]";
    if (o.colour == Colour::kNone) text += block_of(step);
    const int columns_of = columns(text) + static_cast<int>(between.size());
    if (i < t && used + columns_of > width - 2) return "… " + out;
    used += columns_of;
    if (i == t)
      text = styled(text, "1", o.colour);
    else if (o.colour != Colour::kNone)
      text = on_shade(text, step, o);
    out = text + (out.empty() ? "" : between) + out;
  }
  return out;
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
           pad(dec(std::exp(r.log_probabilities.at(t))), kNumberColumns + 2, true) + "  " +
           named(r, r.weights, t, false) + "  " + named(r, r.effects, t, true) + "\n";
  if (n > rows)
    out += styled(std::to_string(n - rows) + " tokens before not listed", "2", o.colour) + "\n";
  return out;
}

VerdictText compared_reading(const Reading& r) {
  std::string same;
  if (r.compared > 0)
    same = "At " + std::to_string(r.same_token) + " of " + std::to_string(r.compared) +
           " tokens the one looked at most is also the one whose deletion costs the next guess "
           "most. ";
  return compared_text(
      r.verdict, r.attention_leave_one_out,
      {"Attention and what the guesses needed disagree", "what the guesses needed",
       "The tokens looked at most are rather those whose deletion matters least. ",
       "Read the shading as where the model looked, not as why it guessed so.", same});
}

}  // namespace

VerdictText verdict_text(const Reading& r) {
  switch (r.verdict) {
    case Verdict::kNoAttention:
      return {"No attention to judge",
              "This model has no attention: its rows carry no shades. Leave-one-out needs none: "
              "read that."};
    case Verdict::kOneWord:
      return {"One token to look back on: nothing to choose from",
              "With one token its weight says nothing."};
    case Verdict::kAllEqual:
      return {
          "All weights are nearly equal",
          "Every token looks back on those before it almost alike. The model did not choose; do "
          "not read the shading as a reason."};
    case Verdict::kFewWords:
      return {"Too few tokens to compare",
              "Rank agreement needs at least five to look back on. Read the rows one by one."};
    case Verdict::kNoEffect:
      return {"No single token changes the next guess",
              "Deleting any one of them leaves the probability where it was, so there is no effect "
              "to compare attention with."};
    default:
      return compared_reading(r);
  }
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
  for (std::size_t t = first; t < n; ++t) out += shaded_row(r, t, o.width, o) + "\n";
  return out + "\n" + verdict_lines(verdict_text(r), r.verdict, r.attention_leave_one_out, o) +
         "\n" + reading_table(r, o);
}

}  // namespace attend::viz
