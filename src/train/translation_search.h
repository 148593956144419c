#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "attend/decode/search.h"
#include "attend/models/translator.h"
#include "attend/train/metrics.h"
#include "attend/train/recipe.h"

namespace attend::train {

/// The best hypothesis for each source, in batches of like length, in order; an empty source gives an empty one.
std::vector<decode::Hypothesis> search(models::Translator& translator,
                                       const std::vector<std::vector<std::int64_t>>& sources,
                                       const Recipe::Decode& how);

struct TranslationScores {
  Metrics metrics;     // bleu, chrf, exact_match
  SegmentScores bleu;  // what metrics' bleu is the corpus score of
};
/// Of translations against one reference each.
TranslationScores translation_scores(const std::vector<std::string>& translations,
                                     const std::vector<std::string>& references);

}  // namespace attend::train
