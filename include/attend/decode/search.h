#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attend/models/step_model.h"

namespace attend::decode {

/// One way to end a sentence.
struct Hypothesis {
  std::vector<std::int64_t> tokens;  // without bos and eos
  double log_probability = 0;        // Σ log p(token), the one of eos included
  double score = 0;                  // what it was ranked by; log_probability unless penalised
  bool ended = true;                 // false: it was cut, because eos was impossible
  /// attention[t][j]: of token t over the source; empty when the model gives none.
  std::vector<std::vector<float>> attention;
};

/// Hypotheses of each source, best first.
using Hypotheses = std::vector<std::vector<Hypothesis>>;

/// What every search takes.
struct SearchOptions {
  std::int64_t bos = 2, eos = 3;                 // ids; the defaults are those of data::Vocabulary
  std::vector<std::int64_t> forbidden = {0, 2};  // never written: pad, bos (and unk, if you like)
  std::int64_t max_length = 100;          // tokens without eos; a row of that length has to end
  std::vector<std::int64_t> max_lengths;  // one for each source, in place of max_length
  std::int64_t min_length = 0;            // eos is impossible before
  std::vector<std::vector<std::int64_t>> prefixes;  // forced beginnings, one for each source
};

struct BeamOptions {
  std::int64_t beam = 5;     // 1…1000; 1 is greedy search
  std::int64_t best = 1;     // hypotheses returned for each source, 1…beam
  double length_alpha = 0;   // α ≥ 0 of the length penalty
  double coverage_beta = 0;  // β ≥ 0 of the coverage penalty; needs attention when not 0
  bool stop_early = true;    // only when no open hypothesis can win any more, which is proved
};

struct SampleOptions {
  std::int64_t samples = 1;  // for each source, 1…1000
  double temperature = 1;    // > 0
  std::int64_t top_k = 0;    // only the k likeliest tokens; 0: all
  double top_p = 1;          // only the likeliest tokens that together reach p; (0, 1]
  std::uint64_t seed = 0;
  std::uint64_t first_source = 0;  // number of the batch's first source in the whole corpus
};

/// The likeliest token at each step, of equals the one of lowest id.
///
/// All searches: the hypotheses of a source do not depend on what else is in the batch (as far as
/// the model's numbers do not). A source that has ended takes no further rows. Throw kUsage, naming
/// the option, for an option out of range, an id outside the vocabulary, or a prefix longer than
/// the maximum or with eos in it; kFailure naming step and source when the model gives NaN or a
/// wrong shape. Cost: a step of the model and O(R·V) a token.
Hypotheses greedy(models::StepModel& model, const SearchOptions& options = {});

/// Beam search as in Wu et al. 2016 ("GNMT"), eq. 14: of all continuations of a source's open
/// hypotheses the `beam` best by log p(Y|X) stay; one that ends with eos among them is finished and
/// ranked by
///   s(Y,X) = log p(Y|X) / lp(Y) + cp(X;Y)
///   lp(Y)  = ((5 + |Y|) / 6)^α,   |Y| with eos
///   cp     = β Σ_j log(min(Σ_i p_ij, 1))   over source places j that got any attention at all.
/// As log p only falls, lp(Y) is at most that of the maximal length, and cp ≤ 0, no continuation of
/// an open hypothesis scores above log p / lp(longest): the search stops when `best` finished ones
/// reach that for every open one, and gives what it would have given without stopping.
Hypotheses beam_search(models::StepModel& model, const SearchOptions& options = {},
                       const BeamOptions& beam = {});

/// Draws each token from the model's distribution, sharpened by `temperature` (p^(1/T)) and cut to
/// top_k and then top_p (Holtzman et al. 2020), renewed to sum to 1. A pure function of the seed,
/// the number of the source and that of the sample. Best first by log_probability (of the model's
/// own distribution).
Hypotheses sample(models::StepModel& model, const SearchOptions& options = {},
                  const SampleOptions& sampling = {});

/// The source place of most attention for each token, of equals the first; empty without attention.
std::vector<std::int64_t> hard_alignment(const Hypothesis& hypothesis);

/// `words` (one for each token of the hypothesis) with each unknown one replaced by the source word
/// that it attends to most (Luong et al. 2015b; Jean et al. 2015). Without attention, or when the
/// place lies behind the source words, a word stays. Throws kUsage when the numbers of words and
/// tokens differ.
std::vector<std::string> replace_unknown(const Hypothesis& hypothesis,
                                         std::vector<std::string> words,
                                         std::span<const std::string> source_words,
                                         std::int64_t unk);

}  // namespace attend::decode
