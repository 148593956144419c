#pragma once
#include <cstdint>
#include <vector>

/// How far two measures of the same words agree, in plain numbers (no tensors).
namespace attend::explain {

/// Kendall's τ-b of two equally long lists, ties corrected for (Kendall 1945):
///   τ = (concordant − discordant) / sqrt((n0 − ties_a)(n0 − ties_b)),  n0 = n(n − 1)/2.
/// NaN when n < 2, when one list is constant, or when a value is NaN. Throws kUsage when the
/// lengths differ. O(n log n) (Knight 1966).
double kendall_tau_b(const std::vector<double>& a, const std::vector<double>& b);

/// τ of |a| with |b|, beside what shuffled words reach.
struct Agreement {
  double tau = 0;       // NaN: not defined (fewer than two words, or one measure is constant)
  double chance = 1;    // share of shuffles with τ at least this: (1 + count) / (1 + shuffles)
  double band_low = 0;  // 2.5 % and 97.5 % quantile of the shuffles' τ
  double band_high = 0;
};

struct ShuffleOptions {
  std::int64_t shuffles = 1000;
  std::uint64_t seed = 1;   // the same seed gives the same band on every machine
  std::uint64_t index = 0;  // a stream of its own for each sentence and pair
};

/// Rank agreement of the magnitudes of two measures with its permutation band: one list is
/// shuffled, the other kept. Pairs in which either value is NaN are left out first.
Agreement rank_agreement(const std::vector<double>& a, const std::vector<double>& b,
                         const ShuffleOptions& options = {});

/// The same within rows: τ of each row of |a| with that row of |b|, averaged over the rows that have one (NaN when none has);
/// the band shuffles each row in itself. For matrices whose rows are questions of their own, as the target tokens of an
/// alignment are: a total over rows would be flat for any one-to-one alignment.
Agreement mean_rank_agreement(const std::vector<std::vector<double>>& a,
                              const std::vector<std::vector<double>>& b,
                              const ShuffleOptions& options = {});

/// What may be said about attention as an explanation of one answer. Rule, in this order:
///   kNoAttention  no weights                       kNoEffect  leave-one-out is constant, no τ
///   kOneWord      one word                         kDisagree  τ < 0
///   kAllEqual     entropy over 98 % of the most    kWeak      τ < .2, or chance > .05
///   kFewWords     under five words                 kInPart    τ < .6;   kWell  else
enum class Verdict {
  kNoAttention,
  kOneWord,
  kAllEqual,
  kFewWords,
  kNoEffect,
  kDisagree,
  kWeak,
  kInPart,
  kWell
};

/// `attention`: weights of the words the model saw (NaN elsewhere); `agreement`: of attention with
/// |leave-one-out|.
Verdict verdict(const std::vector<double>& attention, const Agreement& agreement);
/// The same for rows of weights, NaN where a row may not look: the mean of their entropies, each as a share of the most that a row
/// of so many words can have, decides whether they are equal; rows of one word have none.
Verdict verdict_of_rows(const std::vector<std::vector<double>>& attention,
                        const Agreement& agreement);

/// What rows of weights and of leave-one-out effects over the same tokens say about each other; NaN where not measured.
struct RowComparison {
  Agreement
      attention_leave_one_out;  // of weights with |effects| within each row (mean_rank_agreement)
  Verdict verdict = Verdict::kNoAttention;
  /// Rows whose largest weight lies on the token with the largest effect, of `compared`: those with a weight and an effect of at
  /// least one token.
  std::int64_t same_token = 0, compared = 0;
};
/// Both matrices have the same shape; `attention` is empty for a model without.
RowComparison compare_rows(const std::vector<std::vector<double>>& attention,
                           const std::vector<std::vector<double>>& effects,
                           const ShuffleOptions& options = {});

/// Entropy in bits of weights scaled to sum 1; NaN and zero weights add nothing.
double entropy_bits(const std::vector<double>& weights);

/// Mean τ-b over all pairs of lists (seed against seed); NaN with fewer than two lists. Pairs
/// without a τ are left out.
double mean_pairwise_tau(const std::vector<std::vector<double>>& lists);

/// A number and its 95 % interval; NaN where not measured.
struct Interval {
  double value = 0, low = 0, high = 0;
};

/// Share with Wilson's 95 % score interval (Wilson 1927). total 0 gives NaN.
Interval wilson(std::int64_t correct, std::int64_t total);

/// Mean of b − a over pairs with Student's 95 % interval; the interval is NaN with fewer than two
/// pairs.
Interval paired_difference(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace attend::explain
