#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "attend/data/alignment.h"

namespace attend::train {

/// What one segment adds to a corpus score: counts that are summed over segments before the score
/// is taken of the sums.
using SegmentCounts = std::vector<std::int64_t>;

/// Reference translations of one segment, one or more.
using References = std::vector<std::string>;

/// A corpus score as sums and a function of them, so that a bootstrap can resample segments.
struct SegmentScores {
  std::vector<SegmentCounts> segments;
  double (*score)(const SegmentCounts& sums) = nullptr;
  std::string signature;  // sacreBLEU's

  double corpus() const;  // the score of all segments together
};

/// BLEU (Papineni et al. 2002) as sacreBLEU 2.6 computes it by default (Post 2018): tokeniser 13a,
/// case kept, 4-grams, exponential smoothing, 0…100. Hypotheses are plain (detokenised) text.
/// Several references: clipped by the greatest count, the length nearest. Throws kUsage when the
/// numbers of hypotheses and references differ, when there is none, or when segments differ in
/// their number of references; kBadInput for text that is not UTF-8. Cost: linear in the tokens.
SegmentScores bleu(const std::vector<std::string>& hypotheses,
                   const std::vector<References>& references);

/// chrF2 (Popović 2015) as sacreBLEU 2.6 computes it by default: characters without white space,
/// 6-grams, β = 2, effective order, 0…100. Several references: the one that scores best.
SegmentScores chrf(const std::vector<std::string>& hypotheses,
                   const std::vector<References>& references);

/// One reference for each segment, as sacreBLEU's own functions take them.
std::vector<References> single_references(const std::vector<std::string>& texts);

/// sacreBLEU's tokeniser 13a: tokens separated by one space.
std::string tokenize_13a(const std::string& line);

/// Resamples segments with replacement.
struct BootstrapOptions {
  std::int64_t samples = 1000;  // 40…1,000,000
  std::uint64_t seed = 12345;
};

struct Bootstrap {
  double mean = 0;
  double half_width = 0;             // of the 95 % interval, as sacreBLEU reports it: mean ± this
  std::array<double, 2> interval{};  // the 2.5 % and 97.5 % points themselves
};

/// 95 % confidence interval of a corpus score (Koehn 2004). Throws kUsage for samples out of range.
Bootstrap bootstrap(const SegmentScores& scores, const BootstrapOptions& options = {});

/// Is system b really different from a? Both are scored on the same resamples; p is the share of
/// resamples whose absolute difference, centred by its mean, exceeds the difference seen, with one
/// added above and below (as sacreBLEU's paired-bs). Throws kUsage unless both have the same number
/// of segments and the same signature.
struct PairedBootstrap {
  double a = 0, b = 0;  // corpus scores
  double p = 1;
  double wins = 0;  // share of resamples in which b scores above a
};
PairedBootstrap paired_bootstrap(const SegmentScores& a, const SegmentScores& b,
                                 const BootstrapOptions& options = {});

/// A corpus score by the length of the source (Bahdanau et al. 2015, figure 2: where attention pays).
/// Segments are parted by their source's words (what white space parts) into from…to = 1…step,
/// step + 1…2 step, …; lengths without a segment are left out, an empty source counts as of one
/// word. With the 95 % interval, as bootstrap() gives it: of few segments it is wide, and of one it
/// says nothing. Throws kUsage unless there is one source for each segment and step is positive.
struct LengthScore {
  std::int64_t from = 0, to = 0;  // words
  std::int64_t n = 0;             // segments
  double score = 0;
  std::array<double, 2> interval{};
};
std::vector<LengthScore> score_by_length(const SegmentScores& scores,
                                         const std::vector<std::string>& sources,
                                         std::int64_t step = 5);

/// Alignment error rate (Och and Ney 2003): 1 − (|A∩S| + |A∩P|) / (|A| + |S|), where P holds S. The
/// links of the hypothesis count whether marked sure or possible. 0 when there is neither a link
/// nor a sure one. Throws kUsage when the numbers of sentences differ.
struct AlignmentReport {
  double aer = 0;
  double precision = 0;                            // |A∩P| / |A|, 0 for no link
  double recall = 0;                               // |A∩S| / |S|, 0 for no sure link
  std::int64_t links = 0, sure = 0, possible = 0;  // possible: with the sure ones
};
AlignmentReport alignment_error(const std::vector<data::Alignment>& hypotheses,
                                const std::vector<data::Alignment>& gold);

/// exp(nats / tokens): from a summed negative log-likelihood; and the same per character in bits.
/// Throw kUsage unless the count is positive and nats is no NaN and not negative.
double perplexity(double nats, std::int64_t tokens);
double bits_per_character(double nats, std::int64_t characters);

}  // namespace attend::train
