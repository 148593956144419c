#include <algorithm>
#include <cmath>
#include <numeric>

#include "attend/viz/report.h"
#include "viz/text.h"
#include "viz/wording.h"

namespace attend::viz {
namespace {

// "0.8": accuracies are compared in points of a hundred, and there a leading zero reads better.
std::string points(double share) {
  const double tenths = std::round(std::abs(share) * 1000);
  return std::to_string(static_cast<long>(tenths) / 10) + "." +
         std::to_string(static_cast<long>(tenths) % 10);
}
std::string signed_points(double share) { return (share < 0 ? "−" : "+") + points(share); }

double mean(const std::vector<double>& v) {
  return v.empty() ? kMissing
                   : std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

std::string thousands(std::int64_t n) {
  std::string s = std::to_string(n);
  for (std::size_t at = s.size(); at > 3; at -= 3) s.insert(at - 3, 1, ',');
  return s;
}

// How sure one accuracy is, given the number of test sentences.
std::string doubt(const SentimentReport& r, double accuracy) {
  if (r.test_size <= 0) return "";
  const double half =
      1.96 * std::sqrt(accuracy * (1 - accuracy) / static_cast<double>(r.test_size));
  return "All runs are judged on the same " + thousands(r.test_size) +
         " sentences, on which one accuracy alone is " + "uncertain by ±" + points(half) +
         " points";
}

VerdictText compared(const Sentence& s) {
  return compared_text(
      s.verdict, s.attention_leave_one_out,
      {"Attention and effect on the answer disagree", "what changes the answer",
       "The words looked at most are rather those whose deletion changes the answer least. ",
       "Read the shading as where the model looked, not as why it answered.", ""});
}

std::string in_words(const std::string& name) { return name.empty() ? "The second model" : name; }

}  // namespace

std::string chance_in_words(const Agreement& a) {
  const long trials = std::lround(100 * a.chance);
  const bool chance = a.chance > .05;
  return "Shuffled words agree at least this well in " +
         (a.chance < .01 ? std::string("fewer than 1") : std::to_string(trials)) +
         " of 100 trials, so " +
         (chance ? "chance alone could explain it. " : "it is more than chance. ");
}

VerdictText compared_text(Verdict verdict, const Agreement& agreement, const ComparedWords& w) {
  const std::string why = w.before + chance_in_words(agreement);
  switch (verdict) {
    case Verdict::kDisagree:
      return {w.disagree, w.before + w.least + w.look};
    case Verdict::kWeak:
      return {"Attention agrees weakly with " + w.with, why + w.look};
    case Verdict::kInPart:
      return {"Attention agrees in part with " + w.with, why + w.look};
    default:
      return {"Attention agrees well with " + w.with,
              why + "Here the shading is a fair guide to what mattered."};
  }
}

VerdictText verdict_text(const Sentence& s) {
  switch (s.verdict) {
    case Verdict::kNoAttention:
      return {"No attention to judge",
              !s.attention.empty() ? "No word that the model read could carry a weight."
              : s.maps.empty()
                  ? "This model has no attention, so no word carries a weight. Leave-one-out and "
                    "gradient × input need none: read those."
                  : "Its words look at each other in every layer and head; none of these maps is "
                    "its reason, and no word carries one weight. Leave-one-out and gradient × "
                    "input need none: read those."};
    case Verdict::kOneWord:
      if (s.attention_on_padding > 0)
        return {"One word: nothing to choose from",
                "The model could only choose between this word (" + dec(largest_of(s.attention)) +
                    ") and padding (" + dec(s.attention_on_padding) +
                    "). Attention says nothing here."};
      return {"One word: nothing to choose from",
              "With one word its weight is 1 by definition. Attention says nothing here."};
    case Verdict::kAllEqual: {
      double least = 1;
      for (const double w : s.attention) least = std::min(least, std::isnan(w) ? 1.0 : w);
      const auto n = std::count_if(s.attention.begin(), s.attention.end(),
                                   [](double w) { return !std::isnan(w); });
      return {"All weights are nearly equal",
              "The " + std::to_string(n) + " words get " + dec(least, 3) + " to " +
                  dec(largest_of(s.attention), 3) +
                  " each. The model did not choose; do not read the shading as a reason."};
    }
    case Verdict::kFewWords:
      return {"Too few words to compare",
              "Rank agreement needs at least five words. Read the bars one by one."};
    case Verdict::kNoEffect:
      return {"No single word changes the answer",
              "Deleting any one word leaves the probability where it was, so there is no effect to "
              "compare attention with."};
    default:
      return compared(s);
  }
}

ComparisonText comparison_text(const SentimentReport& r) {
  if (r.models.size() < 2) return {};
  const auto &first = r.models.front(), &last = r.models.back();
  const std::size_t seeds = std::min(first.accuracies.size(), last.accuracies.size());
  ComparisonText t;
  t.title =
      (r.models.size() == 2 ? "Two models, " : std::to_string(r.models.size()) + " models, ") +
      std::to_string(seeds) + (seeds == 1 ? " seed each" : " seeds each");
  const double d = std::isnan(r.difference.value) ? mean(last.accuracies) - mean(first.accuracies)
                                                  : r.difference.value;
  const std::string doubts = doubt(r, mean(last.accuracies));
  if (seeds < 2 || std::isnan(r.difference.low)) {
    t.lead = "One run of each cannot tell them apart.";
    t.why = in_words(last.name) + " differs by " + signed_points(d) +
            " points. Train more seeds to see how much of that is luck." +
            (doubts.empty() ? "" : " " + doubts + ".");
    return t;
  }
  const std::string range =
      signed_points(r.difference.low) + " to " + signed_points(r.difference.high);
  if (r.difference.low <= 0 && r.difference.high >= 0) {
    t.lead = std::to_string(seeds) + " seeds do not tell " +
             (r.models.size() == 2 ? "them" : "the first and the last") + " apart.";
    t.why = in_words(last.name) + " is " + points(d) + " points " + (d < 0 ? "worse" : "better") +
            " on average; the 95 % interval of the paired difference, " + range + ", holds zero.";
  } else {
    t.lead = in_words(last.name) + " is " + (d < 0 ? "worse" : "better") + " here, by " +
             points(d) + " points.";
    t.why = "The 95 % interval of the paired difference is " + range +
            ": it speaks of the seeds, not of other sentences.";
  }
  if (!doubts.empty())
    t.why += " " + doubts + ": other sentences could " +
             (std::abs(d) < .03 ? "turn a small difference round." : "change the difference.");
  return t;
}

VerdictText overall_text(const SentimentReport& r) {
  std::int64_t flat = 0, judged = 0;  // one word alone cannot be flat
  for (const auto& s : r.sentences) {
    flat += s.verdict == Verdict::kAllEqual;
    judged += s.verdict != Verdict::kNoAttention && s.verdict != Verdict::kOneWord;
  }
  if (2 * flat <= judged) return {};
  VerdictText t;
  t.lead = "In " + thousands(flat) + " of " + thousands(judged) +
           " sentences the attention chose nothing";
  t.why = "Their weights are nearly equal, so the words are hardly shaded. ";
  if (!std::isnan(r.accuracy.value) && !std::isnan(r.uniform_accuracy.value))
    t.why += "With the learned weights the accuracy is " + points(r.accuracy.value) +
             " %, with attention held equal " + points(r.uniform_accuracy.value) + " %. ";
  t.why += "What changed the answers: the lines under the words, and the columns beside attention.";
  return t;
}

}  // namespace attend::viz
