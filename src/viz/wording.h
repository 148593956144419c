#pragma once
#include <string>

#include "attend/viz/report.h"

namespace attend::viz {

/// "Shuffled words agree at least this well in 12 of 100 trials, so …", with a space behind.
std::string chance_in_words(const Agreement& agreement);

/// What the verdicts kDisagree to kWell say, in the words of one kind of answer.
struct ComparedWords {
  std::string disagree;  // lead: "Attention and what the output needed disagree"
  std::string with;      // lead: "Attention agrees weakly with …"
  std::string least;   // why, where they disagree: "The words looked at most are rather those …"
  std::string look;    // how to read the shading then
  std::string before;  // in front of every why; may be empty
};
VerdictText compared_text(Verdict verdict, const Agreement& agreement, const ComparedWords& words);

}  // namespace attend::viz
