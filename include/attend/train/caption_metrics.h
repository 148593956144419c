#pragma once
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "attend/train/translation_metrics.h"

namespace attend::train {

/// How well captions match those that people gave, as COCO's caption evaluation code computes it.
struct CaptionScores {
  std::array<double, 4> bleu{};    // BLEU-1 … BLEU-4, 0…1 (papers print 100 times that)
  double cider = 0;                // CIDEr-D, 0…10
  std::vector<double> cider_each;  // of each image; cider is their mean
};

/// BLEU (Papineni et al. 2002) over the corpus, without smoothing beyond the 10⁻¹⁵ and 10⁻⁹ of that
/// code, counts clipped by the greatest of the references, the nearest reference's length (the
/// shorter one of two as near):
///   BLEU-N = min(1, exp(1 − r / c)) · (Π_{n ≤ N} matches_n / n-grams_n)^(1/N)
/// CIDEr-D (Vedantam et al. 2015, section 7) of a caption c with references S, σ = 6, n = 1…4:
///   10/4 · Σ_n 1/|S| · Σ_{s ∈ S} exp(−(l(c) − l(s))² / 2σ²) · min(g_n(c), g_n(s))·g_n(s) /
///                                (‖g_n(c)‖ ‖g_n(s)‖)
/// where g_n holds count · (log |images| − log max(1, images whose references have the n-gram)), the
/// lengths l count words, and frequencies come from these references: with a single image
/// it is 0. Images may differ in their number of references. Texts are cut up by caption_words.
/// Throws kUsage when the numbers of captions and references differ, there is none, or an image has
/// no reference; kBadInput for text that is not UTF-8. Cost: linear in the words.
CaptionScores caption_scores(const std::vector<std::string>& captions,
                             const std::vector<References>& references);

/// A caption's words as these measures take them: lower case (ASCII), cut up by the main rules of
/// the Penn Treebank, punctuation left out.
///   - Letters, digits and all beyond ASCII make words; within one, '-', '&', '_', '@' and '/' stay
///     ("t-shirt", "and/or"), and so do '.', ',' and ':' between digits ("1,000", "10:30").
///   - n't, 's, 'm, 'd, 're, 've and 'll are words of their own ("do n't", "dog 's"); "cannot" is
///     "can not". Any other apostrophe within a word stays ("o'clock").
///   - mr mrs ms dr prof st jr sr vs, and single letters in a row ("u.s."), keep their full stop.
///   - $ % # + * = are words of their own. Every other sign, quotes and brackets are left out.
/// COCO's code runs Stanford's tokeniser, which has many more rules: for plain captions the words
/// are the same; those with brackets, markup or rare abbreviations may differ.
std::vector<std::string> caption_words(std::string_view text);

}  // namespace attend::train
