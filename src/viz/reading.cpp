#include "attend/viz/reading.h"

#include <cmath>

#include "attend/base/error.h"
#include "viz/reading_parts.h"
#include "viz/wording.h"

namespace attend::viz {
namespace {

void check_square(const Reading& r, const std::vector<std::vector<double>>& matrix,
                  const char* what) {
  const std::size_t n = r.tokens.size();
  bool square = matrix.empty() || matrix.size() == n;
  for (const auto& row : matrix) square = square && row.size() == n;
  if (square) return;
  const std::string side = std::to_string(n);
  fail_usage("attend::viz: reading " + std::to_string(r.id) + " has " + side + " tokens but " +
             what + " that are not " + side + " × " + side);
}

void check_one_a_token(const Reading& r, std::size_t values, const char* what) {
  if (values == 0 || values == r.tokens.size()) return;
  fail_usage("attend::viz: reading " + std::to_string(r.id) + " has " +
             std::to_string(r.tokens.size()) + " tokens but " + std::to_string(values) +
             " values of " + what + "; give one a token, or none");
}

VerdictText compared_reading(const Reading& r) {
  std::string same;
  if (r.compared > 0)
    same = "At " + std::to_string(r.same_token) + " of " + std::to_string(r.compared) +
           " tokens the one looked at most is also the one whose deletion costs the next guess "
           "most. ";
  if (!r.weights.empty() && std::isnan(r.weights.back().back()))
    same += "The token being read, which this attention cannot look at, is left out of that. ";
  return compared_text(
      r.verdict, r.attention_leave_one_out,
      {"Attention and what the guesses needed disagree", "what the guesses needed",
       "The tokens looked at most are rather those whose deletion matters least. ",
       "Read the shading as where the model looked, not as why it guessed so.", same});
}

}  // namespace

void check_reading(const Reading& r) {
  check_square(r, r.weights, "weights");
  check_square(r, r.effects, "effects");
  for (const AttentionMap& map : r.maps) check_square(r, map.weights, "weights of a map");
  check_one_a_token(r, r.log_probabilities.size(), "log_probabilities");
  check_one_a_token(r, r.guesses.size(), "guesses");
  check_one_a_token(r, r.guess_log_probabilities.size(), "guess_log_probabilities");
  check_one_a_token(r, r.leave_one_out.size(), "leave_one_out");
}

std::string token_text(const std::string& token) {
  if (token == " ") return "␣";
  if (token == "\n") return "↵";
  return token == "\t" ? "⇥" : safe(token);
}

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

}  // namespace attend::viz
