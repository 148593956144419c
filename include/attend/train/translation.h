#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attend/data/codec.h"
#include "attend/data/parallel.h"
#include "attend/models/translator.h"
#include "attend/train/run.h"
#include "attend/train/translation_metrics.h"

namespace attend::train {

/// A trained translator with everything it needs to read and write text. Its folder is that of Run (run.h), with
/// tokenizer.json for the source and target_tokenizer.json for the target.
struct TranslationRun : RunFiles {
  models::TranslatorConfig config;
  data::TextCodec source, target;
  std::unique_ptr<models::Translator> translator;
};

/// Throws as load_run. The translator is prepared for decoding where it can be (Translator::prepare); Precision::kInt8, which only
/// a Transformer has, makes it faster and its scores a little different.
TranslationRun load_translation(const std::string& path, Precision precision = Precision::kFloat32);

/// One translated sentence.
struct Translation {
  std::string text;
  double score = 0;  // log p / length penalty, as the search ranks
  std::vector<std::string> source_tokens, target_tokens;  // without the target's end token
  std::vector<std::int64_t> source_ids,
      target_ids;  // the target's with kEnd behind it where the model ended the sentence
  std::vector<std::vector<double>> weights;  // [target][source]; empty without attention
  std::vector<std::pair<std::int64_t, std::int64_t>>
      alignment;  // (source, target) word pairs, see word_pairs()
};

/// In batches of sentences of like length, results in the order of `texts`; [decode] of the recipe says how unless given. An
/// empty text gives an empty translation. Throws kBadInput naming the text's place when it has more than data.max_tokens.
std::vector<Translation> translate(const TranslationRun& run,
                                   const std::vector<std::string>& texts);
std::vector<Translation> translate(const TranslationRun& run, const std::vector<std::string>& texts,
                                   const Recipe::Decode& how);

/// Each target token with the source token of its largest weight; weights of the end token, which has no pair, are not given.
std::vector<std::pair<std::int64_t, std::int64_t>> word_pairs(
    const std::vector<std::vector<double>>& weights);

/// The pairs of `data` ("" = what the run was trained on) and its part `split` (train, validation or test; "" = the first of
/// test, validation, train that has pairs), with both names filled in. Throws kUsage on a part that is unknown or empty.
struct TranslationPairs {
  std::string data, split;
  data::ParallelSet set;
};
TranslationPairs translation_pairs(const TranslationRun& run, const std::string& data = "",
                                   const std::string& split = "");

/// The configuration that a recipe means for vocabularies of these sizes.
models::TranslatorConfig translator_config(const Recipe& recipe, std::int64_t source_vocabulary,
                                           std::int64_t target_vocabulary);

struct TranslationEvaluation {
  std::string run, data, split;
  std::int64_t n = 0;
  Metrics
      metrics;  // loss, perplexity, bleu, chrf, exact_match; aer where the pairs bring alignments
  SegmentScores bleu;                     // its parts, for paired_bootstrap() with another run's
  std::array<double, 2> bleu_interval{};  // 95 %, of bootstrap()
  std::vector<LengthScore> by_length;     // BLEU by the source's length, of score_by_length()
};
TranslationEvaluation evaluate(const TranslationRun& run, const std::string& data = "",
                               const std::string& split = "");

}  // namespace attend::train
