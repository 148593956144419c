#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attend/data/codec.h"
#include "attend/models/translator.h"
#include "attend/train/run.h"

namespace attend::train {

/// A trained translator with everything it needs to read and write text. Its folder is that of Run (run.h), with
/// tokenizer.json for the source and target_tokenizer.json for the target.
struct TranslationRun : RunFiles {
  models::TranslatorConfig config;
  data::TextCodec source, target;
  std::unique_ptr<models::Translator> translator;
};

/// Throws as load_run.
TranslationRun load_translation(const std::string& path);

/// One translated sentence.
struct Translation {
  std::string text;
  double score = 0;  // log p / length penalty, as the search ranks
  std::vector<std::string> source_tokens, target_tokens;  // the target's end token included
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

/// Each target token with the source token of its largest weight; the end token has no pair.
std::vector<std::pair<std::int64_t, std::int64_t>> word_pairs(
    const std::vector<std::vector<double>>& weights);

struct TranslationEvaluation {
  std::string run, data, split;
  std::int64_t n = 0;
  Metrics
      metrics;  // loss, perplexity, bleu, chrf, exact_match; aer where the pairs bring alignments
  std::string signature;  // of bleu
};
TranslationEvaluation evaluate(const TranslationRun& run, const std::string& data = "",
                               const std::string& split = "");

}  // namespace attend::train
