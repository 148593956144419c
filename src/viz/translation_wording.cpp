#include <cmath>

#include "attend/viz/translation.h"
#include "viz/text.h"
#include "viz/wording.h"

namespace attend::viz {
namespace {

std::string rows_that_agree(const Translation& t) {
  if (t.compared == 0) return "";
  return "For " + std::to_string(t.same_token) + " of " + std::to_string(t.compared) +
         " output words the source word looked at most is also the one whose deletion costs them "
         "most. ";
}

VerdictText compared_translation(const Translation& t) {
  return compared_text(
      t.verdict, t.attention_leave_one_out,
      {"Attention and what the output needed disagree", "what the output needed",
       "The source words looked at most are rather those whose deletion matters least. ",
       "Read the shading as where the model looked, not as why it wrote the word.",
       rows_that_agree(t)});
}

}  // namespace

VerdictText verdict_text(const Translation& t) {
  switch (t.verdict) {
    case Verdict::kNoAttention:
      return {"No attention to judge",
              "This model has no attention, so no pair of words carries a weight. Leave-one-out "
              "needs none: read that."};
    case Verdict::kOneWord:
      return {"One source word: nothing to choose from",
              "With one word its weight is 1 by definition. Attention says nothing here."};
    case Verdict::kAllEqual:
      return {"All weights are nearly equal",
              "Every output word looks at the " + std::to_string(t.source.size()) +
                  " source words almost alike. The model did not choose; do not read the shading "
                  "as a reason."};
    case Verdict::kFewWords:
      return {"Too few source words to compare",
              rows_that_agree(t) + "Rank agreement needs at least five. Read the bars one by one."};
    case Verdict::kNoEffect:
      return {"No single source word changes the output",
              "Deleting any one of them leaves the probability where it was, so there is no effect "
              "to compare attention with."};
    default:
      return compared_translation(t);
  }
}

}  // namespace attend::viz
